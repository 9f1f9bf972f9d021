//! A Parquet file, piece by piece: of one row group its compressed columns are in memory, and of these some rows as text.
//!
//! What the file says of itself is checked, and where the decoder fails at what it finds, a panic included, that is an error
//! that names the file. Values have no checksum: a bent one is another value.

mod cells;

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use polars::prelude::{PlSmallStr, StringChunked, StringChunkedBuilder};
use polars_arrow::datatypes::{ArrowDataType, Field};
use polars_buffer::Buffer;
use polars_parquet::read::{
    BasicDecompressor, ColumnChunkMetadata, FileMetadata, Filter, PageReader, column_iter_to_arrays,
    infer_schema, read_metadata,
};

use super::table::Table;
use crate::source::SourceError;
use cells::{Write, writer};

/// What a Parquet file starts and ends with.
pub(super) const MAGIC: &[u8] = b"PAR1";
/// Cells that are text at a time, about.
const PIECE_CELLS: usize = 1 << 18;

pub(super) struct Pieces {
    path: PathBuf,
    file: File,
    bytes: u64,
    metadata: FileMetadata,
    columns: Vec<(Field, Write)>,
    /// The row group that is being read.
    group: usize,
    /// By column, its bytes; read when its first row is.
    chunks: Vec<Buffer<u8>>,
    /// Rows of it that were given.
    given: usize,
    /// Whether a piece was given.
    begun: bool,
    bytes_read: u64,
}

impl Pieces {
    /// Reads what the file says of itself. Blocks.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Open { path: path.to_owned(), error };
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let read = guarded(|| {
            let metadata = read_metadata(&mut file).map_err(|e| e.to_string())?;
            let schema = infer_schema(&metadata).map_err(|e| e.to_string())?;
            let rows: usize = metadata.row_groups.iter().map(|group| group.num_rows()).sum();
            if rows != metadata.num_rows {
                return Err(format!("its row groups have {rows} rows, and it says {}", metadata.num_rows));
            }
            Ok((metadata, schema))
        });
        let (metadata, schema) = read.map_err(|detail| broken(path, detail))?;
        let columns = schema.iter_values().map(|field| column(path, field)).collect::<Result<_, _>>()?;
        let columns: Vec<_> = columns;
        if columns.is_empty() {
            return Err(broken(path, "it has no columns".to_owned()));
        }
        let (path, chunks) = (path.to_owned(), Vec::new());
        let (group, given, begun, bytes_read) = (0, 0, false, 0);
        Ok(Pieces { path, file, bytes, metadata, columns, group, chunks, given, begun, bytes_read })
    }

    /// Size of the file, and how much of it was read.
    pub fn progress(&self) -> (u64, u64) {
        (self.bytes, self.bytes_read)
    }

    /// The next rows; of a file without rows a piece without rows first. Blocks.
    pub fn piece(&mut self) -> Result<Option<Table>, SourceError> {
        self.piece_of(PIECE_CELLS)
    }

    fn piece_of(&mut self, cells: usize) -> Result<Option<Table>, SourceError> {
        let rows_max = (cells / self.columns.len().max(1)).max(1);
        while let Some(group) = self.metadata.row_groups.get(self.group) {
            let rows = group.num_rows();
            if self.given < rows {
                let to = (self.given + rows_max).min(rows);
                let table = self.table(self.given, to).map_err(|detail| broken(&self.path, detail))?;
                (self.given, self.begun) = (to, true);
                return Ok(Some(table));
            }
            self.chunks.clear();
            (self.group, self.given) = (self.group + 1, 0);
        }
        self.bytes_read = self.bytes;
        let nothing = (!std::mem::replace(&mut self.begun, true)).then(|| {
            let empty =
                |(field, _): &(Field, Write)| StringChunkedBuilder::new(field.name.clone(), 0).finish();
            Table::new(self.columns.iter().map(empty).collect())
        });
        Ok(nothing)
    }

    /// Rows `from..to` of the row group.
    fn table(&mut self, from: usize, to: usize) -> Result<Table, String> {
        if self.chunks.is_empty() {
            self.read_chunks()?;
        }
        let group = &self.metadata.row_groups[self.group];
        let mut columns = Vec::with_capacity(self.columns.len());
        for ((field, write), bytes) in self.columns.iter().zip(&self.chunks) {
            let chunk = only_chunk(group.columns_under_root_iter(&field.name), &field.name)?;
            columns.push(guarded(|| texts(chunk, bytes, field, *write, from..to))?);
        }
        Ok(Table::new(columns))
    }

    /// The columns' bytes of the row group, one read each.
    fn read_chunks(&mut self) -> Result<(), String> {
        let group = &self.metadata.row_groups[self.group];
        for (field, _) in &self.columns {
            let chunk = only_chunk(group.columns_under_root_iter(&field.name), &field.name)?;
            if usize::try_from(chunk.num_values()) != Ok(group.num_rows()) {
                let (name, found, rows) = (field.name.as_str(), chunk.num_values(), group.num_rows());
                return Err(format!("column {name:?} has {found} values for {rows} rows"));
            }
            let range = chunk.byte_range();
            if range.start > range.end || range.end > self.bytes {
                return Err(format!("column {:?} lies beyond the end of the file", field.name.as_str()));
            }
            let mut bytes = vec![0; (range.end - range.start) as usize];
            let read =
                self.file.seek(SeekFrom::Start(range.start)).and_then(|_| self.file.read_exact(&mut bytes));
            read.map_err(|e| e.to_string())?;
            self.bytes_read = (self.bytes_read + bytes.len() as u64).min(self.bytes);
            self.chunks.push(bytes.into());
        }
        Ok(())
    }
}

/// A column that is read, and how its values become text.
fn column(path: &Path, field: &Field) -> Result<(Field, Write), SourceError> {
    let mut field = field.clone();
    // A text by another layout.
    if matches!(&field.dtype, ArrowDataType::Dictionary(_, of, _) if **of == ArrowDataType::Utf8View) {
        field.dtype = ArrowDataType::Utf8View;
    }
    match writer(&field.dtype) {
        Some(write) => Ok((field, write)),
        None => Err(SourceError::ParquetColumn {
            path: path.to_owned(),
            column: field.name.to_string(),
            kind: cells::kind(&field.dtype),
        }),
    }
}

fn only_chunk<'a>(
    chunks: Option<impl ExactSizeIterator<Item = &'a ColumnChunkMetadata>>,
    name: &PlSmallStr,
) -> Result<&'a ColumnChunkMetadata, String> {
    let mut chunks = chunks.into_iter().flatten();
    match (chunks.next(), chunks.next()) {
        (Some(chunk), None) => Ok(chunk),
        _ => Err(format!("a row group lacks column {:?}", name.as_str())),
    }
}

/// These rows of a column of a row group, as text.
fn texts(
    chunk: &ColumnChunkMetadata,
    bytes: &Buffer<u8>,
    field: &Field,
    write: Write,
    rows: std::ops::Range<usize>,
) -> Result<StringChunked, String> {
    let expected = rows.len();
    let pages = PageReader::new(Cursor::new(bytes.clone()), chunk, Vec::new(), usize::MAX);
    let pages = BasicDecompressor::new(pages, Vec::new());
    let kind = &chunk.descriptor().descriptor.primitive_type;
    let filter = Filter::new_ranged(rows.start, rows.end);
    let (arrays, _) = column_iter_to_arrays(vec![pages], vec![kind], field.clone(), Some(filter))
        .map_err(|e| format!("column {:?}: {e}", field.name.as_str()))?;
    let mut texts = StringChunkedBuilder::new(field.name.clone(), expected);
    arrays.iter().for_each(|array| write(&**array, &mut texts));
    let texts = texts.finish();
    match texts.len() {
        found if found == expected => Ok(texts),
        found => Err(format!("column {:?} has {found} values for {expected} rows", field.name.as_str())),
    }
}

/// The decoder panics at some of what a broken file may hold.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("its bytes make no sense".to_owned()))
}

fn broken(path: &Path, detail: String) -> SourceError {
    SourceError::NotParquet { path: path.to_owned(), detail }
}

#[cfg(test)]
mod tests;
