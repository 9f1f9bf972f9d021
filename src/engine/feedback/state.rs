//! What was heard of people, as bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Heard, Tolerances};
use crate::judge::tolerance::{Episodes, InForce};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::window::keys::KeyIndex;

const KEY_BYTES: usize = size_of::<KeyIndex>();

impl Heard {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Heard { episodes, in_force, touched: _, number, news: _ } = self;
        to.len(episodes.len());
        for (key, episodes) in episodes {
            to.number(*key);
            episodes.encode(to);
        }
        encode_tolerances(in_force, to);
        to.number(*number);
    }

    /// # Errors
    /// If the bytes end early or are of other keys.
    pub fn decode(keys: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut episodes = BTreeMap::new();
        for _ in 0..from.len(KEY_BYTES)? {
            let key: KeyIndex = from.number()?;
            expect((key as usize) < keys, "an episode of no key")?;
            episodes.insert(key, Episodes::decode(from)?);
        }
        let in_force = decode_tolerances(keys, from)?;
        // A word since the epoch began is in the episodes alone.
        let touched = episodes.keys().copied().collect();
        Ok(Heard { episodes, in_force, touched, number: from.number()?, news: true })
    }
}

pub(in crate::engine) fn encode_tolerances(of: &Tolerances, to: &mut StateWriter<'_>) {
    to.len(of.len());
    for (key, in_force) in of.iter() {
        to.number(*key);
        in_force.encode(to);
    }
}

/// # Errors
/// If the bytes end early or are of other keys.
pub(in crate::engine) fn decode_tolerances(
    keys: usize,
    from: &mut StateReader<'_>,
) -> Result<Tolerances, NotUnderstood> {
    let mut tolerances = BTreeMap::new();
    for _ in 0..from.len(KEY_BYTES)? {
        let key: KeyIndex = from.number()?;
        expect((key as usize) < keys, "what is expected of no key")?;
        tolerances.insert(key, InForce::decode(from)?);
    }
    Ok(Arc::new(tolerances))
}
