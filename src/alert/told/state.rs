//! What was told of an alert as bytes.

use super::Told;
use crate::state::{NotUnderstood, StateReader, StateWriter};
use crate::types::AlertState;

impl Told {
    pub const BYTES: usize = 49;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Told { onset, revision, state, opened, until, odd, newest_odd, p_value_min } = *self;
        to.number(onset);
        to.number(revision);
        to.number(match state {
            AlertState::Raised => 0_u8,
            AlertState::Revised => 1,
            AlertState::Resolved => 2,
            AlertState::Retracted => 3,
        });
        to.number(opened);
        to.number(until);
        to.number(odd);
        to.number(newest_odd);
        to.number(p_value_min);
    }

    /// # Errors
    /// If the bytes end early, or name no state.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Told {
            onset: from.number()?,
            revision: from.number()?,
            state: match from.number::<u8>()? {
                0 => AlertState::Raised,
                1 => AlertState::Revised,
                2 => AlertState::Resolved,
                3 => AlertState::Retracted,
                _ => return Err(NotUnderstood("an alert of no known state")),
            },
            opened: from.number()?,
            until: from.number()?,
            odd: from.number()?,
            newest_odd: from.number()?,
            p_value_min: from.number()?,
        })
    }
}
