//! The last grid cells of every key, as many as a window has and late rows may still change: raw values,
//! NaN where nothing was observed.

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

/// Of a key that has no ring.
const NONE: u32 = u32::MAX;

/// Rings of the keys of a partition in one block: `rings x ring x columns` f32. A key that has been quiet for as
/// long as a ring reaches back has none: there is nothing in it, and another key may use it.
pub struct Grid {
    /// Of a window.
    cells: usize,
    /// Kept of each key.
    ring: usize,
    columns: usize,
    values: Vec<f32>,
    /// Which ring is whose.
    rings: Vec<u32>,
    /// Rings that are nobody's.
    free: Vec<u32>,
    newest: Vec<Newest>,
}

impl Grid {
    /// Rings of `ring` cells for windows of `cells`: windows end up to the difference before the newest cell.
    pub fn new(cells: usize, ring: usize, columns: usize) -> Self {
        let (values, rings, free, newest) = Default::default();
        Grid { cells, ring, columns, values, rings, free, newest }
    }

    /// Heap of `keys` keys with `ring` cells each, bytes.
    pub fn heap_bytes(keys: f64, ring: usize, columns: usize) -> f64 {
        let width = (ring * columns) as f64;
        let of_key = size_of::<Newest>() + size_of::<u32>();
        grown(keys * width).max(width) * size_of::<f32>() as f64 + grown(keys) * of_key as f64
    }

    pub fn keys(&self) -> usize {
        self.newest.len()
    }

    /// One more key; it has a ring from its first cell on.
    pub fn add_key(&mut self) {
        grow(&mut self.newest, 1);
        grow(&mut self.rings, 1);
        self.newest.push(Newest { cell: i64::MIN, arrival: i64::MIN });
        self.rings.push(NONE);
    }

    /// Takes a key's ring back if none of its cells is `oldest` or newer, so that all of them are missing to whoever
    /// asks.
    pub fn rest(&mut self, key: KeyIndex, oldest: i64) {
        let ring = &mut self.rings[key as usize];
        if *ring != NONE && self.newest[key as usize].cell < oldest {
            self.free.push(std::mem::replace(ring, NONE));
        }
    }

    /// Gives a key a ring if it has none: `true`, and what is in it is not the key's.
    fn wake(&mut self, key: KeyIndex) -> bool {
        if self.rings[key as usize] != NONE {
            return false;
        }
        self.rings[key as usize] = self.free.pop().unwrap_or_else(|| {
            let width = self.ring * self.columns;
            let made = self.values.len().checked_div(width).unwrap_or_default();
            grow(&mut self.values, width);
            self.values.resize(self.values.len() + width, f32::NAN);
            made as u32
        });
        true
    }

    /// Writes a key's values of `cell`. Cells must come in increasing order.
    pub fn write(&mut self, key: KeyIndex, cell: i64, values: &[f32], arrival: i64) {
        let woken = self.wake(key);
        let newest = &mut self.newest[key as usize];
        let gap = if woken { self.ring as i64 } else { (cell - newest.cell).min(self.ring as i64) };
        newest.cell = cell;
        newest.arrival = newest.arrival.max(arrival);
        for skipped in cell - gap + 1..cell {
            let at = self.at(key, skipped);
            self.values[at..at + self.columns].fill(f32::NAN);
        }
        let at = self.at(key, cell);
        self.values[at..at + self.columns].copy_from_slice(values);
    }

    /// Notes a row of a key whose values are not kept here.
    pub fn mark(&mut self, key: KeyIndex, cell: i64, arrival: i64) {
        let newest = &mut self.newest[key as usize];
        newest.cell = cell;
        newest.arrival = newest.arrival.max(arrival);
    }

    /// Writes a key's values of a cell that late rows changed: at most `late_cells` before the newest one of
    /// any key, so that it is still in the ring.
    pub fn rewrite(&mut self, key: KeyIndex, cell: i64, values: &[f32], arrival: i64) {
        if cell > self.newest[key as usize].cell {
            return self.write(key, cell, values, arrival);
        }
        let newest = &mut self.newest[key as usize];
        newest.arrival = newest.arrival.max(arrival);
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
        if cell > self.newest[key as usize].cell || self.rings[key as usize] == NONE {
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
        (self.rings[key as usize] as usize * self.ring + cell.rem_euclid(self.ring as i64) as usize)
            * self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Several keys that are quiet and come back, their rings going round among them.
        #[test]
        fn who_has_which_ring_shows_in_no_window(
            steps in proptest::collection::vec((0u32..4, 0i64..9, any::<bool>()), 1..80),
        ) {
            let mut grid = Grid::new(5, 7, 1);
            (0..4).for_each(|_| grid.add_key());
            let mut oracle = std::collections::BTreeMap::new();
            let mut now = 50;
            for (i, (key, step, rests)) in steps.into_iter().enumerate() {
                now += step;
                grid.write(key, now, &[i as f32], 0);
                oracle.insert((key, now), i as f32);
                if rests {
                    (0..4).for_each(|key| grid.rest(key, now - 7));
                }
                for (key, last) in (0..4).flat_map(|key| (now - 2..=now + 1).map(move |last| (key, last))) {
                    let mut out = Vec::new();
                    grid.gather(key, last, &mut out);
                    let expected: Vec<f32> = (last - 4..=last)
                        .map(|cell| oracle.get(&(key, cell)).copied().unwrap_or(f32::NAN))
                        .collect();
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    prop_assert_eq!(bits(&out), bits(&expected));
                }
            }
            let used = grid.rings.iter().filter(|ring| **ring != NONE).count();
            prop_assert_eq!(used + grid.free.len(), grid.values.len() / 7, "every ring is somebody's or free");
        }
    }

    #[test]
    fn missing_cells_stay_missing() {
        let mut grid = Grid::new(4, 4, 1);
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
        fn windows_of_the_past_show_what_late_rows_changed(
            steps in proptest::collection::vec((1i64..4, 0i64..7), 1..60), back in 0i64..=6,
        ) {
            let mut grid = Grid::new(5, 11, 1);
            grid.add_key();
            let mut oracle = std::collections::BTreeMap::new();
            let mut newest = 100;
            for (i, (step, late)) in steps.iter().enumerate() {
                newest += step;
                grid.write(0, newest, &[i as f32], 0);
                oracle.insert(newest, i as f32);
                let cell = newest - late.min(&6);
                grid.rewrite(0, cell, &[-(i as f32)], 0);
                oracle.insert(cell, -(i as f32));
            }
            let last = newest - back;
            let mut out = Vec::new();
            grid.gather(0, last, &mut out);
            let expected: Vec<f32> =
                (last - 4..=last).map(|c| oracle.get(&c).copied().unwrap_or(f32::NAN)).collect();
            let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&out), bits(&expected));
        }

        #[test]
        fn gather_equals_a_map_of_cells(steps in proptest::collection::vec(1i64..9, 1..40), ahead in 0i64..6) {
            let mut grid = Grid::new(5, 5, 2);
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
