//! What was expected of every column of every window, as CSV, a line a window and column.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::lines::Lines;
use crate::config::plan::ColumnPlan;
use crate::types::Point;

const HEADER: &str = "key,window_end_ns,column,value,expected,expected_low,expected_high,share";

/// Lines in the order of the verdicts, the columns of a window in the config's order; an empty value was missing. Of
/// two lines on the same key, end and column the later one holds, as in [`super::scores::Scores`].
pub struct Columns {
    lines: Lines,
    names: Vec<String>,
}

impl Columns {
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, columns: &[ColumnPlan]) -> Result<Self> {
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Ok(Columns { lines: Lines::create(path, HEADER)?, names })
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, point: &Point) -> Result<()> {
        let Point { key, time, values, expected, low, high, share, .. } = point;
        let Columns { lines, names } = self;
        for (column, name) in names.iter().enumerate() {
            lines.field(key);
            write!(lines.line, ",{},", time.0)?;
            lines.field(name.as_bytes());
            lines.line.push(b',');
            if !values[column].is_nan() {
                write!(lines.line, "{}", values[column])?;
            }
            for number in [expected, low, high, share] {
                write!(lines.line, ",{}", number[column])?;
            }
            lines.end()?;
        }
        Ok(())
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.lines.finish()
    }
}
