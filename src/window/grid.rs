//! The last grid cells of every key, as many as a window has and late rows may still change: raw values,
//! NaN where nothing was observed.

mod state;

use crate::backend::Place;
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
    /// By ring: see [`Place::changes`].
    changes: Vec<u32>,
    newest: Vec<Newest>,
}

impl Grid {
    /// Rings of `ring` cells for windows of `cells`: windows end up to the difference before the newest cell.
    pub fn new(cells: usize, ring: usize, columns: usize) -> Self {
        let (values, rings, free, changes, newest) = Default::default();
        Grid { cells, ring, columns, values, rings, free, changes, newest }
    }

    /// Heap of `keys` keys with `ring` cells each, bytes.
    pub fn heap_bytes(keys: f64, ring: usize, columns: usize) -> f64 {
        let width = (ring * columns) as f64;
        let of_key = size_of::<Newest>() + 2 * size_of::<u32>();
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
        let ring = self.free.pop().unwrap_or_else(|| {
            let width = self.ring * self.columns;
            grow(&mut self.values, width);
            self.values.resize(self.values.len() + width, f32::NAN);
            grow(&mut self.changes, 1);
            self.changes.push(0);
            self.changes.len() as u32 - 1
        });
        self.rings[key as usize] = ring;
        self.change(ring);
        true
    }

    fn change(&mut self, ring: u32) {
        let changes = &mut self.changes[ring as usize];
        *changes = changes.wrapping_add(1).max(1);
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
        self.change(self.rings[key as usize]);
        let at = self.at(key, cell);
        self.values[at..at + self.columns].copy_from_slice(values);
    }

    /// All rings: rings x cells x columns, and the cells of one.
    pub fn values(&self) -> (&[f32], usize) {
        (&self.values, self.ring)
    }

    /// Where a key that has a ring has it.
    pub fn place(&self, key: KeyIndex) -> Place {
        let ring = self.rings[key as usize];
        let (newest, changes) = (self.newest[key as usize].cell, self.changes[ring as usize]);
        Place { key, ring, newest, changes }
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

    /// The newest cell with data; `None` before the first.
    pub fn newest_cell(&self, key: KeyIndex) -> Option<i64> {
        Some(self.newest[key as usize].cell).filter(|cell| *cell != i64::MIN)
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
mod tests;
