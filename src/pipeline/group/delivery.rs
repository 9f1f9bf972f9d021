//! From the alerts topic to the receivers: whoever of the group has a partition of it puts its alerts in its own outbox.
//!
//! Offsets are committed only up to what every receiver has, or was given up on: alerts of a member that dies are
//! delivered by another, under the same `webhook-id`. What is delivered behind one that is not is said by the commit ([`beyond`]).

mod backlog;
mod beyond;
mod look;
pub mod noted;
mod receiving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::clients::{self, Deliverer};
use super::{hanging, members};
use crate::alert::outbox::OutboxHandle;
use crate::config::plan::{KafkaPlan, SharedPlan};
use crate::durable::Ballast;
use crate::kafka::words::plainly;
use crate::latency::Clock;
use crate::status::{SinkStatus, Status};
use backlog::{Backlog, Revision};
use look::Look;

const SETTLE: Duration = Duration::from_millis(250);
/// How often is asked who has what.
const ASK: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
/// Of a commit; after that the client is made anew, and what was not said is told by whoever has it next.
const COMMIT_MAX: Duration = Duration::from_secs(30);
const STOP_COMMIT_MAX: Duration = Duration::from_secs(5);
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

#[derive(Default)]
struct Waiting {
    /// By partition of the alerts topic.
    of: BTreeMap<i32, Backlog>,
    look: Look,
    /// It was said that commits fail.
    warned: bool,
}

impl Delivery {
    /// Runs until told to stop; a client that cannot be used is made again.
    pub fn run(&self) {
        let mut waiting = Waiting::default();
        while !self.stop.is_cancelled() {
            let delivered = clients::delivery(&self.kafka, &self.member).map(Arc::new).and_then(|consumer| {
                let delivered = self.deliver(&consumer, &mut waiting);
                noted::leave(&consumer, &self.shared.alerts);
                clients::close(consumer);
                delivered
            });
            if let Err(error) = delivered {
                let (topic, reason) = (&self.shared.alerts, plainly(&error));
                tracing::warn!(topic, reason, "alerts are not received, trying again");
                // Without its client this member is none of the group: others take all of its partitions.
                waiting.of.retain(|_, backlog| !self.release(backlog));
                std::thread::sleep(RETRY);
            }
        }
    }

    fn deliver(&self, consumer: &Arc<Deliverer>, waiting: &mut Waiting) -> KafkaResult<()> {
        consumer.subscribe(&[&self.shared.alerts])?;
        let (mut settled, mut paused) = (Instant::now(), false);
        let mut asked = None::<Instant>;
        while !self.stop.is_cancelled() {
            self.receive(consumer, &mut waiting.of)?;
            if asked.is_none_or(|asked| asked.elapsed() >= ASK) {
                asked = Some(Instant::now());
                self.ask_for_members(consumer);
            }
            if consumer.context().kept.is_taken() {
                self.hand_over(consumer, waiting)?;
            }
            if settled.elapsed() >= SETTLE {
                settled = Instant::now();
                if waiting.look.is_due() {
                    self.look_beyond(waiting);
                }
                self.settle(consumer, waiting, CommitMode::Sync)?;
                let full = is_full(waiting.of.values().map(Backlog::len).sum(), self.held());
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
        self.look_beyond(waiting);
        // The end of what cannot be refused is waited for with the client's.
        let mode = match waiting.of.values().any(Backlog::says_beyond) {
            true => CommitMode::Sync,
            false => CommitMode::Async,
        };
        self.settle(consumer, waiting, mode)
    }

    /// Alerts that silences keep from a receiver; of one from whom they keep most.
    fn held(&self) -> usize {
        let silenced = |sink: &SinkStatus| sink.silenced.load(Relaxed) as usize;
        self.status.sinks.iter().map(silenced).max().unwrap_or(0)
    }

    /// For the page. Here, where nothing waits for the answer.
    fn ask_for_members(&self, consumer: &Deliverer) {
        match members::ask(consumer, &self.kafka.group) {
            Ok(members) => {
                let known = &self.status.sources[0].kafka.members;
                *known.lock().unwrap_or_else(PoisonError::into_inner) = members;
            }
            Err(error) => tracing::debug!(%error, "who is in the group is not told"),
        }
    }

    /// Finds what is delivered behind what is not.
    fn look_beyond(&self, waiting: &mut Waiting) {
        let Waiting { of, look, .. } = waiting;
        if of.values().all(|backlog| backlog.len() < 2) {
            return;
        }
        let sinks = self.status.sinks.iter().map(|sink| &sink.name[..]);
        match look.pending(&self.outbox, sinks) {
            Ok(pending) => of.values_mut().for_each(|backlog| backlog.keep(&pending)),
            Err(error) => tracing::warn!(%error, "what is delivered is not known"),
        }
    }

    /// The group waits for what it takes away. What is delivered of it is said before, and what is not is left to the next.
    fn hand_over(&self, consumer: &Arc<Deliverer>, waiting: &mut Waiting) -> KafkaResult<()> {
        self.look_beyond(waiting);
        self.settle(consumer, waiting, CommitMode::Sync)?;
        let mut list = TopicPartitionList::new();
        for partition in consumer.context().kept.taken() {
            list.add_partition(&self.shared.alerts, partition);
            if waiting.of.get(&partition).is_some_and(|backlog| self.release(backlog)) {
                waiting.of.remove(&partition);
            }
        }
        consumer.incremental_unassign(&list)
    }

    /// Commits as far as all is delivered. What went to another member is that one's to commit.
    fn settle(&self, consumer: &Arc<Deliverer>, waiting: &mut Waiting, mode: CommitMode) -> KafkaResult<()> {
        if self.settle_once(consumer, waiting, mode)? {
            self.settle_once(consumer, waiting, mode)?;
        }
        Ok(())
    }

    /// Whether the brokers would take it without what is beyond.
    fn settle_once(
        &self,
        consumer: &Arc<Deliverer>,
        waiting: &mut Waiting,
        mode: CommitMode,
    ) -> KafkaResult<bool> {
        let assigned = consumer.assignment()?;
        let ours: BTreeSet<i32> = assigned.elements().iter().map(|element| element.partition()).collect();
        waiting.of.retain(|id, backlog| ours.contains(id) || !self.release(backlog));
        let mut list = TopicPartitionList::new();
        for (id, backlog) in waiting.of.iter_mut().filter(|(id, _)| ours.contains(id)) {
            backlog.settle(|revision| self.is_settled(revision));
            if let Some(position) = backlog.say() {
                let mut element = list.add_partition(&self.shared.alerts, *id);
                element.set_offset(Offset::Offset(position.offset))?;
                element.set_metadata(&position.beyond);
            }
        }
        if list.count() == 0 {
            return Ok(false);
        }
        self.commit(consumer, &list, waiting, mode)
    }

    /// What the brokers do not take is said again with what comes next; what is too long for them (`true`), without what is beyond.
    fn commit(
        &self,
        consumer: &Arc<Deliverer>,
        list: &TopicPartitionList,
        waiting: &mut Waiting,
        mode: CommitMode,
    ) -> KafkaResult<bool> {
        let (committing, told) = (Arc::clone(consumer), list.clone());
        // The library waits for an answer to what it may send again and again.
        let committed = hanging::within(|| self.patience(), move || committing.commit(&told, mode));
        let Err(error) = committed.ok_or(KafkaError::Canceled)? else {
            waiting.warned = false;
            return Ok(false);
        };
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let mut is_bare_next = false;
        for element in list.elements() {
            let too_long = code == Code::OffsetMetadataTooLarge && !element.metadata().is_empty();
            is_bare_next |= too_long;
            waiting.of.entry(element.partition()).and_modify(|backlog| backlog.unsay(too_long));
        }
        match remedy(code) {
            Some(remedy) if !std::mem::replace(&mut waiting.warned, true) => tracing::warn!(
                %error,
                remedy,
                "what is delivered of the alerts is not written down, and another member may tell it again"
            ),
            _ => tracing::debug!(%error, "offsets of alerts were not committed"),
        }
        Ok(is_bare_next)
    }

    fn patience(&self) -> Duration {
        if self.stop.is_cancelled() { STOP_COMMIT_MAX } else { COMMIT_MAX }
    }

    /// Another member reads these again, since their offsets were not committed. Told by both, a revision could come behind the one
    /// after it. `false`: it is to be tried again.
    fn release(&self, backlog: &Backlog) -> bool {
        let released = self.outbox.release(&backlog.revisions());
        if let Err(error) = &released {
            tracing::warn!(%error, "alerts that another member tells are told here as well, until the outbox is written again");
        }
        released.is_ok()
    }

    fn is_settled(&self, (id, revision): &Revision) -> bool {
        self.outbox.is_settled(id, *revision).unwrap_or_else(|error| {
            tracing::warn!(%error, "whether an alert is delivered is not known");
            false
        })
    }
}

/// `None`: of itself it comes right, since members come and go and with them what each may commit.
fn remedy(code: Code) -> Option<&'static str> {
    match code {
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::AssignmentLost
        | Code::NoOffset => None,
        Code::OffsetMetadataTooLarge => Some("give the brokers offset.metadata.max.bytes = 4096"),
        Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed => {
            Some("allow it to Read the alerts topic and the group that ends in -delivery (kafka-acls)")
        }
        _ => Some("see that the brokers answer; it is tried again"),
    }
}

fn is_full(waiting: usize, held: usize) -> bool {
    waiting.saturating_sub(held.min(HELD_MAX)) > WAITING_MAX
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
