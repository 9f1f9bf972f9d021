//! What was expected of every column of every window, as CSV, a line a window and column.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::scores::write_field;
use crate::config::plan::ColumnPlan;
use crate::types::Point;

const HEADER: &str = "key,window_end_ns,column,value,expected,expected_low,expected_high,share";

/// Lines in the order of the verdicts, the columns of a window in the config's order; an empty value was missing. Of
/// two lines on the same key, end and column the later one holds, as in [`super::scores::Scores`].
pub struct Columns {
    path: PathBuf,
    file: BufWriter<File>,
    names: Vec<String>,
    line: Vec<u8>,
}

impl Columns {
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, columns: &[ColumnPlan]) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let mut columns =
            Columns { path: path.to_owned(), file: BufWriter::new(file), names, line: Vec::new() };
        columns.line.extend_from_slice(HEADER.as_bytes());
        columns.end_line()?;
        Ok(columns)
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, point: &Point) -> Result<()> {
        let Point { key, time, values, expected, low, high, share, .. } = point;
        for column in 0..self.names.len() {
            write_field(&mut self.line, key);
            write!(self.line, ",{},", time.0)?;
            write_field(&mut self.line, self.names[column].as_bytes());
            self.line.push(b',');
            if !values[column].is_nan() {
                write!(self.line, "{}", values[column])?;
            }
            for number in [expected, low, high, share] {
                write!(self.line, ",{}", number[column])?;
            }
            self.end_line()?;
        }
        Ok(())
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn end_line(&mut self) -> Result<()> {
        self.line.push(b'\n');
        let written = self.file.write_all(&self.line);
        self.line.clear();
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}
