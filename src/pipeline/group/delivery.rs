//! From the alerts topic to the receivers: whoever of the group has a partition of it puts its alerts in its own outbox.
//!
//! Offsets are committed only up to what every receiver has, or was given up on: alerts of a member that dies are
//! delivered by another, under the same `webhook-id`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use super::members;
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

/// By partition of the alerts topic, in order.
type Partitions = BTreeMap<i32, VecDeque<Waiting>>;

/// In the outbox, and behind it.
struct Waiting {
    next: i64,
    /// `None`: nothing to deliver.
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
                waiting.retain(|_, waiting| !self.release(waiting));
                std::thread::sleep(RETRY);
            }
        }
    }

    fn deliver(&self, consumer: &Reader, waiting: &mut Partitions) -> KafkaResult<()> {
        consumer.subscribe(&[&self.shared.alerts])?;
        let (mut settled, mut paused) = (Instant::now(), false);
        let mut asked = None::<Instant>;
        while !self.stop.is_cancelled() {
            self.receive(consumer, waiting);
            if asked.is_none_or(|asked| asked.elapsed() >= ASK) {
                asked = Some(Instant::now());
                self.ask_for_members(consumer);
            }
            if settled.elapsed() >= SETTLE {
                settled = Instant::now();
                self.settle(consumer, waiting)?;
                let full = is_full(waiting.values().map(VecDeque::len).sum(), self.held());
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
            let sent = message.payload().and_then(read);
            if sent.is_none() {
                let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
                tracing::error!(topic, partition, offset, "no alert of eddy's; it is passed over");
            }
            let alert =
                sent.as_ref().map(|sent| (sent.alert.decision.id.clone(), sent.alert.decision.revision));
            group.extend(sent);
            let next = message.offset() + 1;
            waiting.entry(message.partition()).or_default().push_back(Waiting { next, alert });
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

    /// Commits as far as all is delivered. What went to another member is that one's to commit.
    fn settle(&self, consumer: &Reader, waiting: &mut Partitions) -> KafkaResult<()> {
        let assigned = consumer.assignment()?;
        let ours: BTreeSet<i32> = assigned.elements().iter().map(|element| element.partition()).collect();
        waiting.retain(|partition, waiting| ours.contains(partition) || !self.release(waiting));
        let mut list = TopicPartitionList::new();
        for (partition, waiting) in waiting.iter_mut().filter(|(partition, _)| ours.contains(partition)) {
            let mut next = None;
            while waiting.front().is_some_and(|first| self.is_settled(first)) {
                next = waiting.pop_front().map(|first| first.next);
            }
            if let Some(next) = next {
                list.add_partition_offset(&self.shared.alerts, *partition, Offset::Offset(next))?;
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
