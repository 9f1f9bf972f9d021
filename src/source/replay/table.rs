//! CSV in memory, every cell as text, and its rows as JSON.
//!
//! What a cell becomes depends on the cell alone. Column types guessed from the whole file would let a
//! later row change how an earlier one is scored.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use polars::io::mmap::MmapBytesReader;
use polars::prelude::{CsvReadOptions, DataFrame, SerReader, StringChunked};

use crate::source::SourceError;

pub(super) struct Table {
    frame: DataFrame,
    /// `"name":`, ready to be written.
    keys: Vec<String>,
}

impl Table {
    /// Reads the whole file; gzip is recognised by its content. Blocks.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Open { path: path.to_owned(), error };
        let mut file = File::open(path).map_err(failed)?;
        let mut start = Vec::new();
        (&file).take(PARQUET.len() as u64).read_to_end(&mut start).map_err(failed)?;
        refuse_parquet(path, &start)?;
        file.rewind().map_err(failed)?;
        Table::of(path, file)
    }

    /// `path` is for errors only.
    pub fn of(path: &Path, text: impl MmapBytesReader) -> Result<Self, SourceError> {
        let not_csv = |detail: String| SourceError::NotCsv { path: path.to_owned(), detail };
        let frame = CsvReadOptions::default()
            .with_infer_schema_length(Some(0))
            .with_rechunk(true)
            .into_reader_with_file_handle(text)
            .finish()
            .map_err(|e| not_csv(e.to_string()))?;
        let keys = frame.get_column_names().into_iter().map(|name| format!("{}:", quoted(name))).collect();
        let texts = frame.columns().iter().all(|column| column.str().is_ok());
        if !texts {
            return Err(not_csv("a column could not be read as text".to_owned()));
        }
        Ok(Table { frame, keys })
    }

    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// Index of a named column.
    pub fn column(&self, path: &Path, name: &str) -> Result<usize, SourceError> {
        let present: Vec<String> = self.frame.get_column_names().iter().map(|n| n.to_string()).collect();
        match present.iter().position(|n| n == name) {
            Some(index) => Ok(index),
            None => Err(SourceError::NoColumn { path: path.to_owned(), column: name.to_owned(), present }),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &StringChunked> {
        // Every column was checked to be text when it was read.
        self.frame.columns().iter().filter_map(|column| column.str().ok())
    }

    /// One row as a JSON object, in the order of the header.
    pub fn json(&self, row: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 * self.keys.len());
        for (index, (key, text)) in self.keys.iter().zip(self.texts()).enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(cell(text.get(row)).as_bytes());
        }
        out.push(b'}');
        out
    }

    /// A cell as event time, ns since the Unix epoch: a number is seconds, a text is ISO 8601 (in UTC
    /// when it names no offset).
    pub fn time_ns(&self, row: usize, column: usize) -> Option<i64> {
        let text = self.texts().nth(column)?.get(row)?.trim();
        if let Ok(seconds) = text.parse::<f64>() {
            let ns = seconds * 1e9;
            return (ns.abs() < i64::MAX as f64).then_some(ns as i64);
        }
        let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
            let local = text.parse::<jiff::civil::DateTime>().ok()?;
            local.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        })?;
        i64::try_from(timestamp.as_nanosecond()).ok()
    }
}

/// What a Parquet file starts with.
const PARQUET: &[u8] = b"PAR1";

/// Read as CSV it would only be a riddle.
pub(super) fn refuse_parquet(path: &Path, start: &[u8]) -> Result<(), SourceError> {
    if start.starts_with(PARQUET) { Err(SourceError::Parquet { path: path.to_owned() }) } else { Ok(()) }
}

/// The file's name without folders, `.gz` and its extension: the topic of its messages.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    plain.rsplit_once('.').map_or(plain, |(stem, _)| stem).to_owned()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A cell as JSON. Empty and `nan` are missing. A number keeps its digits as written, so nothing is
/// rounded; one that JSON would not take (`+1.5`, `.5`) is rewritten. A number with leading zeros is a
/// text, since it is somebody's id.
fn cell(text: Option<&str>) -> String {
    let Some(text) = text else { return "null".to_owned() };
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.eq_ignore_ascii_case("nan") {
        return "null".to_owned();
    }
    if serde_json::from_str::<serde_json::Number>(trimmed).is_ok() {
        return trimmed.to_owned();
    }
    let digits = trimmed.trim_start_matches(['+', '-']).as_bytes();
    let padded = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
    match trimmed.parse::<f64>() {
        Ok(number) if number.is_finite() && !padded => serde_json::Value::from(number).to_string(),
        _ => quoted(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_become_what_they_are() {
        for (text, json) in [
            ("", "null"),
            (" ", "null"),
            ("NaN", "null"),
            ("1", "1"),
            (" -1.50e3 ", "-1.50e3"),
            ("9007199254740993", "9007199254740993"),
            ("+1.5", "1.5"),
            (".5", "0.5"),
            ("5.", "5.0"),
            ("007", "\"007\""),
            ("1e999", "\"1e999\""),
            ("inf", "\"inf\""),
            ("true", "\"true\""),
            ("a \"b\"\n", "\"a \\\"b\\\"\\n\""),
        ] {
            assert_eq!(cell(Some(text)), json, "{text:?}");
        }
        assert_eq!(cell(None), "null");
    }

    #[test]
    fn stem_drops_folder_and_extensions() {
        for (path, expected) in [("/a/pump.csv", "pump"), ("pump.2.csv.gz", "pump.2"), ("x/pump", "pump")] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }
}
