//! Of one stream, what its decoded rows gave cause to say; since the start.

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::{read, write};
use crate::config::plan::{Layout, StreamPlan};

#[derive(Debug, Default)]
pub struct RowStatus {
    /// Rows of metrics that are no column; only of the long layout.
    pub ignored_total: AtomicU64,
    /// Rows taken whose time lies before the year 2000.
    pub before_2000_total: AtomicU64,
    /// Rows in which columns were looked for.
    pub read_total: AtomicU64,
    /// By column: those of them that have a value of it.
    pub with_total: Vec<AtomicU64>,
    /// By column: the others of them. A number of its own, so that it never falls between two looks.
    pub absent_total: Vec<AtomicU64>,
    /// Whether it was looked once for columns that do not come.
    pub looked: AtomicBool,
    /// By column, if it was in none of so many rows that it should have been: what to do about it.
    missed: Mutex<Vec<Option<String>>>,
    is_wide: bool,
    /// By `SchemaChange as usize`.
    pub schema_events: [AtomicU64; 5],
    fields_missing: Mutex<Option<(i32, String)>>,
}

/// A column that has not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    pub column: usize,
    pub rows: u64,
    pub remedy: String,
}

impl RowStatus {
    pub fn new(stream: &StreamPlan) -> Self {
        RowStatus {
            with_total: stream.columns.iter().map(|_| AtomicU64::new(0)).collect(),
            absent_total: stream.columns.iter().map(|_| AtomicU64::new(0)).collect(),
            is_wide: matches!(stream.layout, Layout::Wide { .. }),
            ..RowStatus::default()
        }
    }

    /// Rows without a value of the column; `None` where a row holds one column alone.
    pub fn absent_total(&self, column: usize) -> Option<u64> {
        self.is_wide.then(|| self.absent_total[column].load(Relaxed))
    }

    pub fn set_missed(&self, remedies: Vec<Option<String>>) {
        write(&self.missed, remedies);
    }

    /// Columns that were missed and have not come since.
    pub fn missed(&self) -> Vec<Missed> {
        let missed = read(&self.missed);
        let rows = self.read_total.load(Relaxed);
        let remedies = missed.into_iter().enumerate().filter_map(|(column, remedy)| Some((column, remedy?)));
        let still = remedies.filter(|(column, _)| self.with_total[*column].load(Relaxed) == 0);
        still.map(|(column, remedy)| Missed { column, rows, remedy }).collect()
    }

    /// The newest schema and which of the stream's paths lead nowhere in it; `None` if all lead somewhere.
    pub fn fields_missing(&self) -> Option<(i32, String)> {
        read(&self.fields_missing)
    }

    pub fn set_fields_missing(&self, missing: Option<(i32, String)>) {
        write(&self.fields_missing, missing);
    }
}
