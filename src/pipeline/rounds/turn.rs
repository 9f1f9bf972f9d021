//! The one save that is under way, and the one buffer for it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Up to here the pages of a new buffer are had faster than it takes to ask for one.
const SMALL_BYTES: usize = 1 << 20;

/// Shared with whoever carries out a save.
#[derive(Default)]
pub(super) struct Shared {
    pub busy: AtomicBool,
    /// A partition has changed since it was last saved.
    pub dirty: Vec<AtomicBool>,
    /// The buffer of the save before.
    spare: Mutex<Vec<u8>>,
}

impl Shared {
    pub fn of(partitions: usize) -> Arc<Self> {
        let dirty = (0..partitions).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Shared { dirty, ..Shared::default() })
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be the one save under way. Dropped before [`Turn::done`], the partition is due again.
pub struct Turn {
    shared: Arc<Shared>,
    index: Option<usize>,
    done: bool,
}

impl Turn {
    pub(super) fn take(shared: Arc<Shared>, index: Option<usize>) -> Self {
        shared.busy.store(true, Relaxed);
        Turn { shared, index, done: false }
    }

    /// An empty buffer with room for so many bytes whose pages are there already: to have the system find them
    /// takes longer than the copy. `None` if there is none; see [`Turn::make_room`].
    pub fn buffer(&self, bytes: usize) -> Option<Vec<u8>> {
        let mut spare = self.shared.spare();
        if spare.capacity() < bytes && bytes > SMALL_BYTES {
            return None;
        }
        Some(std::mem::take(&mut *spare))
    }

    /// Gives the turn up for a buffer large enough, made by a thread of its own.
    pub fn make_room(self, bytes: usize) {
        let made = move || {
            // States grow, and partitions differ.
            let mut buffer = vec![1; bytes + bytes / 4];
            buffer.clear();
            *self.shared.spare() = buffer;
        };
        if let Err(error) = std::thread::Builder::new().name("eddy-room".to_owned()).spawn(made) {
            tracing::warn!(%error, "no thread for the buffer of a snapshot");
        }
    }

    /// For the next save.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        *self.shared.spare() = buffer;
    }

    pub fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(index) = self.index.filter(|_| !self.done) {
            self.shared.dirty[index].store(true, Relaxed);
        }
        self.shared.busy.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_made_once_and_used_again() {
        let shared = Shared::of(1);
        let (large, turn) = (SMALL_BYTES + 1, Turn::take(shared.clone(), Some(0)));
        assert!(turn.buffer(SMALL_BYTES).is_some(), "a small one is just made");
        assert!(turn.buffer(large).is_none());
        turn.make_room(large);
        while shared.busy.load(Relaxed) {
            std::thread::yield_now();
        }
        assert!(shared.dirty[0].load(Relaxed), "its turn comes again");
        let turn = Turn::take(shared.clone(), Some(0));
        let mut buffer = turn.buffer(large).expect("it was made");
        let pages = buffer.as_ptr();
        buffer.extend_from_slice(&[1, 2, 3]);
        turn.give_back(buffer);
        let again = turn.buffer(large).expect("the same");
        assert!(again.is_empty() && again.as_ptr() == pages);
    }
}
