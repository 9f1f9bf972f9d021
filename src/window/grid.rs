//! The last `cells` grid cells of every key: raw means, NaN where nothing was observed.

mod state;

use crate::window::grow::{grow, grown};
use crate::window::keys::KeyIndex;

/// Index of the grid cell a time falls into.
pub fn cell_of(time_ns: i64, grid_ns: i64) -> i64 {
    time_ns.div_euclid(grid_ns)
}

/// What a key's ring knows besides its values.
#[derive(Clone, Copy, Debug)]
struct Newest {
    /// Newest cell with data; everything after it is missing.
    cell: i64,
    /// Arrival of the newest row folded in, ns.
    arrival: i64,
}

/// Rings of all keys of a partition in one block: `keys x cells x columns` f32.
pub struct Grid {
    cells: usize,
    columns: usize,
    values: Vec<f32>,
    newest: Vec<Newest>,
}

impl Grid {
    pub fn new(cells: usize, columns: usize) -> Self {
        Grid { cells, columns, values: Vec::new(), newest: Vec::new() }
    }

    /// Heap of `keys` keys, bytes.
    pub fn heap_bytes(keys: f64, cells: usize, columns: usize) -> f64 {
        let width = (cells * columns) as f64;
        grown(keys * width).max(width) * size_of::<f32>() as f64 + grown(keys) * size_of::<Newest>() as f64
    }

    pub fn keys(&self) -> usize {
        self.newest.len()
    }

    /// Room for one more key.
    pub fn add_key(&mut self) {
        let width = self.cells * self.columns;
        grow(&mut self.values, width);
        grow(&mut self.newest, 1);
        self.values.resize(self.values.len() + width, f32::NAN);
        self.newest.push(Newest { cell: i64::MIN, arrival: i64::MIN });
    }

    /// Writes a key's values of `cell`. Cells must come in increasing order.
    pub fn write(&mut self, key: KeyIndex, cell: i64, values: &[f32], arrival: i64) {
        let newest = &mut self.newest[key as usize];
        let gap = if newest.cell == i64::MIN {
            self.cells as i64
        } else {
            (cell - newest.cell).min(self.cells as i64)
        };
        newest.cell = cell;
        newest.arrival = newest.arrival.max(arrival);
        for skipped in cell - gap + 1..cell {
            let at = self.at(key, skipped);
            self.values[at..at + self.columns].fill(f32::NAN);
        }
        let at = self.at(key, cell);
        self.values[at..at + self.columns].copy_from_slice(values);
    }

    /// Whether the window ending with `last_cell` holds any cell of this key.
    pub fn active(&self, key: KeyIndex, last_cell: i64) -> bool {
        let newest = self.newest[key as usize].cell;
        newest != i64::MIN && newest > last_cell - self.cells as i64
    }

    /// Whether anything was ever written for this key.
    pub fn seen(&self, key: KeyIndex) -> bool {
        self.newest[key as usize].cell != i64::MIN
    }

    pub fn newest_arrival(&self, key: KeyIndex) -> i64 {
        self.newest[key as usize].arrival
    }

    /// The values of one cell, `None` if it is after the key's newest one.
    pub fn cell(&self, key: KeyIndex, cell: i64) -> Option<&[f32]> {
        if cell > self.newest[key as usize].cell {
            return None;
        }
        let at = self.at(key, cell);
        Some(&self.values[at..at + self.columns])
    }

    /// Appends the window ending with `last_cell`, oldest cell first, `cells * columns` values.
    pub fn gather(&self, key: KeyIndex, last_cell: i64, out: &mut Vec<f32>) {
        for cell in last_cell - self.cells as i64 + 1..=last_cell {
            match self.cell(key, cell) {
                Some(values) => out.extend_from_slice(values),
                None => out.resize(out.len() + self.columns, f32::NAN),
            }
        }
    }

    fn at(&self, key: KeyIndex, cell: i64) -> usize {
        (key as usize * self.cells + cell.rem_euclid(self.cells as i64) as usize) * self.columns
    }
}

/// Means of the rows of one key in one cell, column by column; missing where no row had the column.
pub struct CellMean {
    sums: Vec<f64>,
    counts: Vec<u32>,
    means: Vec<f32>,
}

impl CellMean {
    pub fn new(columns: usize) -> Self {
        CellMean { sums: vec![0.0; columns], counts: vec![0; columns], means: vec![f32::NAN; columns] }
    }

    pub fn add(&mut self, values: &[f32]) {
        for (column, &value) in values.iter().enumerate() {
            if !value.is_nan() {
                self.sums[column] += f64::from(value);
                self.counts[column] += 1;
            }
        }
    }

    /// The means, and an empty accumulator again.
    pub fn take(&mut self) -> &[f32] {
        for column in 0..self.sums.len() {
            let count = self.counts[column];
            self.means[column] =
                if count == 0 { f32::NAN } else { (self.sums[column] / f64::from(count)) as f32 };
            self.sums[column] = 0.0;
            self.counts[column] = 0;
        }
        &self.means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn missing_cells_stay_missing() {
        let mut grid = Grid::new(4, 1);
        grid.add_key();
        grid.write(0, 10, &[1.0], 5);
        grid.write(0, 12, &[3.0], 6);
        let mut out = Vec::new();
        grid.gather(0, 13, &mut out);
        let shown: Vec<String> = out.iter().map(|v| v.to_string()).collect();
        assert_eq!(shown, ["1", "NaN", "3", "NaN"]);
        assert!(grid.active(0, 15));
        assert!(!grid.active(0, 16));
    }

    proptest! {
        #[test]
        fn gather_equals_a_map_of_cells(steps in proptest::collection::vec(1i64..9, 1..40), ahead in 0i64..6) {
            let mut grid = Grid::new(5, 2);
            grid.add_key();
            let mut oracle = std::collections::BTreeMap::new();
            let mut cell = -7;
            for (i, step) in steps.iter().enumerate() {
                cell += step;
                let values = [i as f32, -(i as f32)];
                grid.write(0, cell, &values, 0);
                oracle.insert(cell, values);
            }
            let last = cell + ahead;
            let mut out = Vec::new();
            grid.gather(0, last, &mut out);
            let expected: Vec<f32> =
                (last - 4..=last).flat_map(|c| oracle.get(&c).copied().unwrap_or([f32::NAN; 2])).collect();
            let bits = |v: &[f32]| v.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() ^ 1 }).collect::<Vec<_>>();
            prop_assert_eq!(bits(&out), bits(&expected));
        }
    }
}
