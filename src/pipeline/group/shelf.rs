//! Reading what the state topic holds of partitions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::clients::{Reader, reader};
use super::manifest::{Control, Generation, Kept, Manifest, ReadBy, chunk_key, manifest_key, parse_key};
use crate::config::plan::KafkaPlan;
use crate::kafka::quiet::asking;
use crate::kafka::words::plainly;
use crate::source::kafka::topics::ASK_MAX;

/// A dead member's transaction is over by then.
const READ_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

/// The newest value of each key of one partition.
#[derive(Debug, Default)]
pub struct Shelf(BTreeMap<String, Vec<u8>>);

/// Reads these partitions from their beginning to their end.
///
/// What was committed must not be missed, or the state would lack it: the reading ends no sooner than where the
/// partitions ended when it began, be it committed by then or not.
///
/// # Errors
/// If they cannot be read in time.
pub fn read(
    plan: &KafkaPlan,
    member: &str,
    topic: &str,
    partitions: &[i32],
) -> Result<BTreeMap<i32, Shelf>, String> {
    let failed = |error: KafkaError| format!("the state topic {topic} cannot be read: {}", plainly(&error));
    let deadline = Instant::now() + READ_MAX;
    let (ends, reader) =
        (asking(&plan.cluster, member).map_err(failed)?, reader(plan, member).map_err(failed)?);
    let mut list = TopicPartitionList::new();
    let mut shelves = BTreeMap::new();
    for partition in partitions {
        let (_, high) = ends.fetch_watermarks(topic, *partition, ASK_MAX).map_err(failed)?;
        while reader.fetch_watermarks(topic, *partition, ASK_MAX).map_err(failed)?.1 < high {
            if Instant::now() > deadline {
                return Err(format!(
                    "a transaction in partition {partition} of {topic} does not come to an end"
                ));
            }
            std::thread::sleep(LOOK);
        }
        list.add_partition_offset(topic, *partition, Offset::Beginning).map_err(failed)?;
        shelves.insert(*partition, Shelf::default());
    }
    reader.assign(&list).map_err(failed)?;
    fill(&reader, &mut shelves, deadline).map_err(failed)?;
    Ok(shelves)
}

fn fill(reader: &Reader, shelves: &mut BTreeMap<i32, Shelf>, deadline: Instant) -> Result<(), KafkaError> {
    let mut left = shelves.len();
    while left > 0 {
        if Instant::now() > deadline {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        match reader.poll(LOOK) {
            Some(Ok(message)) => {
                let key = message.key().and_then(|key| std::str::from_utf8(key).ok());
                if let (Some(shelf), Some(key)) = (shelves.get_mut(&message.partition()), key) {
                    shelf.put(key, message.payload());
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    Ok(())
}

impl Shelf {
    /// As a compacted topic does. What people say lies there too, and is none of the partition's.
    pub fn put(&mut self, key: &str, value: Option<&[u8]>) {
        if matches!(parse_key(key), Some(Kept::Silence(_) | Kept::Acknowledged(_))) {
            return;
        }
        match value {
            Some(value) => drop(self.0.insert(key.to_owned(), value.to_vec())),
            None => drop(self.0.remove(key)),
        }
    }

    /// # Errors
    /// If something else is in its place.
    pub fn manifest(&self, stream: &str) -> Result<Option<Manifest>, String> {
        let read = |bytes: &Vec<u8>| {
            serde_json::from_slice(bytes).map_err(|error| {
                format!(
                    "the state of stream {stream} is of another version of eddy, or not eddy's ({error}): run one version on \
                     every member, or name another topic in `shared.state`"
                )
            })
        };
        self.0.get(&manifest_key(stream)).map(read).transpose()
    }

    /// The bytes of a generation; `None` if they are not what was written.
    pub fn state(&self, stream: &str, generation: &Generation) -> Option<Vec<u8>> {
        let mut state = Vec::with_capacity(generation.bytes as usize);
        for chunk in 0..generation.chunks {
            state.extend_from_slice(self.0.get(&chunk_key(stream, generation.number, chunk))?);
        }
        let whole = state.len() as u64 == generation.bytes && crc32fast::hash(&state) == generation.crc32;
        whole.then_some(state)
    }

    /// What happened since, in order.
    pub fn controls(&self, stream: &str, from_seq: u64) -> Vec<(u64, Control)> {
        let mut controls: Vec<(u64, Control)> = Vec::new();
        for (key, value) in &self.0 {
            match parse_key(key) {
                Some(Kept::Control(of, seq)) if of == stream && seq >= from_seq => {
                    controls.extend(serde_json::from_slice(value).ok().map(|control| (seq, control)));
                }
                _ => {}
            }
        }
        controls.sort_by_key(|(seq, _)| *seq);
        controls
    }

    /// From where the partition is read by which schema.
    pub fn schemas(&self) -> BTreeMap<i32, i64> {
        let read_by = |(key, value): (&String, &Vec<u8>)| match parse_key(key)? {
            Kept::Schema(id) => Some((id, serde_json::from_slice::<ReadBy>(value).ok()?.offset)),
            _ => None,
        };
        self.0.iter().filter_map(read_by).collect()
    }

    /// Keys of a stream that no manifest needs: what was not finished.
    pub fn needless(&self, stream: &str, manifest: Option<&Manifest>) -> Vec<String> {
        let kept: Vec<&Generation> =
            manifest.iter().flat_map(|m| [Some(&m.current), m.previous.as_ref()]).flatten().collect();
        let first_control = kept.iter().map(|generation| generation.control_seq).min().unwrap_or(u64::MAX);
        let is_needless = |key: &&String| match parse_key(key) {
            Some(Kept::Chunk(of, number, chunk)) if of == stream => {
                !kept.iter().any(|generation| generation.number == number && chunk < generation.chunks)
            }
            Some(Kept::Control(of, seq)) if of == stream => seq < first_control,
            _ => false,
        };
        self.0.keys().filter(is_needless).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::{Terms, acknowledged_key, control_key, schema_key, silence_key};
    use super::*;
    use crate::types::{Arrival, Idle};

    fn shelf() -> (Shelf, Manifest) {
        let state = [vec![7; 5], vec![8; 3]];
        let whole = state.concat();
        let current = Generation {
            number: 4,
            offset: 90,
            chunks: 2,
            bytes: 8,
            crc32: crc32fast::hash(&whole),
            control_seq: 10,
        };
        let previous = Generation { number: 3, chunks: 1, control_seq: 8, ..Generation::default() };
        let terms = Terms { config: "c".into(), model: None, partitions: 2 };
        let manifest = Manifest::new(&terms, current, Some(previous));
        let mut shelf = Shelf::default();
        for (chunk, bytes) in (0..).zip(&state) {
            shelf.put(&chunk_key("pumps", 4, chunk), Some(bytes));
        }
        shelf.put(&manifest_key("pumps"), Some(&serde_json::to_vec(&manifest).unwrap()));
        (shelf, manifest)
    }

    #[test]
    fn a_state_is_whole_or_not_there() {
        let (mut shelf, manifest) = shelf();
        assert_eq!(shelf.manifest("pumps"), Ok(Some(manifest.clone())));
        assert_eq!(shelf.manifest("fans"), Ok(None));
        assert_eq!(shelf.state("pumps", &manifest.current), Some(vec![7, 7, 7, 7, 7, 8, 8, 8]));
        shelf.put(&chunk_key("pumps", 4, 1), Some(&[9; 3]));
        assert_eq!(shelf.state("pumps", &manifest.current), None, "other bytes");
        shelf.put(&chunk_key("pumps", 4, 1), None);
        assert_eq!(shelf.state("pumps", &manifest.current), None, "a piece is missing");
        shelf.put(&manifest_key("pumps"), Some(b"?"));
        assert!(shelf.manifest("pumps").unwrap_err().contains("another topic"));
    }

    #[test]
    fn controls_come_in_the_order_in_which_they_happened() {
        let (mut shelf, _) = shelf();
        for seq in [9, 10, 100, 11] {
            let control = Control { offset: seq, idle: Idle { at: Arrival(seq), after_ns: 1 } };
            shelf.put(&control_key("pumps", seq as u64), Some(&serde_json::to_vec(&control).unwrap()));
        }
        let seqs = |from| shelf.controls("pumps", from).iter().map(|(seq, _)| *seq).collect::<Vec<_>>();
        assert_eq!((seqs(10), seqs(0)), (vec![10, 11, 100], vec![9, 10, 11, 100]));
        assert!(shelf.controls("fans", 0).is_empty());
    }

    #[test]
    fn schemas_are_of_the_partition_and_stay() {
        let (mut shelf, _) = shelf();
        let read_by = serde_json::to_vec(&ReadBy { offset: 70 }).unwrap();
        shelf.put(&schema_key(3), Some(&read_by));
        assert_eq!(shelf.schemas(), BTreeMap::from([(3, 70)]));
        assert!(!shelf.needless("pumps", None).contains(&schema_key(3)));
        shelf.put(&schema_key(3), None);
        assert!(shelf.schemas().is_empty());
    }

    #[test]
    fn what_people_say_is_no_part_of_it() {
        let (mut shelf, manifest) = shelf();
        let before = shelf.0.clone();
        for stream in ["pumps", "chunk/pumps/4/2", "manifest/pumps", "control/pumps/11"] {
            shelf.put(&silence_key(stream), Some(b"{}"));
            shelf.put(&acknowledged_key(stream), Some(b"{}"));
        }
        assert_eq!(shelf.0, before);
        assert!(shelf.state("pumps", &manifest.current).is_some());
    }

    #[test]
    fn what_neither_generation_needs_may_go() {
        let (mut shelf, manifest) = shelf();
        for (generation, chunk) in [(3, 0), (3, 1), (4, 2), (5, 0)] {
            shelf.put(&chunk_key("pumps", generation, chunk), Some(b"x"));
        }
        [7, 8, 10].iter().for_each(|seq| shelf.put(&control_key("pumps", *seq), Some(b"{}")));
        let needless = ["chunk/pumps/3/1", "chunk/pumps/4/2", "chunk/pumps/5/0", "control/pumps/7"];
        assert_eq!(shelf.needless("pumps", Some(&manifest)), needless);
        assert!(shelf.needless("fans", None).is_empty());
        assert_eq!(shelf.needless("pumps", None).len(), 9, "all but the manifest, for one who begins anew");
    }
}
