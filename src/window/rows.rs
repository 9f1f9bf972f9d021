//! The rows of one key that a window may hold, in order of time.

mod state;

use std::ops::Range;

/// A key keeps no more rows: the oldest go first. Bounds what one wild key takes of memory and of time.
pub const ROWS_MAX: usize = 4096;

/// So many rows to keep are there to each that is to be forgotten, at least.
const LIVE_TO_GONE: usize = 4;

/// A row without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTime {
    /// ns
    pub time: i64,
    pub content_hash: u64,
    /// ns
    pub arrival: i64,
}

/// Rows in order of time; rows of one time in order of their content, so that arrival does not matter.
#[derive(Clone, Debug, Default)]
pub struct KeyRows {
    /// The first `gone` are to be forgotten; they lie in the way no longer than it pays to move the rest.
    rows: Vec<RowTime>,
    /// rows x columns
    values: Vec<f32>,
    gone: usize,
    /// Time of the newest row that was let go.
    before: Option<i64>,
    /// Rows that became final, ever.
    pub finals: u64,
}

impl KeyRows {
    /// Heap of `rows` rows, bytes; vectors grow to powers of two, of four at least.
    pub fn heap_bytes(rows: f64, columns: usize) -> f64 {
        let room = |elements: f64| elements.max(4.0).log2().ceil().exp2();
        let rows = rows * (1.0 + 1.0 / LIVE_TO_GONE as f64);
        room(rows) * size_of::<RowTime>() as f64 + room(rows * columns as f64) * size_of::<f32>() as f64
    }

    fn live(&self) -> &[RowTime] {
        &self.rows[self.gone..]
    }

    pub fn len(&self) -> usize {
        self.live().len()
    }

    pub fn is_empty(&self) -> bool {
        self.live().is_empty()
    }

    pub fn first(&self) -> Option<&RowTime> {
        self.live().first()
    }

    pub fn last(&self) -> Option<&RowTime> {
        self.live().last()
    }

    /// Puts a row in its place; `false` if it is there already.
    pub fn insert(&mut self, row: RowTime, values: &[f32]) -> bool {
        let order = |other: &RowTime| (other.time, other.content_hash);
        let wanted = order(&row);
        // Nearly always behind all others.
        let mut at = self.rows.len();
        while at > self.gone && order(&self.rows[at - 1]) > wanted {
            at -= 1;
        }
        if at > self.gone && order(&self.rows[at - 1]) == wanted {
            return false;
        }
        self.rows.insert(at, row);
        let at = at * values.len();
        self.values.splice(at..at, values.iter().copied());
        true
    }

    /// Lets go of rows at or before `until`.
    pub fn drop_until(&mut self, until: i64, columns: usize) {
        let gone = self.live().partition_point(|row| row.time <= until);
        self.drop_first(gone, columns);
    }

    /// Lets go of rows at or before `until`, and of the memory if that were all.
    pub fn rest(&mut self, until: i64, columns: usize) {
        self.drop_until(until, columns);
        if self.is_empty() {
            (self.rows, self.values, self.gone) = (Vec::new(), Vec::new(), 0);
        }
    }

    /// Keeps the newest `rows`.
    pub fn keep(&mut self, rows: usize, columns: usize) {
        self.drop_first(self.len().saturating_sub(rows), columns);
    }

    fn drop_first(&mut self, rows: usize, columns: usize) {
        let Some(newest) = rows.checked_sub(1).map(|last| self.live()[last].time) else { return };
        self.before = Some(newest);
        self.gone += rows;
        if self.gone * LIVE_TO_GONE >= self.len() {
            self.rows.drain(..self.gone);
            self.values.drain(..self.gone * columns);
            self.gone = 0;
        }
    }

    /// The rows in `(after, until]`.
    pub fn between(&self, after: i64, until: i64) -> Range<usize> {
        let start = self.live().partition_point(|row| row.time <= after);
        start..self.live().partition_point(|row| row.time <= until)
    }

    pub fn row(&self, at: usize) -> &RowTime {
        &self.live()[at]
    }

    /// The values of these rows, rows x columns.
    pub fn values(&self, rows: Range<usize>, columns: usize) -> &[f32] {
        &self.values[(self.gone + rows.start) * columns..(self.gone + rows.end) * columns]
    }

    /// Time from the row before to this one, s; NaN if there was none.
    pub fn since_last_s(&self, at: usize) -> f32 {
        let before = if at > 0 { Some(self.row(at - 1).time) } else { self.before };
        before.map_or(f32::NAN, |before| ((self.row(at).time - before) as f64 / 1e9) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_sorted_list(
            steps in prop::collection::vec((0i64..40, 0u64..3, prop::option::of(0i64..30)), 1..60),
        ) {
            let (mut rows, mut oracle) = (KeyRows::default(), Vec::<(i64, u64)>::new());
            let mut gone = None;
            for (time, content_hash, until) in steps {
                let known = oracle.contains(&(time, content_hash));
                let values = [time as f32, content_hash as f32];
                prop_assert_eq!(rows.insert(RowTime { time, content_hash, arrival: 0 }, &values), !known);
                if !known {
                    oracle.push((time, content_hash));
                    oracle.sort_unstable();
                }
                if let Some(until) = until {
                    rows.drop_until(until, 2);
                    gone = oracle.iter().map(|row| row.0).filter(|t| *t <= until).max().or(gone);
                    oracle.retain(|row| row.0 > until);
                }
                let found: Vec<_> = (0..rows.len()).map(|at| {
                    assert_eq!(rows.values(at..at + 1, 2), [rows.row(at).time as f32, rows.row(at).content_hash as f32]);
                    (rows.row(at).time, rows.row(at).content_hash)
                }).collect();
                prop_assert_eq!(&found, &oracle);
                prop_assert_eq!(rows.before, gone);
                let middle = rows.between(9, 20);
                prop_assert_eq!(middle.len(), oracle.iter().filter(|row| row.0 > 9 && row.0 <= 20).count());
            }
        }
    }

    #[test]
    fn the_time_since_the_event_before_outlives_that_event() {
        let mut rows = KeyRows::default();
        for time in [1_000_000_000, 3_500_000_000] {
            rows.insert(RowTime { time, content_hash: 0, arrival: 0 }, &[0.0]);
        }
        assert!(rows.since_last_s(0).is_nan(), "nothing before the first");
        assert_eq!(rows.since_last_s(1), 2.5);
        rows.keep(1, 1);
        assert_eq!(rows.since_last_s(0), 2.5);
    }
}
