//! Snapshots: states with the log position they were taken at, `snapshots/<of>-<position, 20 digits>.snapshot`
//! in the data folder. The two newest of each are kept, so that a damaged one has another behind it.
//!
//! Header, 68 bytes, little-endian: `magic [u8; 8] │ format version u32 │ config fingerprint [u8; 32] │
//! position u64 │ body length u64 │ crc32 of the body u32 │ crc32 of the 64 bytes before it u32`.

use std::path::{Path, PathBuf};

use super::{Disk, LogError, read_blob, store_blob};
use crate::state::FORMAT;
use crate::types::Position;

const MAGIC: [u8; 8] = *b"EDDYSNAP";
const KEPT: usize = 2;
/// What is no stream's: its layout is that of this format still, so that `eddy state reset` of the streams is enough.
pub const LEDGER: &str = "ledger";
const LEDGER_SINCE: u32 = 3;
const ENDING: &str = ".snapshot";

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("{} is damaged ({detail})", file.display())]
    Damaged { file: PathBuf, detail: &'static str },
    #[error(
        "{} was written by another version of eddy (format {found}, this one reads {FORMAT}): run that version, \
         or let the stream learn anew with `eddy state reset` (what was told and is to be delivered stays)",
        file.display()
    )]
    Version { file: PathBuf, found: u32 },
    #[error(
        "{} was written under another config of its stream: restore that config, or start with an empty folder \
         (`[durable] path`)",
        file.display()
    )]
    Config { file: PathBuf },
    #[error(transparent)]
    Disk(#[from] LogError),
}

/// What a snapshot's name says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    /// What it is of, such as `pumps-07`.
    pub of: String,
    pub position: Position,
}

impl SnapshotName {
    fn parse(name: &str) -> Option<Self> {
        let (of, digits) = name.strip_suffix(ENDING)?.rsplit_once('-')?;
        let whole = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
        Some(SnapshotName { of: of.to_owned(), position: Position(digits.parse().ok().filter(|_| whole)?) })
    }

    pub fn file(&self) -> String {
        format!("{}-{:020}{ENDING}", self.of, self.position.0)
    }
}

/// The folder of snapshots. One writer; see [`super::Disk`] for what is durable when.
pub struct Snapshots {
    disk: Box<dyn Disk>,
    dir: PathBuf,
}

impl Snapshots {
    /// Room for the header, at the beginning of every buffer given to [`Snapshots::store`].
    pub const HEADER_BYTES: usize = 68;

    /// Those of data folder `dir`, made if need be.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(mut disk: Box<dyn Disk>, dir: &Path) -> Result<Snapshots, LogError> {
        let dir = dir.join("snapshots");
        disk.create_dir_all(&dir).map_err(LogError::io("make folder", &dir))?;
        let names = disk.list(&dir).map_err(LogError::io("list", &dir))?;
        for unfinished in names.iter().filter(|name| name.ends_with(".tmp")) {
            let path = dir.join(unfinished);
            disk.remove(&path).map_err(LogError::io("remove", &path))?;
        }
        Ok(Snapshots { disk, dir })
    }

    /// All there are, the newest of each first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> Result<Vec<SnapshotName>, LogError> {
        let names = self.disk.list(&self.dir).map_err(LogError::io("list", &self.dir))?;
        let mut found: Vec<_> = names.iter().filter_map(|name| SnapshotName::parse(name)).collect();
        found.sort_by(|a, b| (&a.of, b.position).cmp(&(&b.of, a.position)));
        Ok(found)
    }

    /// Keeps a state durably, and lets those before the two newest go. `file` begins with
    /// [`Snapshots::HEADER_BYTES`] of room, which are filled here.
    ///
    /// # Errors
    /// If the disk fails; what was there before is as it was.
    pub fn store(
        &mut self,
        name: &SnapshotName,
        fingerprint: [u8; 32],
        file: &mut [u8],
    ) -> Result<(), LogError> {
        let (header, body) = file.split_at_mut(Self::HEADER_BYTES);
        header.copy_from_slice(&self::header(FORMAT, name.position, fingerprint, body));
        let stored = store_blob(&mut *self.disk, &self.dir, &name.file(), file);
        if let Err(error) = stored {
            // A full disk must not stay full of what was not finished; if this fails, the next start does it.
            let _ = self.disk.remove(&self.dir.join(format!("{}.tmp", name.file())));
            return Err(error);
        }
        let old = self.list()?.into_iter().filter(|found| found.of == name.of).skip(KEPT);
        old.into_iter().try_for_each(|old| self.remove(&old))
    }

    /// The body of a snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`], by what is wrong with it. `fingerprint: None` asks for no certain config.
    pub fn read(&self, name: &SnapshotName, fingerprint: Option<[u8; 32]>) -> Result<Vec<u8>, SnapshotError> {
        let path = self.dir.join(name.file());
        let mut bytes = read_blob(&*self.disk, &self.dir, &name.file())?;
        let damaged = |detail| SnapshotError::Damaged { file: path.clone(), detail };
        let Some((header, body)) = bytes.split_first_chunk::<{ Self::HEADER_BYTES }>() else {
            return Err(damaged("it ends early"));
        };
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[..8] != MAGIC || crc32fast::hash(&header[..64]) != number(64) {
            return Err(damaged("its header is not whole"));
        }
        let format = number(8);
        let is_ledger = name.of == LEDGER && (LEDGER_SINCE..FORMAT).contains(&format);
        if format != FORMAT && !is_ledger {
            return Err(SnapshotError::Version { file: path, found: format });
        }
        let found: [u8; 32] = std::array::from_fn(|i| header[12 + i]);
        if header[..] != self::header(format, name.position, found, body) {
            return Err(damaged("its contents are not what was written"));
        }
        if fingerprint.is_some_and(|fingerprint| fingerprint != found) {
            return Err(SnapshotError::Config { file: path });
        }
        bytes.drain(..Self::HEADER_BYTES);
        Ok(bytes)
    }

    /// # Errors
    /// If the folder cannot be read.
    pub fn file_bytes(&self, name: &SnapshotName) -> Result<u64, LogError> {
        let path = self.dir.join(name.file());
        self.disk.file_len(&path).map_err(LogError::io("read", &path))
    }

    /// # Errors
    /// If the disk fails.
    pub fn remove(&mut self, name: &SnapshotName) -> Result<(), LogError> {
        let path = self.dir.join(name.file());
        self.disk.remove(&path).map_err(LogError::io("remove", &path))
    }

    /// Takes a damaged one out of the count, and leaves it to be looked at.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn set_aside(&mut self, name: &SnapshotName) -> Result<(), LogError> {
        let path = self.dir.join(name.file());
        let aside = self.dir.join(format!("{}.damaged", name.file()));
        self.disk.rename(&path, &aside).map_err(LogError::io("rename", &path))?;
        self.disk.sync_dir(&self.dir).map_err(LogError::io("sync folder", &self.dir))
    }
}

fn header(
    format: u32,
    position: Position,
    fingerprint: [u8; 32],
    body: &[u8],
) -> [u8; Snapshots::HEADER_BYTES] {
    let mut header = [0; Snapshots::HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&format.to_le_bytes());
    header[12..44].copy_from_slice(&fingerprint);
    header[44..52].copy_from_slice(&position.0.to_le_bytes());
    header[52..60].copy_from_slice(&(body.len() as u64).to_le_bytes());
    header[60..64].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let crc = crc32fast::hash(&header[..64]);
    header[64..].copy_from_slice(&crc.to_le_bytes());
    header
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
