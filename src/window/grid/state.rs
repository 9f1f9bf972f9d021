//! The rings as bytes: those in use, in order of their keys.

use super::{Grid, NONE, Newest};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Grid {
    /// Bytes of the rings in use.
    pub fn ring_bytes(&self) -> usize {
        let used = self.rings.len() - self.rings.iter().filter(|ring| **ring == NONE).count();
        used * self.ring * self.columns * size_of::<f32>()
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Grid { cells, ring, columns, values, rings, free: _, changes: _, newest } = self;
        to.len(*cells);
        to.len(*ring);
        to.len(*columns);
        let width = ring * columns;
        let used = rings.iter().filter(|ring| **ring != NONE);
        to.len(used.clone().count() * width);
        for &ring in used {
            to.plain(&values[ring as usize * width..][..width]);
        }
        to.len(newest.len());
        for Newest { cell, arrival } in newest {
            to.number(*cell);
            to.number(*arrival);
        }
        rings.iter().for_each(|ring| to.flag(*ring != NONE));
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
        let (mut rings, mut used) = (Vec::with_capacity(keys), 0);
        for _ in 0..keys {
            let has = from.flag()?;
            rings.push(if has { used } else { NONE });
            used += u32::from(has);
        }
        expect(values.len() == used as usize * ring * columns, "rings without keys")?;
        let changes = vec![1; used as usize];
        Ok(Grid { cells, ring, columns, values, rings, free: Vec::new(), changes, newest })
    }
}
