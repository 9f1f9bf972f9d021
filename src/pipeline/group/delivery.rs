//! From the alerts topic to the receivers: whoever of the group has a partition of it puts its alerts in its own outbox.
//!
//! Offsets are committed only up to what every receiver has, or was given up on: alerts of a member that dies are
//! delivered by another, under the same `webhook-id`. What is delivered behind one that is not is said by the commit ([`beyond`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::clients::{self, Reader};
use super::{beyond, members};
use crate::alert::outbox::{OutboxHandle, Sent};
use crate::config::plan::{KafkaPlan, SharedPlan};
use crate::durable::Ballast;
use crate::kafka::words::plainly;
use crate::latency::Clock;
use crate::status::{SinkStatus, Status};
use crate::types::{Alert, Decision, Receipt};

const POLL: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_millis(250);
/// How often is looked for who has what.
const ASK: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
const COMMITTED_MAX: Duration = Duration::from_secs(5);
const GROUP_MAX: usize = 1000;
/// Alerts that a receiver has not taken; with more, no new ones are fetched.
const WAITING_MAX: usize = 10_000;
/// Those of them that a silence may hold back besides, for days perhaps: others are not to wait for its end.
const HELD_MAX: usize = 250_000;

pub struct Delivery {
    pub kafka: KafkaPlan,
    pub shared: SharedPlan,
    pub member: String,
    pub outbox: OutboxHandle,
    pub clock: Clock,
    pub ballast: Arc<Ballast>,
    pub status: Arc<Status>,
    pub stop: CancellationToken,
}

/// What a body tells. Read once more, since what is shown must be what was sent.
#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(flatten)]
    decision: Decision,
    receipt: Receipt,
}

/// By partition of the alerts topic.
type Partitions = BTreeMap<i32, Partition>;

#[derive(Default)]
struct Partition {
    /// In order.
    waiting: VecDeque<Waiting>,
    /// Delivered by whoever had it before.
    told: Vec<Range<i64>>,
    /// The last offset that was committed, and the metadata.
    committed: (i64, String),
}

/// In the outbox.
struct Waiting {
    offset: i64,
    /// `None`: nothing to deliver, or not any more.
    alert: Option<(String, u32)>,
}

impl Delivery {
    /// Runs until told to stop; a client that cannot be used is made again.
    pub fn run(&self) {
        let mut waiting = Partitions::new();
        while !self.stop.is_cancelled() {
            let delivered = clients::delivery(&self.kafka, &self.member).and_then(|consumer| {
                let delivered = self.deliver(&consumer, &mut waiting);
                clients::close(consumer);
                delivered
            });
            if let Err(error) = delivered {
                let (topic, reason) = (&self.shared.alerts, plainly(&error));
                tracing::warn!(topic, reason, "alerts are not received, trying again");
                // Without its client this member is none of the group: others take all of its partitions.
                waiting.retain(|_, partition| !self.release(&partition.waiting));
                std::thread::sleep(RETRY);
            }
        }
    }

    fn deliver(&self, consumer: &Reader, waiting: &mut Partitions) -> KafkaResult<()> {
        consumer.subscribe(&[&self.shared.alerts])?;
        let (mut settled, mut paused) = (Instant::now(), false);
        let mut asked = None::<Instant>;
        let mut looked = Instant::now();
        while !self.stop.is_cancelled() {
            self.receive(consumer, waiting);
            if asked.is_none_or(|asked| asked.elapsed() >= ASK) {
                asked = Some(Instant::now());
                self.ask_for_members(consumer);
            }
            if settled.elapsed() >= SETTLE {
                settled = Instant::now();
                self.settle(consumer, waiting)?;
                if looked.elapsed() >= ASK {
                    looked = Instant::now();
                    self.look_beyond(waiting);
                }
                let full = is_full(waiting.values().map(|of| of.waiting.len()).sum(), self.held());
                if full || paused {
                    let all = consumer.assignment()?;
                    if full {
                        consumer.pause(&all)?
                    } else {
                        consumer.resume(&all)?
                    }
                    paused = full;
                }
            }
        }
        self.settle(consumer, waiting)
    }

    /// Alerts that silences keep from a receiver; of one from whom they keep most.
    fn held(&self) -> usize {
        let silenced = |sink: &SinkStatus| sink.silenced.load(Relaxed) as usize;
        self.status.sinks.iter().map(silenced).max().unwrap_or(0)
    }

    /// For the page. Here, where nothing waits for the answer.
    fn ask_for_members(&self, consumer: &Reader) {
        match members::ask(consumer, &self.kafka.group) {
            Ok(members) => {
                let known = &self.status.sources[0].kafka.members;
                *known.lock().unwrap_or_else(PoisonError::into_inner) = members;
            }
            Err(error) => tracing::debug!(%error, "who is in the group is not told"),
        }
    }

    fn receive(&self, consumer: &Reader, waiting: &mut Partitions) {
        let (mut group, mut wait) = (Vec::new(), POLL);
        while group.len() < GROUP_MAX {
            let Some(received) = consumer.poll(wait) else { break };
            wait = Duration::ZERO;
            let Ok(message) = received else { continue };
            let partition = waiting
                .entry(message.partition())
                .or_insert_with(|| self.begin(consumer, message.partition(), message.offset()));
            let is_told = partition.told.iter().any(|told| told.contains(&message.offset()));
            let sent = message.payload().filter(|_| !is_told).and_then(read);
            if sent.is_none() && !is_told {
                let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
                tracing::error!(topic, partition, offset, "no alert of eddy's; it is passed over");
            }
            let alert =
                sent.as_ref().map(|sent| (sent.alert.decision.id.clone(), sent.alert.decision.revision));
            group.extend(sent);
            partition.waiting.push_back(Waiting { offset: message.offset(), alert });
        }
        while !group.is_empty() {
            match self.outbox.store_sent(&group, self.clock.now_ns()) {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, alerts = group.len(), "outbox not written, trying again; nothing is dropped");
                    if error.is_full() {
                        self.ballast.give_up();
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// A partition that comes. What was delivered of it is not known if the commit is of another topic of the same name, or is not told.
    fn begin(&self, consumer: &Reader, partition: i32, offset: i64) -> Partition {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.shared.alerts, partition);
        let told = match consumer.committed_offsets(list, COMMITTED_MAX) {
            Ok(committed) => {
                committed.elements().first().map_or(Vec::new(), |element| match element.offset() {
                    Offset::Offset(first) if first <= offset => beyond::read(first, element.metadata()),
                    _ => Vec::new(),
                })
            }
            Err(error) => {
                tracing::warn!(%error, partition, "what was delivered of it is not known, and told again");
                Vec::new()
            }
        };
        Partition { told, ..Partition::default() }
    }

    /// Finds what is delivered behind what is not.
    fn look_beyond(&self, waiting: &mut Partitions) {
        if waiting.values().all(|partition| partition.waiting.len() < 2) {
            return;
        }
        match self.outbox.reader().and_then(|reader| reader.pending()) {
            Ok(pending) => {
                let all = waiting.values_mut().flat_map(|partition| &mut partition.waiting);
                all.for_each(|waiting| {
                    waiting.alert.take_if(|alert| !pending.contains(alert)).map_or((), drop)
                });
            }
            Err(error) => tracing::warn!(%error, "what is delivered is not known"),
        }
    }

    /// Commits as far as all is delivered. What went to another member is that one's to commit.
    fn settle(&self, consumer: &Reader, waiting: &mut Partitions) -> KafkaResult<()> {
        let assigned = consumer.assignment()?;
        let ours: BTreeSet<i32> = assigned.elements().iter().map(|element| element.partition()).collect();
        waiting.retain(|id, partition| ours.contains(id) || !self.release(&partition.waiting));
        let mut list = TopicPartitionList::new();
        for (id, partition) in waiting.iter_mut().filter(|(id, _)| ours.contains(id)) {
            let Partition { waiting, committed, .. } = partition;
            let mut next = None;
            while waiting.front().is_some_and(|first| self.is_settled(first)) {
                next = waiting.pop_front().map(|first| first.offset + 1);
            }
            let Some(first) = waiting.front().map(|first| first.offset).or(next) else { continue };
            let settled =
                waiting.iter().filter(|waiting| waiting.alert.is_none()).map(|waiting| waiting.offset);
            let now = (first, beyond::write(first, settled));
            if now != *committed {
                let mut element = list.add_partition(&self.shared.alerts, *id);
                element.set_offset(Offset::Offset(now.0))?;
                element.set_metadata(&now.1);
                *committed = now;
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets of alerts were not committed");
        }
        Ok(())
    }

    /// Another member reads these again, since their offsets were not committed. Told by both, a revision could come behind the one
    /// after it. `false`: it is to be tried again.
    fn release(&self, waiting: &VecDeque<Waiting>) -> bool {
        let revisions: Vec<(String, u32)> =
            waiting.iter().filter_map(|waiting| waiting.alert.clone()).collect();
        let released = self.outbox.release(&revisions);
        if let Err(error) = &released {
            tracing::warn!(%error, "alerts that another member tells are told here as well, until the outbox is written again");
        }
        released.is_ok()
    }

    fn is_settled(&self, waiting: &Waiting) -> bool {
        let Some((id, revision)) = &waiting.alert else { return true };
        self.outbox.is_settled(id, *revision).unwrap_or_else(|error| {
            tracing::warn!(%error, "whether an alert is delivered is not known");
            false
        })
    }
}

fn is_full(waiting: usize, held: usize) -> bool {
    waiting.saturating_sub(held.min(HELD_MAX)) > WAITING_MAX
}

fn read(payload: &[u8]) -> Option<Sent> {
    let Body { data: Data { decision, receipt } } = sonic_rs::from_slice(payload).ok()?;
    let body = std::str::from_utf8(payload).ok()?.to_owned();
    Some(Sent { alert: Alert { decision, receipt }, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_silence_holds_back_does_not_hold_up_what_it_does_not_fit() {
        assert!(!is_full(WAITING_MAX, 0) && is_full(WAITING_MAX + 1, 0));
        assert!(!is_full(3 * WAITING_MAX, 2 * WAITING_MAX) && is_full(3 * WAITING_MAX + 1, 2 * WAITING_MAX));
        assert!(is_full(HELD_MAX + WAITING_MAX + 1, 2 * HELD_MAX), "memory ends, too");
        assert!(!is_full(5, 9), "what is held back is counted a moment later");
    }
}
