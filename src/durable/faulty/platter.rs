//! What is on the platter, what a process sees, and what a power cut makes of the difference.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What a disk writes as one.
const SECTOR_BYTES: u64 = 512;

/// A file, by what a process reads and by what is on the platter.
#[derive(Default)]
pub(super) struct Contents {
    pub seen: Vec<u8>,
    pub synced: Vec<u8>,
    /// Changes since the last sync, in order.
    pub unsynced: Vec<Change>,
}

#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate(u64),
}

pub(super) enum NameChange {
    Add(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Contents {
    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    pub fn lose_power(&mut self, rng: &mut ChaCha8Rng) {
        let kept = rng.random_range(0..=self.unsynced.len());
        for (i, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate().take(kept + 1) {
            match change {
                Change::Write { offset, bytes } if i == kept && rng.random_bool(0.7) => {
                    self.tear(offset, bytes, rng);
                }
                _ if i == kept => {}
                whole => whole.apply(&mut self.synced),
            }
        }
        self.seen = self.synced.clone();
    }

    /// Applies part of a write. What was synced before keeps its bytes.
    fn tear(&mut self, offset: u64, mut bytes: Vec<u8>, rng: &mut ChaCha8Rng) {
        let safe = (self.synced.len() as u64).saturating_sub(offset) as usize;
        if rng.random_bool(0.7) {
            bytes.truncate(rng.random_range(0..=bytes.len()));
        }
        let len = bytes.len();
        if rng.random_bool(0.25) {
            let garbled = len.saturating_sub(SECTOR_BYTES as usize).max(safe).min(len);
            rng.fill(&mut bytes[garbled..]);
        }
        if rng.random_bool(0.25) && len > 0 {
            let sector = (offset + rng.random_range(0..len as u64)) / SECTOR_BYTES * SECTOR_BYTES;
            let from = (sector.saturating_sub(offset) as usize).max(safe).min(len);
            let to = ((sector + SECTOR_BYTES - offset) as usize).clamp(from, len);
            bytes[from..to].fill(0);
        }
        Change::Write { offset, bytes }.apply(&mut self.synced);
    }
}

impl Change {
    pub fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Truncate(len) => to.truncate(*len as usize),
            Change::Write { offset, bytes } => {
                let (from, end) = (*offset as usize, *offset as usize + bytes.len());
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[from..end].copy_from_slice(bytes);
            }
        }
    }
}

impl NameChange {
    pub fn apply(&self, to: &mut BTreeMap<PathBuf, usize>) {
        match self {
            NameChange::Add(path, file) => {
                to.insert(path.clone(), *file);
            }
            NameChange::Remove(path) => {
                to.remove(path);
            }
            NameChange::Rename(from, path) => {
                if let Some(file) = to.remove(from) {
                    to.insert(path.clone(), file);
                }
            }
        }
    }

    pub fn is_in(&self, dir: &Path) -> bool {
        let (NameChange::Add(path, _) | NameChange::Remove(path) | NameChange::Rename(_, path)) = self;
        path.parent() == Some(dir)
    }
}
