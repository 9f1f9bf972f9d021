//! A CSV file, line by line.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    /// The one that is being written.
    pub line: Vec<u8>,
}

impl Lines {
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path, header: &str) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut lines =
            Lines { path: path.to_owned(), file: BufWriter::new(file), line: header.as_bytes().to_vec() };
        lines.end()?;
        Ok(lines)
    }

    /// A field of CSV (RFC 4180): in quotes where it holds what would end it.
    pub fn field(&mut self, field: &[u8]) {
        let line = &mut self.line;
        if !field.iter().any(|byte| b",\"\r\n".contains(byte)) {
            return line.extend_from_slice(field);
        }
        line.push(b'"');
        for &byte in field {
            if byte == b'"' {
                line.push(b'"');
            }
            line.push(byte);
        }
        line.push(b'"');
    }

    /// Ends the line.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(&mut self) -> Result<()> {
        self.line.push(b'\n');
        let written = self.file.write_all(&self.line);
        self.line.clear();
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.path.display()))
    }
}
