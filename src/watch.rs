//! Which keys the page follows: asked for by viewers, read by the shards.
//!
//! A million keys can be scored, only a few can be looked at. Shards make points for followed keys
//! alone. A shard compares [`Watch::version`] once a slot and asks [`Watch::wanted`] again only after
//! a change; neither takes a lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use hashbrown::{HashMap, HashSet};

use crate::types::{StreamId, key_hash};

/// Keys followed at the same time; the least recently viewed one makes room.
pub const FOLLOWED_MAX: usize = 512;

/// Keys followed without anybody asking, so that the page has something to show from the start.
pub const OFFERED_MAX: usize = 64;

type Id = (StreamId, u64);

/// The keys to make points for.
#[derive(Debug, Default)]
pub struct Watch {
    version: AtomicU64,
    wanted: ArcSwap<HashSet<Id>>,
    offered: AtomicU64,
    views: Mutex<Views>,
}

/// When each followed key was last asked for, counted in requests.
#[derive(Debug, Default)]
struct Views {
    count: u64,
    last: HashMap<Id, u64>,
}

impl Watch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody looks at this key now. Follows it, and forgets the least recently viewed key if full.
    pub fn request(&self, stream: StreamId, key: &[u8]) {
        self.follow((stream, key_hash(key)));
    }

    /// A shard has met a key for the first time. Followed while fewer than [`OFFERED_MAX`] were.
    pub fn offer(&self, stream: StreamId, key_hash: u64) {
        if self.offered.load(Ordering::Relaxed) >= OFFERED_MAX as u64 {
            return;
        }
        if self.offered.fetch_add(1, Ordering::Relaxed) < OFFERED_MAX as u64 {
            self.follow((stream, key_hash));
        }
    }

    /// Changes whenever an answer of [`Watch::wanted`] may have changed.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub fn wanted(&self, stream: StreamId, key_hash: u64) -> bool {
        self.wanted.load().contains(&(stream, key_hash))
    }

    fn follow(&self, id: Id) {
        let mut views = self.views.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        views.count += 1;
        let now = views.count;
        if views.last.insert(id, now).is_some() {
            return;
        }
        if views.last.len() > FOLLOWED_MAX {
            let oldest = views.last.iter().min_by_key(|&(_, &at)| at).map(|(&id, _)| id);
            oldest.map(|id| views.last.remove(&id));
        }
        // Published while the lock is held: two requests cannot overwrite each other's set.
        self.wanted.store(std::sync::Arc::new(views.last.keys().copied().collect()));
        self.version.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUMPS: StreamId = StreamId(0);

    #[test]
    fn a_request_is_wanted_and_bumps_the_version_once() {
        let watch = Watch::new();
        assert!(!watch.wanted(PUMPS, key_hash(b"a")));
        watch.request(PUMPS, b"a");
        watch.request(PUMPS, b"a");
        assert!(watch.wanted(PUMPS, key_hash(b"a")));
        assert!(!watch.wanted(StreamId(1), key_hash(b"a")));
        assert_eq!(watch.version(), 1);
    }

    #[test]
    fn the_least_recently_viewed_key_goes_first() {
        let watch = Watch::new();
        for i in 0..FOLLOWED_MAX {
            watch.request(PUMPS, format!("key-{i}").as_bytes());
        }
        watch.request(PUMPS, b"key-0");
        watch.request(PUMPS, b"one-more");
        assert!(watch.wanted(PUMPS, key_hash(b"key-0")));
        assert!(watch.wanted(PUMPS, key_hash(b"one-more")));
        assert!(!watch.wanted(PUMPS, key_hash(b"key-1")));
    }

    #[test]
    fn offers_stop_at_their_limit_and_requests_do_not() {
        let watch = Watch::new();
        for i in 0..1_000u64 {
            watch.offer(PUMPS, i);
        }
        assert_eq!((0..1_000).filter(|&i| watch.wanted(PUMPS, i)).count(), OFFERED_MAX);
        watch.request(PUMPS, b"asked for");
        assert!(watch.wanted(PUMPS, key_hash(b"asked for")));
    }
}
