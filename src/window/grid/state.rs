//! The rings as bytes.

use super::{Grid, Newest};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Grid {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Grid { cells, ring, columns, values, newest } = self;
        to.len(*cells);
        to.len(*ring);
        to.len(*columns);
        to.numbers(values);
        to.len(newest.len());
        for Newest { cell, arrival } in newest {
            to.number(*cell);
            to.number(*arrival);
        }
    }

    /// # Errors
    /// If the bytes are those of another grid.
    pub fn decode(
        cells: usize,
        ring: usize,
        columns: usize,
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let shape: [u64; 3] = [from.number()?, from.number()?, from.number()?];
        expect(shape == [cells as u64, ring as u64, columns as u64], "its windows have another shape")?;
        let values = from.numbers()?;
        let keys = from.len(16)?;
        let mut newest = Vec::with_capacity(keys);
        for _ in 0..keys {
            newest.push(Newest { cell: from.number()?, arrival: from.number()? });
        }
        expect(values.len() == keys * ring * columns, "rings without keys")?;
        Ok(Grid { cells, ring, columns, values, newest })
    }
}
