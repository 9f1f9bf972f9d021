//! A budget as bytes.

use super::{Budget, HOURS};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Budget {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Budget { windows_a_key, measured, raise, since, windows, opened, hours, hour } = self;
        to.number(*windows_a_key);
        to.number(*measured);
        to.number(*raise);
        to.number(*since);
        to.number(*windows);
        to.number(*opened);
        to.plain(hours);
        to.number(*hour);
    }

    /// # Errors
    /// If the bytes end early, or hold what no budget can.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut budget = Budget::new(from.number()?);
        budget.measured = from.number()?;
        budget.raise = from.number()?;
        budget.since = from.number()?;
        budget.windows = from.number()?;
        budget.opened = from.number()?;
        for at in 0..HOURS {
            budget.hours[at] = from.number()?;
        }
        budget.hour = from.number()?;
        expect(budget.raise.is_finite() && budget.measured > 0.0, "a budget of no size")?;
        Ok(budget)
    }
}
