//! The outbox shared between the thread that stores alerts and the workers that deliver them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{Outbox, OutboxError, OutboxReader, Replayed, Sent, Stored};
use crate::types::Alert;

/// Cheap to clone. Whoever puts work in through it wakes every delivery worker.
#[derive(Clone)]
pub struct OutboxHandle {
    shared: Arc<Shared>,
}

struct Shared {
    outbox: Mutex<Outbox>,
    /// Counts calls that put work in. A watch, since a worker that is busy sees the change later
    /// and none of several workers can take it from another.
    work: watch::Sender<u64>,
    /// Receivers that somebody wants to be asked at once.
    asked: Mutex<BTreeSet<String>>,
}

impl OutboxHandle {
    pub fn new(outbox: Outbox) -> Self {
        let (outbox, work) = (Mutex::new(outbox), watch::Sender::new(0));
        OutboxHandle { shared: Arc::new(Shared { outbox, work, asked: Mutex::default() }) }
    }

    fn wake(&self) {
        self.shared.work.send_modify(|calls| *calls += 1);
    }

    /// [`Outbox::store`], then wakes the workers. Blocks for one sync of the disk.
    pub fn store(&self, alerts: &[Alert], now_ns: i64) -> Result<Stored, OutboxError> {
        let stored = self.lock().store(alerts, now_ns)?;
        if stored.new > 0 {
            self.wake();
        }
        Ok(stored)
    }

    /// [`Outbox::store_sent`], then wakes the workers. Blocks for one sync of the disk.
    pub fn store_sent(&self, sent: &[Sent], now_ns: i64) -> Result<Stored, OutboxError> {
        let stored = self.lock().store_sent(sent, now_ns)?;
        self.wake();
        Ok(stored)
    }

    /// [`Outbox::release`], then wakes the workers: fewer wait. Blocks for one sync of the disk.
    pub fn release(&self, revisions: &[(String, u32)]) -> Result<u64, OutboxError> {
        let released = self.lock().release(revisions)?;
        if released > 0 {
            self.wake();
        }
        Ok(released)
    }

    /// [`Outbox::is_settled`].
    pub fn is_settled(&self, id: &str, revision: u32) -> Result<bool, OutboxError> {
        self.lock().is_settled(id, revision)
    }

    /// [`Outbox::replay_failed`], then wakes the workers. Blocks for one sync of the disk.
    pub fn replay_failed(
        &self,
        id: &str,
        revision: u32,
        receiver: &str,
        now_ns: i64,
    ) -> Result<Replayed, OutboxError> {
        let replayed = self.lock().replay_failed(id, revision, receiver, now_ns)?;
        if replayed.deliveries > 0 {
            self.wake();
        }
        Ok(replayed)
    }

    /// [`Outbox::replay_all_failed`], then wakes the workers. Blocks for one sync of the disk.
    pub fn replay_all_failed(&self, receiver: Option<&str>, now_ns: i64) -> Result<Replayed, OutboxError> {
        let replayed = self.lock().replay_all_failed(receiver, now_ns)?;
        self.wake();
        Ok(replayed)
    }

    /// [`Outbox::end_silence`], then wakes the workers. Blocks for one sync of the disk.
    pub fn end_silence(&self, id: &str, now_ns: i64) -> Result<usize, OutboxError> {
        let released = self.lock().end_silence(id, now_ns)?;
        self.wake();
        Ok(released)
    }

    /// What waits for `receiver` is to be sent without waiting for its time, one message first; wakes the workers.
    pub fn ask_now(&self, receiver: &str) {
        let mut asked = self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.insert(receiver.to_owned());
        drop(asked);
        self.wake();
    }

    /// Whether [`OutboxHandle::ask_now`] was called for `receiver` since this was last asked.
    pub fn is_asked_now(&self, receiver: &str) -> bool {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(receiver)
    }

    /// Changes whenever there is something new to deliver.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.shared.work.subscribe()
    }

    /// Runs `call` on a thread that may block.
    pub async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Outbox) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let handle = self.clone();
        match tokio::task::spawn_blocking(move || call(&mut handle.lock())).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(OutboxError::Stopping),
            },
        }
    }

    /// [`Outbox::reader`].
    pub fn reader(&self) -> Result<OutboxReader, OutboxError> {
        // Opened without the lock: that reads the disk.
        let path = self.lock().path.clone();
        OutboxReader::open(&path)
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // A panic inside a transaction rolls it back: the outbox behind the lock stays sound.
        self.shared.outbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
