//! Which keys the page follows: asked for by viewers, read by the shards.
//!
//! A million keys can be scored, only a few can be looked at. Shards make points for followed keys
//! alone. A shard compares [`Watch::version`] once a slot and asks [`Watch::wanted`] again only after
//! a change; neither takes a lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use hashbrown::{HashMap, HashSet};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::types::{StreamId, key_hash};

/// Keys followed at the same time; the least recently viewed one makes room.
pub const FOLLOWED_MAX: usize = 512;

/// Keys of a stream followed without anybody asking, so that the page has something to show from the start; fewer
/// where there are many streams, so that each has some and half of all places are left to those who ask.
pub const OFFERED_MAX: usize = 64;

type Id = (StreamId, u64);

/// A key that a shard has met.
pub type Met = (StreamId, Box<[u8]>);

/// The keys to make points for.
#[derive(Debug)]
pub struct Watch {
    version: AtomicU64,
    wanted: ArcSwap<HashSet<Id>>,
    /// By stream, and how many each may offer.
    offered: Vec<AtomicU64>,
    offered_max: u64,
    views: Mutex<Views>,
    /// Every key met. No bound is needed: there are no more than the shards hold themselves.
    met: UnboundedSender<Met>,
    names: Mutex<Option<UnboundedReceiver<Met>>>,
}

/// When each followed key was last asked for, counted in requests.
#[derive(Debug, Default)]
struct Views {
    count: u64,
    last: HashMap<Id, u64>,
}

impl Watch {
    pub fn new(streams: usize) -> Self {
        let (met, names) = unbounded_channel();
        let share = (FOLLOWED_MAX / 2 / streams.max(1)).clamp(1, OFFERED_MAX);
        Watch {
            version: AtomicU64::new(0),
            wanted: ArcSwap::default(),
            offered: (0..streams).map(|_| AtomicU64::new(0)).collect(),
            offered_max: share as u64,
            views: Mutex::default(),
            met,
            names: Mutex::new(Some(names)),
        }
    }

    /// Where the names of keys come out, once; `None` if somebody has it. When it is dropped, names are kept no more.
    pub fn names(&self) -> Option<UnboundedReceiver<Met>> {
        self.names.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }

    /// Somebody looks at this key now. Follows it, and forgets the least recently viewed key if full.
    pub fn request(&self, stream: StreamId, key: &[u8]) {
        self.follow((stream, key_hash(key)));
    }

    /// A shard has met a key for the first time. Followed while few of its stream were: one stream of many keys leaves
    /// the others their places.
    pub fn offer(&self, stream: StreamId, key_hash: u64, key: &[u8]) {
        if !self.met.is_closed() {
            // Nobody lists keys any more: an ordinary end.
            let _ = self.met.send((stream, key.into()));
        }
        let Some(offered) = self.offered.get(stream.0 as usize) else { return };
        if offered.load(Ordering::Relaxed) < self.offered_max
            && offered.fetch_add(1, Ordering::Relaxed) < self.offered_max
        {
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
        let watch = Watch::new(1);
        assert!(!watch.wanted(PUMPS, key_hash(b"a")));
        watch.request(PUMPS, b"a");
        watch.request(PUMPS, b"a");
        assert!(watch.wanted(PUMPS, key_hash(b"a")));
        assert!(!watch.wanted(StreamId(1), key_hash(b"a")));
        assert_eq!(watch.version(), 1);
    }

    #[test]
    fn the_least_recently_viewed_key_goes_first() {
        let watch = Watch::new(1);
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
        let watch = Watch::new(1);
        for i in 0..1_000u64 {
            watch.offer(PUMPS, i, b"");
        }
        assert_eq!((0..1_000).filter(|&i| watch.wanted(PUMPS, i)).count(), OFFERED_MAX);
        watch.request(PUMPS, b"asked for");
        assert!(watch.wanted(PUMPS, key_hash(b"asked for")));
    }

    #[test]
    fn a_stream_of_many_keys_leaves_the_others_their_places() {
        let (cards, watch) = (StreamId(1), Watch::new(2));
        (0..1_000u64).for_each(|i| watch.offer(cards, i, b""));
        (0..24u64).for_each(|i| watch.offer(PUMPS, i, b""));
        assert_eq!((0..24).filter(|&i| watch.wanted(PUMPS, i)).count(), 24);
        let many = Watch::new(100);
        (0..100).for_each(|stream| (0..100).for_each(|i| many.offer(StreamId(stream), i, b"")));
        let followed = (0..100).map(|s| (0..100).filter(|&i| many.wanted(StreamId(s), i)).count());
        assert_eq!(followed.collect::<Vec<_>>(), [FOLLOWED_MAX / 2 / 100; 100]);
    }

    #[test]
    fn every_key_met_is_named_as_long_as_somebody_listens() {
        let watch = Watch::new(1);
        (0..100u64).for_each(|i| watch.offer(PUMPS, i, format!("k{i}").as_bytes()));
        let mut names = watch.names().unwrap();
        assert!(watch.names().is_none());
        let mut told = Vec::new();
        while let Ok((PUMPS, key)) = names.try_recv() {
            told.push(String::from_utf8(key.into()).unwrap());
        }
        assert_eq!(told, (0..100).map(|i| format!("k{i}")).collect::<Vec<_>>());
        drop(names);
        watch.offer(PUMPS, 7, b"nobody hears it");
    }
}
