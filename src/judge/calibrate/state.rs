//! The references as bytes; what is read off them is made again.

use super::{Calibrator, REFERENCE_MAX};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Calibrator {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Calibrator { recent, next, sorted: _, pending, high: _, high_p: _, excess: _, above: _ } = self;
        to.numbers(recent);
        to.len(*next);
        to.numbers(pending);
    }

    /// # Errors
    /// If the bytes are no references.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut calibrator = Calibrator::new(&[]);
        calibrator.recent = from.numbers()?;
        calibrator.next = from.number::<u64>()? as usize;
        calibrator.pending = from.numbers()?;
        expect(calibrator.recent.len() <= REFERENCE_MAX, "too many references")?;
        expect(calibrator.next < REFERENCE_MAX, "no reference is next")?;
        calibrator.refresh();
        Ok(calibrator)
    }
}
