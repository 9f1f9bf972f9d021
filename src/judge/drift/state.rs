//! What was watched of drift as bytes.

use super::Watched;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::drift::Drift;

impl Watched {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Watched { seen: Drift { shifts, windows: all, low: all_low }, base, windows, low, news: _ } =
            self;
        to.numbers(shifts);
        to.numbers(base);
        to.numbers(&[*all, *all_low]);
        to.numbers(&[*windows, *low]);
    }

    /// # Errors
    /// If the bytes end early or are of other columns.
    pub fn decode(columns: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let (shifts, base) = (from.numbers::<f64>()?, from.numbers::<f64>()?);
        let [all, all_low] = from.numbers::<f64>()?[..] else { return Err(NotUnderstood("other drift")) };
        let [windows, low] = from.numbers::<u64>()?[..] else { return Err(NotUnderstood("other drift")) };
        let seen = Drift { shifts, windows: all, low: all_low };
        let fits = seen.shifts.len() == Drift::new(columns).shifts.len() && base.len() == columns;
        expect(fits, "drift of other columns")?;
        Ok(Watched { seen, base, windows, low, news: true })
    }
}
