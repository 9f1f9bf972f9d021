//! An episode as bytes.

use super::Episode;
use crate::state::{NotUnderstood, StateReader, StateWriter};

impl Episode {
    pub const BYTES: usize = 65;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Episode {
            recent,
            held_back,
            open,
            calm,
            first_window,
            opened,
            stood,
            last,
            p_value_min,
            odd,
            newest_odd,
            settled,
        } = *self;
        to.number(recent);
        to.number(held_back);
        to.flag(open);
        to.number(calm);
        to.number(first_window);
        to.number(opened);
        to.number(stood);
        to.number(last);
        to.number(p_value_min);
        to.number(odd);
        to.number(newest_odd);
        to.number(settled);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Episode {
            recent: from.number()?,
            held_back: from.number()?,
            open: from.flag()?,
            calm: from.number()?,
            first_window: from.number()?,
            opened: from.number()?,
            stood: from.number()?,
            last: from.number()?,
            p_value_min: from.number()?,
            odd: from.number()?,
            newest_odd: from.number()?,
            settled: from.number()?,
        })
    }
}
