//! Ranges and open onsets as bytes.

use super::{Onsets, Open, Own};
use crate::engine::setup::StreamSetup;
use crate::judge::onset::{Onset, Quiet, Records};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::Watched;
use crate::window::keys::KeyIndex;

const OPEN_BYTES: usize = 4 + 2 * 8 + 4 + 8 + 4 + 1 + 3 * 4 + 8;

impl Onsets {
    /// Of a key, about.
    pub fn state_bytes(columns: usize) -> usize {
        8 + 4 + Quiet::BYTES + columns * Records::BYTES
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Onsets { plan: _, grid_ns: _, records, own, open, nats, row: _, turns: _ } = self;
        to.len(own.len());
        for Own { first, warmup, quiet } in own {
            to.number(*first);
            to.number(*warmup);
            quiet.encode(to);
        }
        records.iter().for_each(|records| records.encode(to));
        to.len(open.len());
        for (key, open) in open {
            to.number(*key);
            encode_open(open, to);
        }
        to.number(*nats);
    }

    /// # Errors
    /// If the bytes end early or are of other keys.
    pub fn decode(
        keys: usize,
        setup: &StreamSetup,
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let mut onsets = Onsets::new(setup.onsets, setup.grid_ns, setup.columns.len());
        for _ in 0..from.len(8 + 4 + Quiet::BYTES)? {
            onsets.own.push(Own {
                first: from.number()?,
                warmup: from.number()?,
                quiet: Quiet::decode(from)?,
            });
        }
        let own = onsets.own.len();
        expect(own == if onsets.is_on() { keys } else { 0 }, "ranges of other keys")?;
        for _ in 0..own * setup.columns.len() {
            onsets.records.push(Records::decode(from)?);
        }
        for _ in 0..from.len(OPEN_BYTES)? {
            let key: KeyIndex = from.number()?;
            expect((key as usize) < own, "an onset of no key")?;
            let open = decode_open(from)?;
            expect(open.onset.column < setup.columns.len(), "an onset of no column")?;
            onsets.open.insert(key, open);
        }
        onsets.nats = from.number()?;
        Ok(onsets)
    }
}

fn encode_open(open: &Open, to: &mut StateWriter<'_>) {
    let Open { since, cell, revision, onset } = *open;
    let Onset { score, threshold, column, watched, value, low, high } = onset;
    to.number(since);
    to.number(cell);
    to.number(revision);
    to.number(score);
    to.number(threshold);
    to.number(column as u32);
    to.number(match watched {
        Watched::Value => 0u8,
        Watched::Mean => 1,
        Watched::MeanOfHours => 2,
    });
    [value, low, high].into_iter().for_each(|number| to.number(number));
}

fn decode_open(from: &mut StateReader<'_>) -> Result<Open, NotUnderstood> {
    let (since, cell, revision) = (from.number()?, from.number()?, from.number()?);
    let (score, threshold) = (from.number()?, from.number()?);
    let column = from.number::<u32>()? as usize;
    let watched = match from.number::<u8>()? {
        0 => Watched::Value,
        1 => Watched::Mean,
        2 => Watched::MeanOfHours,
        _ => return Err(NotUnderstood("an onset of nothing that is watched")),
    };
    let (value, low, high) = (from.number()?, from.number()?, from.number()?);
    let onset = Onset { score, threshold, column, watched, value, low, high };
    Ok(Open { since, cell, revision, onset })
}
