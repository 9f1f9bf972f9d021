//! The rows as bytes.

use super::{KeyRows, RowTime};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl KeyRows {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let KeyRows { rows: _, values: _, gone: _, before, finals } = self;
        to.len(self.len());
        for RowTime { time, content_hash, arrival } in self.live() {
            to.number(*time);
            to.number(*content_hash);
            to.number(*arrival);
        }
        let columns = self.values.len().checked_div(self.rows.len()).unwrap_or_default();
        to.numbers(self.values(0..self.len(), columns));
        to.flag(before.is_some());
        to.number(before.unwrap_or_default());
        to.number(*finals);
    }

    /// # Errors
    /// If the bytes are those of other columns.
    pub fn decode(columns: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut rows = KeyRows::default();
        for _ in 0..from.len(24)? {
            rows.rows.push(RowTime {
                time: from.number()?,
                content_hash: from.number()?,
                arrival: from.number()?,
            });
        }
        rows.values = from.numbers::<f32>()?;
        expect(rows.values.len() == rows.rows.len() * columns, "rows of other columns")?;
        let known = from.flag()?;
        let before = from.number()?;
        rows.before = known.then_some(before);
        rows.finals = from.number()?;
        Ok(rows)
    }
}
