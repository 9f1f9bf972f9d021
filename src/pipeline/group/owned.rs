//! A partition of this member, and what of it is on its way to the state topic.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::manifest::{
    CHUNK_BYTES, Control, Generation, Manifest, ReadBy, Terms, chunk_key, control_key, manifest_key,
    schema_key,
};
use crate::source::kafka::waiting::Queue;
use crate::types::StreamId;

/// A leader that has just become one may not know its whole partition yet.
const SETTLES: Duration = Duration::from_secs(2);

/// A record of the state topic. `None`: what it was of is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

impl Record {
    pub fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

pub struct Owned {
    /// Behind what was handed on.
    pub next: i64,
    /// As the group knows it; what of it is told is settled.
    pub committed: i64,
    /// Messages before it were judged by an owner before, and what came of them is told.
    pub replay_until: i64,
    /// To be replayed, in order.
    pub controls: VecDeque<(StreamId, Control)>,
    pub streams: Vec<Shelved>,
    /// From where it is read by which schema; as in the state topic, or on its way there.
    pub schemas: BTreeMap<i32, i64>,
    /// Received and not handed on: its first waits for its schema.
    pub waiting: Queue,
    /// Since when nothing comes any more.
    pub ended: Option<Instant>,
    /// Something was handed on since it was saved.
    pub changed: bool,
    pub saved: Instant,
    /// Nothing is said of idleness before, wall clock ns; by stream.
    pub idle_next: Vec<i64>,
}

/// What the state topic has of a stream.
#[derive(Clone, Debug, Default)]
pub struct Shelved {
    pub current: Generation,
    pub previous: Option<Generation>,
    /// Of the next control record.
    pub control_seq: u64,
    /// Nobody needs these.
    pub needless: Vec<String>,
}

impl Owned {
    /// What was judged before is read again still.
    pub fn is_replaying(&self) -> bool {
        self.next < self.replay_until || !self.controls.is_empty()
    }

    /// Behind what was received.
    pub fn received(&self) -> i64 {
        self.waiting.next().unwrap_or(self.next)
    }

    /// The end of the partition was reached, and nothing of it waits.
    pub fn is_read(&self) -> bool {
        self.ended.is_some() && self.waiting.is_empty()
    }

    /// The end of the partition was reached: if there is nothing left of what is replayed, it was marks of transactions.
    pub fn settle(&mut self, now: Instant) {
        if self.next < self.replay_until
            && self.waiting.is_empty()
            && self.ended.is_some_and(|since| now - since > SETTLES)
        {
            self.next = self.replay_until;
        }
    }

    /// The next control record that precedes the message at `offset`.
    pub fn control_before(&mut self, offset: i64) -> Option<(StreamId, Control)> {
        self.controls.front().filter(|(_, control)| control.offset <= offset)?;
        self.controls.pop_front()
    }
}

/// The partition is read by a schema from this message on.
pub fn read_by(partition: i32, id: i32, offset: i64) -> Record {
    Record { partition, key: schema_key(id), value: json(&ReadBy { offset }) }
}

/// It never was: it begins anew.
pub fn unread_by(partition: i32, id: i32) -> Record {
    Record { partition, key: schema_key(id), value: None }
}

impl Shelved {
    pub fn control(&mut self, partition: i32, stream: &str, control: &Control) -> Record {
        let key = control_key(stream, self.control_seq);
        self.control_seq += 1;
        Record { partition, key, value: json(control) }
    }

    /// The manifest as it stands.
    pub fn manifest(&self, partition: i32, stream: &str, terms: &Terms) -> Record {
        let manifest = Manifest::new(terms, self.current.clone(), self.previous.clone());
        Record { partition, key: manifest_key(stream), value: json(&manifest) }
    }

    /// A new generation: its chunks, the manifest, and then what is not needed with that. `None`: nothing was seen yet.
    pub fn save(
        &mut self,
        partition: i32,
        stream: &str,
        terms: &Terms,
        (offset, state): (i64, Option<Vec<u8>>),
    ) -> Vec<Record> {
        let state = state.unwrap_or_default();
        let number = self.current.number + 1;
        let chunks = state.chunks(CHUNK_BYTES);
        let new = Generation {
            number,
            offset,
            chunks: chunks.len() as u32,
            bytes: state.len() as u64,
            crc32: crc32fast::hash(&state),
            control_seq: self.control_seq,
        };
        let record = |key: String, value: Option<Vec<u8>>| Record { partition, key, value };
        let chunk =
            |(i, chunk): (usize, &[u8])| record(chunk_key(stream, number, i as u32), Some(chunk.to_vec()));
        let mut records: Vec<Record> = chunks.enumerate().map(chunk).collect();
        let older = self.previous.replace(std::mem::replace(&mut self.current, new));
        records.push(self.manifest(partition, stream, terms));
        let mut gone = std::mem::take(&mut self.needless);
        // Who began anew counts from the beginning.
        gone.retain(|key| records.iter().all(|record| record.key != *key));
        if let (Some(older), Some(previous)) = (older, &self.previous) {
            gone.extend((0..older.chunks).map(|chunk| chunk_key(stream, older.number, chunk)));
            gone.extend((older.control_seq..previous.control_seq).map(|seq| control_key(stream, seq)));
        }
        records.extend(gone.into_iter().map(|key| record(key, None)));
        records
    }
}

/// Plain structs of numbers and texts: this cannot fail.
fn json(value: &impl serde::Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Arrival, Idle};

    fn terms() -> Terms {
        Terms { config: "c".into(), model: None, partitions: 2 }
    }

    fn keys(records: &[Record]) -> Vec<(&str, bool)> {
        records.iter().map(|record| (record.key.as_str(), record.value.is_some())).collect()
    }

    #[test]
    fn chunks_come_before_the_manifest_and_two_generations_stay() {
        let needless = ["chunk/pumps/1/0", "chunk/pumps/9/0"].map(String::from).to_vec();
        let mut shelved = Shelved { needless, ..Shelved::default() };
        let idle = Control { offset: 5, idle: Idle { at: Arrival(1), after_ns: 1 } };
        let first = shelved.save(1, "pumps", &terms(), (5, Some(vec![1; CHUNK_BYTES + 1])));
        let saved = ["chunk/pumps/1/0", "chunk/pumps/1/1", "manifest/pumps"].map(|key| (key, true));
        assert_eq!(keys(&first), [&saved[..], &[("chunk/pumps/9/0", false)]].concat());
        assert!(first.iter().all(|record| record.partition == 1 && record.bytes() < 1_000_000));
        assert_eq!(shelved.control(1, "pumps", &idle).key, "control/pumps/0");
        assert_eq!(shelved.control(1, "pumps", &idle).key, "control/pumps/1");
        let second = shelved.save(1, "pumps", &terms(), (9, Some(vec![2; 3])));
        assert_eq!(keys(&second), [("chunk/pumps/2/0", true), ("manifest/pumps", true)]);
        assert_eq!(shelved.control(1, "pumps", &idle).key, "control/pumps/2");
        let third = shelved.save(1, "pumps", &terms(), (12, Some(vec![3; 3])));
        let gone = ["chunk/pumps/1/0", "chunk/pumps/1/1", "control/pumps/0", "control/pumps/1"];
        let saved = [("chunk/pumps/3/0", true), ("manifest/pumps", true)];
        assert_eq!(keys(&third), [&saved[..], &gone.map(|key| (key, false))].concat());
        let manifest: Manifest = serde_json::from_slice(third[1].value.as_ref().unwrap()).unwrap();
        assert_eq!((manifest.current.offset, manifest.current.control_seq), (12, 3));
        assert_eq!(manifest.previous.map(|g| (g.offset, g.control_seq)), Some((9, 2)));
    }

    fn owned(next: i64, replay_until: i64, controls: &[i64]) -> Owned {
        let idle = Idle { at: Arrival(1), after_ns: 1 };
        let control = |offset: &i64| (StreamId(0), Control { offset: *offset, idle });
        Owned {
            next,
            committed: replay_until,
            replay_until,
            controls: controls.iter().map(control).collect(),
            streams: Vec::new(),
            schemas: BTreeMap::new(),
            waiting: Queue::default(),
            ended: None,
            changed: false,
            saved: Instant::now(),
            idle_next: Vec::new(),
        }
    }

    #[test]
    fn controls_act_before_the_message_they_precede() {
        let mut owned = owned(5, 9, &[5, 5, 7]);
        let offsets = |owned: &mut Owned, offset| {
            std::iter::from_fn(|| owned.control_before(offset)).map(|(_, c)| c.offset).collect::<Vec<_>>()
        };
        assert!(offsets(&mut owned, 4).is_empty());
        assert_eq!(offsets(&mut owned, 6), [5, 5]);
        assert_eq!(offsets(&mut owned, 9), [7]);
    }

    #[test]
    fn what_is_replayed_is_over_at_its_last_message_or_a_while_after_the_end() {
        let now = Instant::now();
        let mut of_marks = owned(7, 9, &[]);
        assert!(of_marks.is_replaying());
        of_marks.settle(now + SETTLES * 2);
        assert_eq!(of_marks.next, 7, "it was not read to its end");
        of_marks.ended = Some(now);
        of_marks.settle(now + SETTLES / 2);
        assert_eq!(of_marks.next, 7, "messages may come yet");
        of_marks.settle(now + SETTLES * 2);
        assert!(of_marks.next == 9 && !of_marks.is_replaying());
        assert!(owned(9, 9, &[9]).is_replaying() && !owned(9, 9, &[]).is_replaying());
    }
}
