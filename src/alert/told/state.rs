//! What was told of an alert as bytes.

use super::Told;
use crate::state::{NotUnderstood, StateReader, StateWriter};
use crate::types::AlertState;

impl Told {
    pub const BYTES: usize = 29;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Told { onset, revision, state, opened, until } = *self;
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
        })
    }
}
