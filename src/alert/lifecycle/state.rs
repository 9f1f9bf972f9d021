//! An episode as bytes.

use super::Episode;
use crate::state::{NotUnderstood, StateReader, StateWriter};

impl Episode {
    pub const BYTES: usize = 24;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Episode { recent, open, revision, calm, first_window, p_value_min } = *self;
        to.number(recent);
        to.flag(open);
        to.number(revision);
        to.number(calm);
        to.number(first_window);
        to.number(p_value_min);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Episode {
            recent: from.number()?,
            open: from.flag()?,
            revision: from.number()?,
            calm: from.number()?,
            first_window: from.number()?,
            p_value_min: from.number()?,
        })
    }
}
