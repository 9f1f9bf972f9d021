//! The one save that is under way, and the one buffer for it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Up to here the pages of a new buffer are had faster than it takes to ask for one.
const SMALL_BYTES: usize = 1 << 20;

/// How a save ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    Failed,
    /// There was no buffer for it; now there is one.
    MadeRoom,
}

const UNDER_WAY: u8 = u8::MAX;

/// Shared with whoever carries out a save.
pub(super) struct Shared {
    /// An [`Ended`], or [`UNDER_WAY`].
    state: AtomicU8,
    /// The largest buffer there was.
    spare: Mutex<Vec<u8>>,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Shared { state: AtomicU8::new(Ended::Done as u8), spare: Mutex::default() })
    }

    /// `None` while it is under way.
    pub fn ended(&self) -> Option<Ended> {
        let state = self.state.load(Ordering::Acquire);
        [Ended::Done, Ended::Failed, Ended::MadeRoom].into_iter().find(|ended| *ended as u8 == state)
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be the one save under way. Dropped before [`Turn::done`], it has failed and is due again.
pub struct Turn {
    shared: Arc<Shared>,
    ended: Ended,
}

impl Turn {
    pub(super) fn take(shared: Arc<Shared>) -> Self {
        shared.state.store(UNDER_WAY, Ordering::Release);
        Turn { shared, ended: Ended::Failed }
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

    /// Gives the turn up for a buffer large enough, made by a thread of its own; then it is due again at once.
    pub fn make_room(self, bytes: usize) {
        let made = move || {
            let mut turn = self;
            // States grow, and partitions differ.
            let mut buffer = vec![1; bytes + bytes / 4];
            buffer.clear();
            turn.give_back(buffer);
            turn.ended = Ended::MadeRoom;
        };
        if let Err(error) = std::thread::Builder::new().name("eddy-room".to_owned()).spawn(made) {
            tracing::warn!(%error, "no thread for the buffer of a snapshot");
        }
    }

    /// For the next save, unless there is a larger one.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut spare = self.shared.spare();
        if buffer.capacity() > spare.capacity() {
            *spare = buffer;
        }
    }

    pub fn done(mut self) {
        self.ended = Ended::Done;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.state.store(self.ended as u8, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_made_once_and_used_again() {
        let shared = Shared::new();
        let (large, turn) = (SMALL_BYTES + 1, Turn::take(shared.clone()));
        assert!(turn.buffer(SMALL_BYTES).is_some(), "a small one is just made");
        assert!(turn.buffer(large).is_none());
        assert_eq!(shared.ended(), None);
        turn.make_room(large);
        while shared.ended().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(shared.ended(), Some(Ended::MadeRoom));
        let turn = Turn::take(shared.clone());
        let mut buffer = turn.buffer(large).expect("it was made");
        let pages = buffer.as_ptr();
        buffer.extend_from_slice(&[1, 2, 3]);
        turn.give_back(buffer);
        // A ledger's, which never had that one.
        turn.give_back(vec![0; 100]);
        let again = turn.buffer(large).expect("the same");
        assert!(again.is_empty() && again.as_ptr() == pages);
        drop(turn);
        assert_eq!(shared.ended(), Some(Ended::Failed));
    }
}
