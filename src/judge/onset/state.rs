//! Records as bytes.

use super::{PHASES, Quiet, Range, Records};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Range {
    const BYTES: usize = 2 * size_of::<f32>();

    fn encode(self, to: &mut StateWriter<'_>) {
        let Range { low, high } = self;
        to.number(low);
        to.number(high);
    }

    fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Range { low: from.number()?, high: from.number()? })
    }
}

impl Records {
    pub const BYTES: usize = 8 + Range::BYTES + PHASES * Range::BYTES + 4 + PHASES + 1;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Records { fast, values, phases, rows, visits, phase } = *self;
        to.number(fast);
        values.encode(to);
        phases.iter().for_each(|range| range.encode(to));
        to.number(rows);
        to.plain(&visits);
        to.number(phase);
    }

    /// # Errors
    /// If the bytes end early or name a time of day that is none.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut records =
            Records { fast: from.number()?, values: Range::decode(from)?, ..Default::default() };
        for range in &mut records.phases {
            *range = Range::decode(from)?;
        }
        records.rows = from.number()?;
        for visits in &mut records.visits {
            *visits = from.number()?;
        }
        records.phase = from.number()?;
        expect(usize::from(records.phase) < PHASES || records.phase == u8::MAX, "no such time of day")?;
        Ok(records)
    }
}

impl Quiet {
    pub const BYTES: usize = 12;

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Quiet { since, strongest } = *self;
        to.number(since);
        to.number(strongest);
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Quiet { since: from.number()?, strongest: from.number()? })
    }
}
