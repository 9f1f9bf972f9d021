//! A disk for simulation: in memory, and as unhelpful as real ones are allowed to be.
//!
//! Contents are on the platter only after `sync_file`, names only after `sync_dir`. A power cut keeps
//! a seed-chosen part of the rest. For tests, of this crate and of what is built on it; nothing of
//! Eddy itself runs on it.

mod platter;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use platter::{Change, Contents, NameChange};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Disk;

/// A handle; clones share the disk, so a test can keep one.
///
/// Every operation that changes something (create, write, truncate, sync, rename, remove) is a *write*
/// and counted; the knobs count from 1, the next write.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    /// Names as a process sees them, to indices of `files`.
    names: BTreeMap<PathBuf, usize>,
    /// Names as on the platter.
    synced_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
    writes: u64,
    /// Count of writes at which the power goes.
    power_cut_at: Option<u64>,
    /// Counts of writes that fail.
    failing: Option<std::ops::Range<u64>>,
    syncs_failing: u32,
    free_bytes: Option<u64>,
    powered_off: bool,
}

/// What becomes of a write.
enum Fate {
    Done,
    Failed,
    PowerCut,
}

impl FaultyDisk {
    pub fn new() -> Self {
        FaultyDisk::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock held has failed already; its disk may still be looked at.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.state().writes
    }

    /// The power goes during the `n`-th write from now; every operation fails from then on, until
    /// `crash` and `restart`.
    pub fn cut_power_at_write(&self, n: u64) {
        let mut state = self.state();
        state.power_cut_at = Some(state.writes + n);
    }

    /// The power has gone, and `restart` was not called yet.
    pub fn is_off(&self) -> bool {
        self.state().powered_off
    }

    /// `count` writes fail, from the `n`-th from now on. A failing write leaves half its bytes; a
    /// failing sync of a file loses what it was to sync, as in [`FaultyDisk::fail_syncs`].
    pub fn fail_writes(&self, n: u64, count: u64) {
        let mut state = self.state();
        let from = state.writes + n;
        state.failing = Some(from..from + count);
    }

    /// The next `count` syncs of a file fail as Linux lets them: an error once, and the unsynced data
    /// is lost though it can still be read and later syncs succeed.
    pub fn fail_syncs(&self, count: u32) {
        self.state().syncs_failing = count;
    }

    /// Room for this many more bytes; a write beyond it is done in part. `None`: no limit.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.state().free_bytes = free_bytes;
    }

    /// Flips a bit of what is on the platter (and of what is read).
    pub fn flip_bit(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut state = self.state();
        let file = state.file(path)?;
        for bytes in [&mut file.seen, &mut file.synced] {
            if let Some(byte) = bytes.get_mut(offset as usize) {
                *byte ^= 1;
            }
        }
        Ok(())
    }

    /// Power cut, if there was none yet, and what it leaves: all that was synced, of each file the
    /// first few unsynced changes, the next one perhaps in part. A part of a write may have a garbled
    /// end or a sector missing. The disk stays off until `restart`.
    pub fn crash(&self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut state = self.state();
        let State { files, names, synced_names, unsynced_names, .. } = &mut *state;
        let kept = rng.random_range(0..=unsynced_names.len());
        for change in unsynced_names.drain(..).take(kept) {
            change.apply(synced_names);
        }
        *names = synced_names.clone();
        for file in names.values() {
            files[*file].lose_power(&mut rng);
        }
        state.powered_off = true;
    }

    /// Power on, faults over, room again. Without a `crash` before it: only the process ended.
    pub fn restart(&self) {
        let mut state = self.state();
        state.powered_off = false;
        state.power_cut_at = None;
        state.failing = None;
        state.syncs_failing = 0;
        state.free_bytes = None;
    }
}

impl State {
    fn running(&self) -> io::Result<()> {
        if self.powered_off { Err(io::Error::other("simulated: the power is off")) } else { Ok(()) }
    }

    fn file(&mut self, path: &Path) -> io::Result<&mut Contents> {
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(&mut self.files[file])
    }

    fn contents(&self, path: &Path) -> io::Result<&Contents> {
        self.running()?;
        let file = *self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(&self.files[file])
    }

    /// Counts a write and tells its fate.
    fn write(&mut self) -> io::Result<Fate> {
        self.running()?;
        self.writes += 1;
        if self.power_cut_at == Some(self.writes) {
            self.powered_off = true;
            return Ok(Fate::PowerCut);
        }
        let failing = self.failing.as_ref().is_some_and(|range| range.contains(&self.writes));
        Ok(if failing { Fate::Failed } else { Fate::Done })
    }

    fn change_names(&mut self, change: NameChange) -> io::Result<()> {
        let fate = self.write()?;
        if !matches!(fate, Fate::Failed) {
            change.apply(&mut self.names);
            self.unsynced_names.push(change);
        }
        fate.result()
    }

    fn change_contents(&mut self, path: &Path, change: Change) -> io::Result<()> {
        let file = self.file(path)?;
        change.apply(&mut file.seen);
        file.unsynced.push(change);
        Ok(())
    }

    /// How many of `len` bytes at `offset` there is room for; takes the room.
    fn take_room(&mut self, path: &Path, offset: u64, len: u64) -> io::Result<u64> {
        let file_len = self.file(path)?.seen.len() as u64;
        let Some(free) = &mut self.free_bytes else { return Ok(len) };
        let growth = (offset + len).saturating_sub(file_len);
        let granted = growth.min(*free);
        *free -= granted;
        Ok(len - (growth - granted))
    }

    fn give_room(&mut self, bytes: u64) {
        if let Some(free) = &mut self.free_bytes {
            *free += bytes;
        }
    }
}

impl Fate {
    fn result(self) -> io::Result<()> {
        match self {
            Fate::Done => Ok(()),
            Fate::Failed => Err(io::Error::other("simulated: the disk failed")),
            Fate::PowerCut => Err(io::Error::other("simulated: the power went")),
        }
    }
}

impl Disk for FaultyDisk {
    /// Folders are there at once and for good: their loss is not simulated.
    fn create_dir_all(&mut self, _dir: &Path) -> io::Result<()> {
        self.state().running()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.running()?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn file_len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.state().contents(path)?.seen.len() as u64)
    }

    fn read_at(&self, path: &Path, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.state();
        let bytes = state.contents(path)?.seen.get(offset as usize..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn create(&mut self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.contents(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.push(Contents::default());
        let file = state.files.len() - 1;
        state.change_names(NameChange::Add(path.to_owned(), file))
    }

    fn write_at(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.contents(path)?;
        let fate = state.write()?;
        let wanted = if matches!(fate, Fate::Failed) { bytes.len() / 2 } else { bytes.len() };
        let room = state.take_room(path, offset, wanted as u64)? as usize;
        state.change_contents(path, Change::Write { offset, bytes: bytes[..room].to_vec() })?;
        fate.result()?;
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.state();
        let freed = (state.contents(path)?.seen.len() as u64).saturating_sub(len);
        let fate = state.write()?;
        if !matches!(fate, Fate::Failed) {
            state.give_room(freed);
            state.change_contents(path, Change::Truncate(len))?;
        }
        fate.result()
    }

    fn sync_file(&mut self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.contents(path)?;
        let mut fate = state.write()?;
        if matches!(fate, Fate::Done) && state.syncs_failing > 0 {
            state.syncs_failing -= 1;
            fate = Fate::Failed;
        }
        let file = state.file(path)?;
        match fate {
            Fate::Done => file.sync(),
            Fate::Failed => file.unsynced.clear(),
            Fate::PowerCut => {}
        }
        fate.result()
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        let fate = state.write()?;
        if matches!(fate, Fate::Done) {
            let State { synced_names, unsynced_names, .. } = &mut *state;
            for change in unsynced_names.extract_if(.., |change| change.is_in(dir)) {
                change.apply(synced_names);
            }
        }
        fate.result()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.contents(from)?;
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let freed = state.contents(path)?.seen.len() as u64;
        state.change_names(NameChange::Remove(path.to_owned()))?;
        state.give_room(freed);
        Ok(())
    }

    fn close(&mut self, _path: &Path) {}
}

#[cfg(test)]
#[path = "faulty/tests.rs"]
mod tests;
