//! The rings of a partition's keys, as the engine shows them to a backend that keeps a copy. The copy is a cache: where
//! it is not known to be what is here, it is written anew.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A column's level and spread as scoring sees them, raw units; constant inside an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub mean: f32,
    pub sd: f32,
}

/// The rings that the windows of a batch are of, all with the same last cell.
#[derive(Clone, Copy, Debug)]
pub struct Rings<'a> {
    /// Of whoever owns them: [`Rings::next_id`].
    pub id: u64,
    /// rings x cells x columns, raw units, NaN = missing. A cell's place in its ring is its number modulo `cells`.
    pub values: &'a [f32],
    pub cells: usize,
    pub columns: usize,
    /// keys x columns
    pub scales: &'a [Scale],
    pub last_cell: i64,
    /// By window.
    pub places: &'a [Place],
    /// Numbers of the windows that are scored; `None`: all, in their order.
    pub rows: Option<&'a [u32]>,
}

/// Where a window lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub key: u32,
    pub ring: u32,
    /// Newest cell with data.
    pub newest: i64,
    /// Of the ring, never 0: another one where more has changed since than that newer cells were written.
    pub changes: u32,
}

impl Rings<'_> {
    /// Tells owners apart, in this process.
    pub fn next_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Relaxed)
    }

    /// Of the window that is scored as the `row`th.
    pub(super) fn place(&self, row: u32) -> Place {
        self.places[self.rows.map_or(row, |rows| rows[row as usize]) as usize]
    }

    /// Of one key.
    pub(super) fn scales_of(&self, key: u32) -> &[Scale] {
        &self.scales[key as usize * self.columns..][..self.columns]
    }

    /// Values of a cell of a ring.
    pub(super) fn cell(&self, ring: u32, cell: i64) -> &[f32] {
        let at = ring as usize * self.cells + self.place_of(cell) as usize;
        &self.values[at * self.columns..][..self.columns]
    }

    pub(super) fn place_of(&self, cell: i64) -> u32 {
        cell.rem_euclid(self.cells as i64) as u32
    }
}
