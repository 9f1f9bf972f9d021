//! `Idempotency-Key`: which requests were answered, so that a client may repeat one without harm.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::types::{Arrival, Message};

/// Keys remembered; the oldest goes first. About 100 bytes each beside the key.
pub const KEYS_MAX: usize = 100_000;

/// A request that was answered, as it outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredKey {
    /// With source and stream: a key is the client's own, for one stream of one source.
    pub key: Arc<str>,
    pub body_hash: u128,
    pub arrival: Arrival,
}

impl AnsweredKey {
    /// `None` for a message without a key.
    pub fn of(message: &Message) -> Option<Self> {
        let key = scoped_key(message)?;
        Some(AnsweredKey { key, body_hash: body_hash(message), arrival: message.arrival })
    }
}

/// What was answered, by source, stream and key. A handle: clones share one index.
///
/// It keeps no answers. Decoding is a pure function of payload and arrival, so the same body with the
/// first request's arrival gives the first request's answer again.
#[derive(Clone)]
pub struct IdempotencyIndex {
    shared: Arc<Mutex<Index>>,
}

struct Index {
    entries: HashMap<Arc<str>, Entry>,
    /// Answered keys, oldest first.
    order: VecDeque<Arc<str>>,
    keys_max: usize,
}

struct Entry {
    body_hash: u128,
    state: State,
}

enum State {
    /// The first request is being logged; the channel closes when it is settled.
    Pending(watch::Receiver<()>),
    Answered(Arrival),
}

/// What to do with a request that carries a key.
pub(super) enum Claim {
    /// Nobody came with this key: log it, then settle the ticket.
    First(Ticket),
    /// Answered before, with the message that arrived then.
    Answered(Arrival),
    /// The key belongs to another body.
    Different,
    /// The request that came first with this key could not be logged.
    FirstFailed,
}

impl Default for IdempotencyIndex {
    fn default() -> Self {
        Self::with_capacity(KEYS_MAX)
    }
}

impl IdempotencyIndex {
    fn with_capacity(keys_max: usize) -> Self {
        let index = Index { entries: HashMap::new(), order: VecDeque::new(), keys_max };
        IdempotencyIndex { shared: Arc::new(Mutex::new(index)) }
    }

    /// Takes note of what was answered before a restart. Call it for all of them, oldest first, before
    /// the sources start.
    pub fn remember(&self, answered: &AnsweredKey) {
        let AnsweredKey { key, body_hash, arrival } = answered;
        self.lock().answered(key.clone(), *body_hash, *arrival);
    }

    /// Decides about a message with a key, waiting while another request with the same key is on its way.
    /// `None` for a message without one.
    pub(super) async fn claim(&self, message: &Message) -> Option<Claim> {
        let key = scoped_key(message)?;
        let body_hash = body_hash(message);
        let mut settled = match self.begin(&key, body_hash) {
            Ok(claim) => return Some(claim),
            Err(settled) => settled,
        };
        // Nothing is ever sent: this ends when the first request drops its ticket.
        let _ = settled.changed().await;
        let index = self.lock();
        Some(match index.entries.get(&key) {
            Some(Entry { state: State::Answered(arrival), .. }) => Claim::Answered(*arrival),
            _ => Claim::FirstFailed,
        })
    }

    /// `Err` is the channel to wait on.
    fn begin(&self, key: &Arc<str>, body_hash: u128) -> Result<Claim, watch::Receiver<()>> {
        let mut index = self.lock();
        if let Some(entry) = index.entries.get(key) {
            return match &entry.state {
                _ if entry.body_hash != body_hash => Ok(Claim::Different),
                State::Answered(arrival) => Ok(Claim::Answered(*arrival)),
                State::Pending(settled) => Err(settled.clone()),
            };
        }
        let (settle, settled) = watch::channel(());
        index.entries.insert(key.clone(), Entry { body_hash, state: State::Pending(settled) });
        Ok(Claim::First(Ticket { index: self.clone(), key: key.clone(), body_hash, _settle: settle }))
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.shared.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Index {
    fn answered(&mut self, key: Arc<str>, body_hash: u128, arrival: Arrival) {
        let entry = Entry { body_hash, state: State::Answered(arrival) };
        let before = self.entries.insert(key.clone(), entry);
        if !matches!(before, Some(Entry { state: State::Answered(_), .. })) {
            self.order.push_back(key);
        }
        if self.order.len() > self.keys_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

/// The right to log the first request of a key. Dropped without [`Ticket::answered`], the key is free
/// again; in either case those who wait go on.
pub(super) struct Ticket {
    index: IdempotencyIndex,
    key: Arc<str>,
    body_hash: u128,
    /// Fields drop after [`Ticket::drop`] has run, so who waits finds the entry settled.
    _settle: watch::Sender<()>,
}

impl Ticket {
    pub fn answered(self, arrival: Arrival) {
        self.index.lock().answered(self.key.clone(), self.body_hash, arrival);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut index = self.index.lock();
        if let Some(Entry { state: State::Pending(_), .. }) = index.entries.get(&self.key) {
            index.entries.remove(&self.key);
        }
    }
}

/// A key is the client's own, for one stream of one source.
fn scoped_key(message: &Message) -> Option<Arc<str>> {
    let key = message.idempotency_key.as_ref()?;
    Some(format!("{}\n{}\n{key}", message.source, message.topic).into())
}

fn body_hash(message: &Message) -> u128 {
    xxhash_rust::xxh3::xxh3_128(&message.payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, body: &str, arrival: i64) -> Message {
        Message {
            source: "web".into(),
            topic: "pumps".into(),
            payload: bytes::Bytes::copy_from_slice(body.as_bytes()),
            arrival: Arrival(arrival),
            idempotency_key: Some(key.into()),
            origin: None,
        }
    }

    async fn claim(index: &IdempotencyIndex, key: &str, body: &str) -> Claim {
        index.claim(&message(key, body, 99)).await.unwrap()
    }

    #[tokio::test]
    async fn a_remembered_message_is_answered_with_its_own_arrival() {
        let index = IdempotencyIndex::default();
        index.remember(&AnsweredKey::of(&message("a", "1", 7)).unwrap());
        assert!(matches!(claim(&index, "a", "1").await, Claim::Answered(Arrival(7))));
        assert!(matches!(claim(&index, "a", "2").await, Claim::Different));
        let other_stream = Message { topic: "fans".into(), ..message("a", "1", 7) };
        assert!(matches!(index.claim(&other_stream).await, Some(Claim::First(_))));
        let keyless = Message { idempotency_key: None, ..message("a", "1", 7) };
        assert!(index.claim(&keyless).await.is_none());
    }

    #[tokio::test]
    async fn a_dropped_ticket_frees_its_key() {
        let index = IdempotencyIndex::default();
        drop(claim(&index, "a", "1").await);
        assert!(matches!(claim(&index, "a", "2").await, Claim::First(_)));
    }

    #[tokio::test]
    async fn the_oldest_answered_key_is_forgotten_first() {
        let index = IdempotencyIndex::with_capacity(2);
        for (arrival, key) in ["a", "b", "b", "c"].into_iter().enumerate() {
            index.remember(&AnsweredKey::of(&message(key, "1", arrival as i64)).unwrap());
        }
        assert!(matches!(claim(&index, "b", "1").await, Claim::Answered(Arrival(2))));
        assert!(matches!(claim(&index, "c", "1").await, Claim::Answered(_)));
        assert!(matches!(claim(&index, "a", "1").await, Claim::First(_)));
        assert_eq!(index.lock().order.len(), 2);
    }
}
