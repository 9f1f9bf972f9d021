//! Windows that are scored together.

use crate::backend::Place;
use crate::model::EVERYONE;
use crate::window::keys::KeyIndex;

/// What a window spans: `[start, end)`, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: i64,
    pub end: i64,
}

/// Buffers reused from batch to batch; a row a window.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub keys: Vec<KeyIndex>,
    pub spans: Vec<Span>,
    /// Rows of a sliding window; empty for others.
    pub rows: Vec<u32>,
    /// Where windows lie in the rings of the grid, all with one last cell; empty where nobody wants to know, or where they
    /// come of elsewhere.
    pub places: Vec<Place>,
    /// Cohorts of the keys, once scored; empty where the model has none but everyone's.
    pub cohorts: Vec<u32>,
    /// Arrival of the newest row in the window, ns.
    pub arrivals: Vec<i64>,
    /// rows x cells x columns, raw until standardised.
    pub z: Vec<f32>,
    /// As `z`, raw; only of streams that have rules on departures, and of windows of several cells that events make.
    pub raw: Vec<f32>,
    /// rows x columns: the raw values of the last cell.
    pub newest: Vec<f32>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn clear(&mut self) {
        let Batch { keys, spans, rows, places, cohorts, arrivals, z, raw, newest } = self;
        keys.clear();
        spans.clear();
        rows.clear();
        places.clear();
        cohorts.clear();
        arrivals.clear();
        z.clear();
        raw.clear();
        newest.clear();
    }

    /// Adds a window whose raw values `gather` appends, cell by cell.
    pub fn push(
        &mut self,
        key: KeyIndex,
        span: Span,
        arrival: i64,
        columns: usize,
        gather: impl FnOnce(&mut Vec<f32>),
    ) {
        self.keys.push(key);
        self.spans.push(span);
        self.arrivals.push(arrival);
        gather(&mut self.z);
        let last = self.z.len() - columns;
        self.newest.extend_from_slice(&self.z[last..]);
    }

    /// Keeps the windows as they are before they are standardised: that clips what is far off.
    pub fn keep_raw(&mut self) {
        self.raw.clear();
        self.raw.extend_from_slice(&self.z);
    }

    /// The cohort a window was scored by.
    pub fn cohort(&self, row: usize) -> u32 {
        self.cohorts.get(row).copied().unwrap_or(EVERYONE)
    }

    /// The raw values of the last cell of a window.
    pub fn newest(&self, row: usize, columns: usize) -> &[f32] {
        &self.newest[row * columns..][..columns]
    }
}
