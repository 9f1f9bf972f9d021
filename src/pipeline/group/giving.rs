//! Partitions that the group gives to this member: what their last owner knew, and what must be read again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::End;
use super::manifest::{Control, Generation, Manifest};
use super::owned::{Owned, Shelved, unread_by};
use super::session::Session;
use super::shelf::{self, Shelf};
use crate::config::plan::{KafkaStart, StreamPlan};
use crate::kafka::words::plainly;
use crate::source::kafka::topics::ASK_MAX;
use crate::source::kafka::waiting::Queue;
use crate::types::{PartitionId, StreamId};

/// A dead member's transaction is over by then, and its offsets are stable.
const STABLE_MAX: Duration = Duration::from_secs(60);

const SETTLES: Duration = Duration::from_secs(2);

/// Where the broker has messages of a partition, and what the group has committed of it.
struct Place {
    low: i64,
    high: i64,
    committed: Option<i64>,
}

/// What a stream goes on from.
struct Start {
    shelved: Shelved,
    offset: i64,
    /// Nothing, if no row was seen, or the stream is new here.
    state: Option<Vec<u8>>,
    controls: Vec<Control>,
    is_new: bool,
}

impl Session<'_> {
    /// Restores them, and has the consumer read them from where their states end.
    pub(super) fn give(&mut self, partitions: &[i32]) -> Result<(), End> {
        let began = Instant::now();
        let mut list = TopicPartitionList::new();
        if !partitions.is_empty() {
            let places = self.places(partitions)?;
            let state = &self.driver.shared.state;
            let shelves = shelf::read(&self.driver.kafka, &self.driver.member, state, partitions)
                .map_err(End::Again)?;
            for (partition, place) in places {
                let shelf = shelves
                    .get(&partition)
                    .ok_or_else(|| End::Again("a partition was not read".to_owned()))?;
                let owned = self.restore(partition, &place, shelf)?;
                let from = Offset::Offset(owned.next);
                self.owned.insert(partition, owned);
                let added = list.add_partition_offset(&self.driver.kafka.topics[0], partition, from);
                added.map_err(|error| End::Again(plainly(&error)))?;
            }
        }
        let assigned = self.consumer.incremental_assign(&list);
        assigned.map_err(|error| End::Again(format!("partitions were not taken: {}", plainly(&error))))?;
        // They may have been paused when they went.
        let resumed = self.consumer.resume(&list);
        resumed.map_err(|error| End::Again(format!("partitions were not resumed: {}", plainly(&error))))?;
        if !partitions.is_empty() {
            let took = began.elapsed();
            let again: i64 =
                partitions.iter().filter_map(|id| self.owned.get(id)).map(|o| o.replay_until - o.next).sum();
            let kafka = &self.driver.status.sources[0].kafka;
            kafka.handovers_total.fetch_add(partitions.len() as u64, Relaxed);
            kafka.handover_ns_last.store(took.as_nanos() as u64, Relaxed);
            let took_ms = took.as_millis() as u64;
            tracing::info!(partitions = partitions.len(), took_ms, messages_again = again, "taken over");
        }
        Ok(())
    }

    fn places(&self, partitions: &[i32]) -> Result<BTreeMap<i32, Place>, End> {
        let failed =
            |error: KafkaError| End::Again(format!("the group's offsets are not told: {}", plainly(&error)));
        let topic = &self.driver.kafka.topics[0];
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(topic, *partition);
        }
        // Waits for transactions that hold them.
        let committed = self.consumer.committed_offsets(asked, STABLE_MAX).map_err(failed)?;
        let mut places = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(failed)?;
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let ask = || self.reader.fetch_watermarks(topic, element.partition(), ASK_MAX).map_err(failed);
            let (mut low, mut high) = ask()?;
            if committed.is_some_and(|committed| committed > high) {
                // A leader that has just become one may not know its whole partition yet.
                std::thread::sleep(SETTLES);
                (low, high) = ask()?;
            }
            places.insert(element.partition(), Place { low, high, committed });
        }
        Ok(places)
    }

    fn restore(&mut self, partition: i32, place: &Place, shelf: &Shelf) -> Result<Owned, End> {
        let id = PartitionId::of_kafka(partition);
        // One beyond the end is of a partition before, of the same name.
        let committed = place.committed.filter(|committed| *committed <= place.high);
        let begin = match committed {
            Some(committed) => committed.max(place.low),
            None => self.beginning(partition, place)?,
        };
        self.driver.hand.forget(id)?;
        let mut controls = Vec::new();
        let (mut streams, mut from) = (Vec::new(), i64::MAX);
        let (mut newest, mut all_new) = (i64::MIN, true);
        for stream in 0..self.driver.plan.streams.len() {
            let start = self.start(stream, shelf, begin, place)?;
            let stream = StreamId(stream as u16);
            match start.state {
                Some(state) => {
                    let models = self.driver.models.clone();
                    let restored = self.driver.hand.restore((stream, id), start.offset, state, models)?;
                    restored.map_err(|error| {
                        End::Refused(format!("partition {partition} cannot be restored: {error}; run one version of eddy on every member"))
                    })?;
                }
                None => self.driver.hand.begin(stream, id, start.offset)?,
            }
            controls.extend(start.controls.into_iter().map(|control| (stream, control)));
            all_new &= start.is_new;
            if start.is_new {
                let name = &self.driver.plan.streams[stream.0 as usize].name;
                let terms = &self.terms[stream.0 as usize];
                self.pending.state.push_back(start.shelved.manifest(partition, name, terms));
            }
            streams.push(start.shelved);
            (from, newest) = (from.min(start.offset), newest.max(start.offset));
        }
        let schemas = self.schemas(partition, shelf, all_new);
        controls.sort_by_key(|(_, control)| control.offset);
        let from = self.there(partition, from, place);
        Ok(Owned {
            next: from,
            committed: committed.unwrap_or(newest).max(from),
            replay_until: committed.unwrap_or(newest).max(newest),
            controls: controls.into(),
            streams,
            schemas,
            waiting: Queue::default(),
            ended: None,
            changed: false,
            saved: Instant::now(),
            idle_next: self.idle_next(),
        })
    }

    /// From where the partition is read by which schema: nowhere, if it begins anew.
    fn schemas(&mut self, partition: i32, shelf: &Shelf, is_new: bool) -> BTreeMap<i32, i64> {
        let schemas = shelf.schemas();
        if !is_new {
            return schemas;
        }
        // Not among the states, which are written behind what is read by a schema from now on.
        self.pending.controls.extend(schemas.keys().map(|id| unread_by(partition, *id)));
        BTreeMap::new()
    }

    /// By stream.
    fn idle_next(&self) -> Vec<i64> {
        let now_ns = self.driver.clock.now_ns();
        let after_ns = |plan: &StreamPlan| plan.idle_after.map_or(i64::MAX, |after| after.as_nanos() as i64);
        self.driver.plan.streams.iter().map(|plan| now_ns.saturating_add(after_ns(plan))).collect()
    }

    /// Of a partition that nobody has read.
    fn beginning(&self, partition: i32, place: &Place) -> Result<i64, End> {
        let ms = match self.driver.kafka.start {
            KafkaStart::Earliest => return Ok(place.low),
            KafkaStart::Latest => return Ok(place.high),
            KafkaStart::At(ms) => ms,
        };
        let failed =
            |error: KafkaError| End::Again(format!("where to begin is not told: {}", plainly(&error)));
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset(&self.driver.kafka.topics[0], partition, Offset::Offset(ms))
            .map_err(failed)?;
        let found = self.reader.offsets_for_times(asked, ASK_MAX).map_err(failed)?;
        match found.elements().first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset),
            _ => Ok(place.high),
        }
    }

    /// What a stream goes on from: its snapshot, the one before if that is damaged, or nothing.
    fn start(&self, stream: usize, shelf: &Shelf, begin: i64, place: &Place) -> Result<Start, End> {
        let (name, topic) = (&self.driver.plan.streams[stream].name, &self.driver.shared.state);
        let manifest = shelf.manifest(name).map_err(End::Refused)?;
        let Some(manifest) = manifest else {
            return Ok(anew(name, begin, shelf));
        };
        manifest.check(&self.terms[stream], name, topic).map_err(End::Refused)?;
        if manifest.current.offset > place.high {
            tracing::warn!(
                stream = name,
                offset = manifest.current.offset,
                "the partition ends before its state: it was made anew, and is read from its beginning"
            );
            return Ok(anew(name, place.low, shelf));
        }
        let needless = shelf.needless(name, Some(&manifest));
        let Manifest { current, previous, .. } = manifest;
        for (generation, before) in [(Some(&current), previous.clone()), (previous.as_ref(), None)] {
            let Some(generation) = generation else { break };
            let Some(state) = shelf.state(name, generation) else {
                tracing::warn!(
                    stream = name,
                    generation = generation.number,
                    "a snapshot is damaged; the one before is used"
                );
                continue;
            };
            let controls = shelf.controls(name, generation.control_seq);
            let control_seq = controls.last().map_or(0, |(seq, _)| seq + 1).max(current.control_seq);
            let (offset, chunks) = (generation.offset, generation.chunks);
            let shelved = Shelved { current: generation.clone(), previous: before, control_seq, needless };
            let controls = controls.into_iter().map(|(_, control)| control).collect();
            let state = (chunks > 0).then_some(state);
            return Ok(Start { shelved, offset, state, controls, is_new: false });
        }
        Err(End::Refused(format!(
            "the state of stream {name} in topic {topic} is damaged, both the newest and the one before: let all begin anew \
             with another `shared.state` topic"
        )))
    }

    /// Where reading begins, if the broker has not deleted it.
    fn there(&self, partition: i32, from: i64, place: &Place) -> i64 {
        if from >= place.low {
            return from;
        }
        let lost = place.low - from;
        let status = &self.driver.status.sources[0];
        status.kafka.lost_total.fetch_add(lost.unsigned_abs(), Relaxed);
        tracing::error!(
            source = status.name,
            partition,
            lost,
            "the broker has deleted messages before they were read; raise the topic's retention.ms or retention.bytes, or \
             leave the group off for a shorter time"
        );
        place.low
    }
}

/// A stream begins here: said in the state topic, so that whoever takes it over begins at the same message. What is there
/// of it is of another past.
fn anew(stream: &str, offset: i64, shelf: &Shelf) -> Start {
    tracing::info!(stream, offset, "begins here, without a past");
    let control_seq = shelf.controls(stream, 0).last().map_or(0, |(seq, _)| seq + 1);
    let current = Generation { offset, control_seq, ..Generation::default() };
    let needless = shelf.needless(stream, None);
    let shelved = Shelved { current, previous: None, control_seq, needless };
    Start { shelved, offset, state: None, controls: Vec::new(), is_new: true }
}
