//! A file that holds some of the disk in reserve. When a write finds no space it is given up, so that what
//! was acknowledged can still be decided and its alerts stored; until it is held again the log takes nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::LogError;

const FILE: &str = "ballast";

/// Many times what the control log and the outbox need for everything that is under way.
const BYTES_MAX: u64 = 16 << 20;

/// The share of a small disk that is held instead.
const SHARE: u64 = 32;

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

#[derive(Debug)]
pub struct Ballast {
    dir: PathBuf,
    held: AtomicBool,
}

impl Ballast {
    /// Not held yet.
    pub fn new(dir: &Path) -> Self {
        Ballast { dir: dir.to_owned(), held: AtomicBool::new(false) }
    }

    /// Whether it is held now: as before, or because there is room again for twice its size.
    pub fn hold(&self) -> bool {
        if !self.held.load(Relaxed) {
            match self.fill() {
                Ok(filled) => self.held.store(filled, Relaxed),
                Err(error) => {
                    tracing::debug!(%error, "no ballast yet");
                    self.give_up();
                }
            }
        }
        self.held.load(Relaxed)
    }

    /// Called when a write found no space.
    pub fn give_up(&self) {
        let gone = fs::remove_file(self.path());
        if self.held.swap(false, Relaxed) && gone.is_ok() {
            tracing::error!(
                "the disk is full: the ballast is given up, so that what was taken can be finished; nothing new is taken"
            );
        }
    }

    pub fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    /// Why nothing is taken while it is not held.
    pub fn lacking(&self) -> LogError {
        let needed = self.bytes_and_free().map_or(2 * BYTES_MAX, |(bytes, _)| 2 * bytes);
        LogError::Full { dir: self.dir.clone(), needed }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    fn bytes_and_free(&self) -> io::Result<(u64, u64)> {
        let disk = rustix::fs::statvfs(&self.dir)?;
        let bytes = BYTES_MAX.min(disk.f_blocks * disk.f_frsize / SHARE);
        Ok((bytes, disk.f_bavail * disk.f_frsize))
    }

    fn fill(&self) -> io::Result<bool> {
        let (bytes, free) = self.bytes_and_free()?;
        let path = self.path();
        if fs::metadata(&path).is_ok_and(|found| found.len() >= bytes) {
            return Ok(true);
        }
        if free < 2 * bytes {
            return Ok(false);
        }
        // Written, not only made long: a hole would hold nothing.
        let mut file = File::create(&path)?;
        let mut left = bytes;
        while left > 0 {
            let part = left.min(ZEROS.len() as u64);
            file.write_all(&ZEROS[..part as usize])?;
            left -= part;
        }
        file.sync_all()?;
        Ok(true)
    }
}

/// Whether the disk, or this user's share of it, is used up.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
