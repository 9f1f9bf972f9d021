//! Rows in memory, every cell as text, and each as JSON.
//!
//! What a cell becomes depends on the cell alone. Column types guessed from the whole file would let a
//! later row change how an earlier one is scored.

use std::path::Path;

use polars::io::mmap::MmapBytesReader;
use polars::prelude::{CsvReadOptions, SerReader, StringChunked};

use super::pieces::Pieces;
use crate::source::SourceError;

pub(super) struct Table {
    /// All of the same length.
    columns: Vec<StringChunked>,
    /// `"name":`, ready to be written.
    keys: Vec<String>,
}

impl Table {
    pub fn new(columns: Vec<StringChunked>) -> Self {
        let keys = columns.iter().map(|column| format!("{}:", quoted(column.name()))).collect();
        Table { columns, keys }
    }

    /// Reads the whole file; what it is is recognised by its content. Blocks.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let mut pieces = Pieces::open(path)?;
        let mut whole = pieces.piece()?.ok_or_else(|| empty(path))?;
        while let Some(piece) = pieces.piece()? {
            for (column, more) in whole.columns.iter_mut().zip(&piece.columns) {
                column.append(more).map_err(|e| not_csv(path, e.to_string()))?;
            }
        }
        for column in &mut whole.columns {
            *column = column.rechunk().into_owned();
        }
        Ok(whole)
    }

    /// Of CSV; `path` is for errors only.
    pub fn of(path: &Path, text: impl MmapBytesReader) -> Result<Self, SourceError> {
        let frame = CsvReadOptions::default()
            .with_infer_schema_length(Some(0))
            .with_rechunk(true)
            .into_reader_with_file_handle(text)
            .finish()
            .map_err(|e| not_csv(path, brief(&e.to_string())))?;
        let columns = frame.columns().iter().map(|column| column.str().cloned()).collect::<Result<_, _>>();
        Ok(Table::new(columns.map_err(|_| not_csv(path, "a column could not be read as text".to_owned()))?))
    }

    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len())
    }

    /// Index of a named column.
    pub fn column(&self, path: &Path, name: &str) -> Result<usize, SourceError> {
        let present: Vec<String> = self.columns.iter().map(|column| column.name().to_string()).collect();
        match present.iter().position(|n| n == name) {
            Some(index) => Ok(index),
            None => Err(SourceError::NoColumn { path: path.to_owned(), column: name.to_owned(), present }),
        }
    }

    /// One row as a JSON object, in the order of the header.
    pub fn json(&self, row: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 * self.keys.len());
        for (index, (key, text)) in self.keys.iter().zip(&self.columns).enumerate() {
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
        let text = self.columns.get(column)?.get(row)?.trim();
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

/// The parser's own words go on about its options, over many lines.
fn brief(words: &str) -> String {
    const CHARS_MAX: usize = 160;
    if words.contains("found more fields than defined") {
        return "a row has more fields than the header has names".to_owned();
    }
    let line = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it cannot be read");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

pub(super) fn empty(path: &Path) -> SourceError {
    not_csv(path, "it is empty".to_owned())
}

fn not_csv(path: &Path, detail: String) -> SourceError {
    SourceError::NotCsv { path: path.to_owned(), detail }
}

/// The file's name without folders, `.gz` and its extension: the topic of its messages.
pub(super) fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
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
        for (path, expected) in [
            ("/a/pump.csv", "pump"),
            ("pump.2.csv.gz", "pump.2"),
            ("pump.csv.zst", "pump"),
            ("x/pump", "pump"),
        ] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }
}
