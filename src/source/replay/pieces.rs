//! A file of rows, piece by piece: what is in memory does not grow with the file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::table::Table;
use super::{csv, parquet};
use crate::source::SourceError;

pub(super) enum Pieces {
    Csv(csv::Pieces),
    Parquet(parquet::Pieces),
}

impl Pieces {
    /// Parquet is recognised by its content, as compression is. Blocks.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Open { path: path.to_owned(), error };
        let mut start = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(parquet::MAGIC.len() as u64).read_to_end(&mut start).map_err(failed)?;
        Ok(match start == parquet::MAGIC {
            true => Pieces::Parquet(parquet::Pieces::open(path)?),
            false => Pieces::Csv(csv::Pieces::open(path)?),
        })
    }

    /// Size of the file, and how much of it was read.
    pub fn progress(&self) -> (u64, u64) {
        match self {
            Pieces::Csv(pieces) => pieces.progress(),
            Pieces::Parquet(pieces) => pieces.progress(),
        }
    }

    /// The next rows, of the first piece maybe none; `None` behind the last. Blocks.
    pub fn piece(&mut self) -> Result<Option<Table>, SourceError> {
        match self {
            Pieces::Csv(pieces) => pieces.piece(),
            Pieces::Parquet(pieces) => pieces.piece(),
        }
    }
}
