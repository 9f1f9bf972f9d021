//! The rows of one key that a window may hold, in order of time.

mod state;

use std::collections::VecDeque;
use std::ops::Range;

/// A key keeps no more rows: the oldest go first. Bounds what one wild key takes of memory and of time.
pub const ROWS_MAX: usize = 4096;

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
    rows: VecDeque<RowTime>,
    /// rows x columns
    values: VecDeque<f32>,
    /// Time of the newest row that was let go.
    before: Option<i64>,
    /// Rows that became final, ever.
    pub finals: u64,
}

impl KeyRows {
    /// Heap of `rows` rows, bytes; queues grow to powers of two, of four at least.
    pub fn heap_bytes(rows: f64, columns: usize) -> f64 {
        let room = |elements: f64| elements.max(4.0).log2().ceil().exp2();
        room(rows) * size_of::<RowTime>() as f64 + room(rows * columns as f64) * size_of::<f32>() as f64
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn first(&self) -> Option<&RowTime> {
        self.rows.front()
    }

    pub fn last(&self) -> Option<&RowTime> {
        self.rows.back()
    }

    /// Puts a row in its place; `false` if it is there already.
    pub fn insert(&mut self, row: RowTime, values: &[f32]) -> bool {
        let order = |other: &RowTime| (other.time, other.content_hash);
        let wanted = order(&row);
        // Nearly always behind all others.
        let mut at = self.rows.len();
        while at > 0 && order(&self.rows[at - 1]) > wanted {
            at -= 1;
        }
        if at > 0 && order(&self.rows[at - 1]) == wanted {
            return false;
        }
        self.rows.insert(at, row);
        for (column, &value) in values.iter().enumerate() {
            self.values.insert(at * values.len() + column, value);
        }
        true
    }

    /// Lets go of rows at or before `until`.
    pub fn drop_until(&mut self, until: i64, columns: usize) {
        let gone = self.rows.partition_point(|row| row.time <= until);
        self.drop_first(gone, columns);
    }

    /// Keeps the newest `rows`.
    pub fn keep(&mut self, rows: usize, columns: usize) {
        self.drop_first(self.rows.len().saturating_sub(rows), columns);
    }

    fn drop_first(&mut self, rows: usize, columns: usize) {
        if let Some(newest) = rows.checked_sub(1).map(|last| self.rows[last].time) {
            self.before = Some(newest);
            self.rows.drain(..rows);
            self.values.drain(..rows * columns);
        }
    }

    /// The rows in `(after, until]`.
    pub fn between(&self, after: i64, until: i64) -> Range<usize> {
        let start = self.rows.partition_point(|row| row.time <= after);
        start..self.rows.partition_point(|row| row.time <= until)
    }

    pub fn row(&self, at: usize) -> &RowTime {
        &self.rows[at]
    }

    /// Copies the values of a row.
    pub fn read(&self, at: usize, values: &mut [f32]) {
        let columns = values.len();
        for (column, value) in values.iter_mut().enumerate() {
            *value = self.values[at * columns + column];
        }
    }

    /// Time from the row before to this one, s; NaN if there was none.
    pub fn since_last_s(&self, at: usize) -> f32 {
        let before = if at > 0 { Some(self.rows[at - 1].time) } else { self.before };
        before.map_or(f32::NAN, |before| ((self.rows[at].time - before) as f64 / 1e9) as f32)
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
                    let mut values = [0.0; 2];
                    rows.read(at, &mut values);
                    assert_eq!(values, [rows.row(at).time as f32, rows.row(at).content_hash as f32]);
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
