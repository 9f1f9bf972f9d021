//! The recent windows of the keys that somebody follows, for charts. Never part of a decision.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use hashbrown::HashMap;
use tokio::sync::mpsc;

use crate::types::{HeldBack, Point, StreamId, key_hash};
use crate::watch::{FOLLOWED_MAX, Watch};

/// Windows kept of each followed key: 33 minutes at one a second.
pub const POINTS_MAX: usize = 2_000;

/// One window of a key: `values`, `expected`, `low`, `high` hold one number a column, NaN where missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// End of the window, ns.
    pub time_ns: i64,
    pub values: Vec<f32>,
    pub expected: Vec<f32>,
    pub low: Vec<f32>,
    pub high: Vec<f32>,
    pub p_value: f64,
    /// p-value below which it was anomalous.
    pub threshold: f64,
    pub anomalous: bool,
    pub held_back: Option<HeldBack>,
    pub confident: bool,
}

#[derive(Clone, Copy, Default)]
struct Head {
    time_ns: i64,
    p_value: f64,
    threshold: f64,
    anomalous: bool,
    held_back: Option<HeldBack>,
    confident: bool,
}

/// Numbers lie flat, four a column (value, expected, low, high): a window costs two entries, not five vectors.
struct KeySeries {
    columns: usize,
    heads: VecDeque<Head>,
    numbers: VecDeque<f32>,
}

type Keys = HashMap<Box<[u8]>, KeySeries>;

/// Written by one task, read by request handlers.
pub struct History {
    watch: Arc<Watch>,
    streams: RwLock<HashMap<StreamId, Keys>>,
}

impl History {
    pub fn new(watch: Arc<Watch>) -> Self {
        History { watch, streams: RwLock::default() }
    }

    /// Files points until every sender is gone.
    pub async fn collect(self: Arc<Self>, mut points: mpsc::Receiver<Vec<Point>>) {
        while let Some(batch) = points.recv().await {
            self.add(batch);
        }
    }

    /// Files a batch, in order of time; a point takes the place of the one it revises.
    pub fn add(&self, batch: Vec<Point>) {
        let mut streams = self.streams.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        for point in batch {
            let kept: usize = streams.values().map(|keys| keys.len()).sum();
            let keys = streams.entry(point.stream).or_default();
            if let Some(series) = keys.get_mut(&point.key) {
                series.push(&point);
                continue;
            }
            keys.insert(point.key.clone(), KeySeries::starting_with(&point));
            if kept >= FOLLOWED_MAX {
                self.forget(&mut streams);
            }
        }
    }

    /// Drops what nobody follows any more.
    fn forget(&self, streams: &mut HashMap<StreamId, Keys>) {
        for (&stream, keys) in streams.iter_mut() {
            keys.retain(|key, _| self.watch.wanted(stream, key_hash(key)));
        }
    }

    /// The windows of a key that end in `from..=to` (ns), oldest first; `None` if it has none at all.
    pub fn series(&self, stream: StreamId, key: &[u8], from: i64, to: i64) -> Option<Vec<Window>> {
        let streams = self.streams.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let series = streams.get(&stream)?.get(key)?;
        let first = series.heads.partition_point(|head| head.time_ns < from);
        let end = series.heads.partition_point(|head| head.time_ns <= to);
        Some((first..end).map(|i| series.window(i)).collect())
    }

    /// The newest window of a key.
    pub fn latest(&self, stream: StreamId, key: &[u8]) -> Option<Window> {
        let streams = self.streams.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let series = streams.get(&stream)?.get(key)?;
        Some(series.window(series.heads.len().checked_sub(1)?))
    }

    /// How many keys of a stream are followed.
    pub fn count(&self, stream: StreamId) -> usize {
        let streams = self.streams.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        streams.get(&stream).map_or(0, |keys| keys.len())
    }

    /// Followed keys of a stream whose name contains `query`, in order, at most `limit`.
    pub fn keys(&self, stream: StreamId, query: &str, limit: usize) -> Vec<String> {
        let streams = self.streams.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some(keys) = streams.get(&stream) else { return Vec::new() };
        let names = keys.keys().map(|key| String::from_utf8_lossy(key).into_owned());
        let mut names: Vec<String> = names.filter(|name| name.contains(query)).collect();
        names.sort_unstable();
        names.truncate(limit);
        names
    }
}

impl KeySeries {
    fn starting_with(point: &Point) -> Self {
        let mut series =
            KeySeries { columns: point.values.len(), heads: VecDeque::new(), numbers: VecDeque::new() };
        series.push(point);
        series
    }

    fn push(&mut self, point: &Point) {
        if point.values.len() != self.columns {
            return;
        }
        let found = self.heads.binary_search_by_key(&point.time.0, |head| head.time_ns);
        // Late rows gave a window another verdict.
        if let Ok(at) = found {
            return self.write(at, point);
        }
        if self.heads.len() == POINTS_MAX {
            // Older than all that fit.
            if found == Err(0) {
                return;
            }
            self.heads.pop_front();
            self.numbers.drain(..self.width());
        }
        // An event may come behind later ones of its key, or from a replay.
        let at = self.heads.partition_point(|head| head.time_ns < point.time.0);
        self.heads.insert(at, Head::default());
        self.numbers.resize(self.heads.len() * self.width(), f32::NAN);
        if at + 1 < self.heads.len() {
            let (start, by) = (at * self.width(), self.width());
            self.numbers.make_contiguous()[start..].rotate_right(by);
        }
        self.write(at, point);
    }

    /// Numbers of one window.
    fn width(&self) -> usize {
        4 * self.columns
    }

    fn write(&mut self, at: usize, point: &Point) {
        let Point { time, p_value, threshold, anomalous, held_back, confident, .. } = *point;
        self.heads[at] = Head { time_ns: time.0, p_value, threshold, anomalous, held_back, confident };
        let parts = [&point.values, &point.expected, &point.low, &point.high];
        for (part, numbers) in parts.into_iter().enumerate() {
            let start = (4 * at + part) * self.columns;
            let padded = numbers.iter().copied().chain(std::iter::repeat(f32::NAN));
            self.numbers.range_mut(start..start + self.columns).zip(padded).for_each(|(to, from)| *to = from);
        }
    }

    fn window(&self, i: usize) -> Window {
        let Head { time_ns, p_value, threshold, anomalous, held_back, confident } = self.heads[i];
        let row = |part: usize| {
            let start = (4 * i + part) * self.columns;
            self.numbers.range(start..start + self.columns).copied().collect()
        };
        Window {
            time_ns,
            values: row(0),
            expected: row(1),
            low: row(2),
            high: row(3),
            p_value,
            threshold,
            anomalous,
            held_back,
            confident,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::EventTime;

    const PUMPS: StreamId = StreamId(0);

    fn point(key: &str, time: i64) -> Point {
        let one = |x: f32| vec![x, -x];
        let t = time as f32;
        Point {
            stream: PUMPS,
            key: key.as_bytes().into(),
            time: EventTime(time),
            values: one(t),
            expected: one(t + 0.1),
            low: one(t + 0.2),
            high: one(t + 0.3),
            share: vec![1.0, 0.0],
            p_value: 0.5,
            threshold: 1e-4,
            anomalous: time % 2 == 0,
            held_back: None,
            confident: true,
        }
    }

    #[test]
    fn keeps_the_newest_points_in_order_and_each_with_its_own_numbers() {
        let history = History::new(Arc::new(Watch::new(1)));
        history.add((0..POINTS_MAX as i64 + 10).map(|t| point("a", t)).collect());
        let all = history.series(PUMPS, b"a", i64::MIN, i64::MAX).unwrap();
        assert_eq!(all.len(), POINTS_MAX);
        assert_eq!((all[0].time_ns, all[POINTS_MAX - 1].time_ns), (10, POINTS_MAX as i64 + 9));
        let w = &history.series(PUMPS, b"a", 100, 100).unwrap()[0];
        assert_eq!((w.values.as_slice(), w.high.as_slice()), (&[100.0, -100.0][..], &[100.3, -100.3][..]));
        assert!(w.anomalous);
        assert_eq!(history.latest(PUMPS, b"a").unwrap().time_ns, POINTS_MAX as i64 + 9);
    }

    #[test]
    fn a_replayed_point_is_not_filed_twice() {
        let history = History::new(Arc::new(Watch::new(1)));
        history.add(vec![point("a", 1), point("a", 2), point("a", 1), point("a", 2), point("a", 3)]);
        let times: Vec<i64> = history.series(PUMPS, b"a", 0, 9).unwrap().iter().map(|w| w.time_ns).collect();
        assert_eq!(times, [1, 2, 3]);
    }

    #[test]
    fn a_revised_window_takes_the_place_of_its_first_verdict() {
        let history = History::new(Arc::new(Watch::new(1)));
        history.add((1..6).map(|t| point("a", t)).collect());
        let revised = Point { anomalous: true, p_value: 1e-9, values: vec![7.0, 8.0], ..point("a", 2) };
        history.add(vec![revised]);
        let all = history.series(PUMPS, b"a", 0, 9).unwrap();
        assert_eq!(all.iter().map(|w| w.time_ns).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!((all[1].p_value, all[1].values.as_slice()), (1e-9, &[7.0, 8.0][..]));
        assert_eq!(all[2].values, [3.0, -3.0]);
    }

    #[test]
    fn an_event_that_comes_behind_later_ones_has_its_place_in_time() {
        let history = History::new(Arc::new(Watch::new(1)));
        history.add([1, 5, 3, 9, 0].map(|t| point("a", t)).to_vec());
        let seen = history.series(PUMPS, b"a", 0, 9).unwrap();
        assert_eq!(seen.iter().map(|w| w.time_ns).collect::<Vec<_>>(), [0, 1, 3, 5, 9]);
        for w in &seen {
            assert_eq!(w.values, [w.time_ns as f32, -w.time_ns as f32]);
            assert_eq!(w.high[0], w.time_ns as f32 + 0.3);
        }
    }

    #[test]
    fn a_full_series_keeps_its_newest_whatever_comes_behind() {
        let history = History::new(Arc::new(Watch::new(1)));
        history.add((0..POINTS_MAX as i64).map(|t| point("a", 10 * t)).collect());
        history.add(vec![point("a", -1), point("a", 15)]);
        let seen = history.series(PUMPS, b"a", i64::MIN, i64::MAX).unwrap();
        assert_eq!(seen.len(), POINTS_MAX);
        assert_eq!(seen.iter().take(3).map(|w| w.time_ns).collect::<Vec<_>>(), [10, 15, 20]);
        assert_eq!(seen[1].values, [15.0, -15.0]);
    }

    #[test]
    fn a_full_history_forgets_keys_that_nobody_follows() {
        let watch = Arc::new(Watch::new(1));
        let history = History::new(watch.clone());
        for i in 0..FOLLOWED_MAX {
            watch.request(PUMPS, format!("k{i}").as_bytes());
            history.add(vec![point(&format!("k{i}"), 1)]);
        }
        watch.request(PUMPS, b"new");
        history.add(vec![point("new", 1)]);
        assert!(history.series(PUMPS, b"new", 0, 9).is_some());
        assert!(history.series(PUMPS, b"k0", 0, 9).is_none(), "the least recently viewed key");
        assert!(history.series(PUMPS, b"k1", 0, 9).is_some());
        assert_eq!(history.keys(PUMPS, "", 9_999).len(), FOLLOWED_MAX);
        assert_eq!(history.keys(PUMPS, "k51", 9_999), ["k51", "k510", "k511"]);
    }
}
