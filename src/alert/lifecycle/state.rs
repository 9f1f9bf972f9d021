//! An episode as bytes.

use super::Episode;
use crate::state::{NotUnderstood, StateReader, StateWriter};

impl Episode {
    pub const BYTES: usize = 28;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Episode { recent, open, calm, first_window, opened, p_value_min } = *self;
        to.number(recent);
        to.flag(open);
        to.number(calm);
        to.number(first_window);
        to.number(opened);
        to.number(p_value_min);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Episode {
            recent: from.number()?,
            open: from.flag()?,
            calm: from.number()?,
            first_window: from.number()?,
            opened: from.number()?,
            p_value_min: from.number()?,
        })
    }
}
