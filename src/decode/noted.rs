//! What decoding shows beside events and dead letters: counts, and which columns have never come.

use crate::types::Message;

use super::fields;
use super::schema::{Schema, Shape};

/// After so many rows a column that was in none of them is taken for one that never comes: five minutes of one device with
/// a reading a second.
pub const ABSENT_ROWS: u64 = 300;

/// Where a row is of one metric, a plant's others may come many times before a column's turn. A column is missed once
/// another one has come [`ABSENT_ROWS`] times, or none of them in so many rows.
const ABSENT_ROWS_LONG: u64 = 100 * ABSENT_ROWS;

/// Names of metrics that are none of the columns, kept to tell what one might be called.
const METRICS_MAX: usize = 8;
/// Longer ones are not kept, bytes.
const METRIC_MAX: usize = 100;

/// What is no dead letter and yet worth a word, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Rows (of the long layout) whose metric is no column of the stream. Most of a plant's metrics are like that, so they
    /// are counted and not dead-lettered. A message whose topic names such a metric counts as one row and is not read.
    pub rows_ignored: u64,
    /// Rows taken whose time lies before the year 2000, as counts since a start-up do, or a clock that was never set. A count
    /// that is a time of this century in another unit is refused.
    pub rows_before_2000: u64,
    /// Rows in which columns were looked for, those without any and those ignored among them.
    pub rows_read: u64,
    /// By column: rows that have a value of it.
    pub rows_with: Vec<u64>,
    /// What rows hold instead of a column that has not come in [`ABSENT_ROWS`]: the paths of a row's fields, or some names of
    /// metrics. Empty as long as all have come, or too few rows.
    pub fields: Vec<String>,
    /// Whether fields were looked for, which costs as much as decoding the message did.
    pub(super) looked: bool,
    is_long: bool,
    metrics: Vec<Box<str>>,
}

impl Noted {
    pub(super) fn new(schema: &Schema) -> Self {
        let is_long = matches!(schema.shape, Shape::Long { .. });
        Noted { rows_with: vec![0; schema.columns], is_long, ..Noted::default() }
    }

    /// Counts a row's columns; NaN is missing.
    pub(super) fn row(&mut self, values: &[f32]) {
        self.rows_read += 1;
        self.rows_with.iter_mut().zip(values).for_each(|(with, value)| *with += u64::from(!value.is_nan()));
    }

    pub(super) fn ignored(&mut self, metric: &str) {
        self.rows_read += 1;
        self.rows_ignored += 1;
        if metric.len() <= METRIC_MAX
            && self.metrics.len() < METRICS_MAX
            && self.metrics.iter().all(|known| **known != *metric)
        {
            self.metrics.push(metric.into());
        }
    }

    /// Whether so much was read that each column should have come.
    pub fn is_sure(&self) -> bool {
        match self.is_long {
            false => self.rows_read >= ABSENT_ROWS,
            true => {
                self.rows_read >= ABSENT_ROWS_LONG && self.rows_with.iter().all(|with| *with == 0)
                    || self.rows_with.iter().any(|with| *with >= ABSENT_ROWS)
            }
        }
    }

    /// Columns that were in none of enough rows.
    pub fn absent(&self) -> impl Iterator<Item = usize> {
        let rows = if self.is_sure() { &self.rows_with } else { &[][..] };
        rows.iter().enumerate().filter(|(_, with)| **with == 0).map(|(column, _)| column)
    }

    /// Keeps what the message holds instead, the first time that a column is missed.
    pub(super) fn look(&mut self, schema: &Schema, message: &Message) {
        if self.looked || self.absent().next().is_none() {
            return;
        }
        self.looked = true;
        self.fields = match &schema.shape {
            Shape::Wide { .. } => {
                fields::of(&message.payload, schema.point.as_ref().map(|points| points.path.as_slice()))
            }
            Shape::Long { .. } => self.metrics.iter().map(|name| name.to_string()).collect(),
        };
    }
}
