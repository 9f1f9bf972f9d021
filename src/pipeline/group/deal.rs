//! One transaction: what is told, what must be known of it later, and how far the partitions are read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use tokio_util::sync::CancellationToken;

use super::aside::Lately;
use super::clients::Producer;
use super::hanging;
use super::owned::Record;
use super::refusals::tag;
use super::watching::Watching;
use crate::alert::body;
use crate::config::plan::{KafkaPlan, Plan, SharedPlan};
use crate::kafka::alert::headers;
use crate::kafka::words::plainly;
use crate::pipeline::letters::{self, Letter};
use crate::telemetry::of_revision;
use crate::types::Alert;

/// Of states, in one transaction: alerts wait for no more than that.
const STATE_BYTES_MAX: usize = 8 << 20;
const STEP_MAX: Duration = Duration::from_secs(5);
/// A broker that is started anew is back by then.
const COMMIT_MAX: Duration = Duration::from_secs(60);
const FULL: Duration = Duration::from_millis(20);

/// A revision as it goes out: the bytes that webhooks get.
#[derive(Clone, Debug)]
pub struct Told {
    pub id: String,
    pub message_id: String,
    pub r#type: &'static str,
    pub traceparent: String,
    pub body: String,
}

impl Told {
    /// `None` if it cannot be put in JSON: a bug, told in the log. `traced`: spans of it are sent to a collector.
    pub fn of(alert: &Alert, traced: bool) -> Option<Self> {
        let decision = &alert.decision;
        match body::encode(alert) {
            Ok(body) => Some(Told {
                id: decision.id.clone(),
                message_id: decision.message_id(),
                r#type: decision.event_type(),
                traceparent: of_revision(&decision.id, decision.revision, traced),
                body,
            }),
            Err(error) => {
                tracing::error!(%error, alert = decision.id, "an alert cannot be put in JSON; please report this");
                None
            }
        }
    }
}

/// What waits for a transaction. It stays until one is committed.
#[derive(Default)]
pub struct Pending {
    pub alerts: Vec<Told>,
    pub letters: Vec<Letter>,
    /// Go with what was judged after them, in any case.
    pub controls: Vec<Record>,
    /// In order, in as many transactions as it takes.
    pub state: VecDeque<Record>,
    /// Since when it fails.
    pub fails: Option<Instant>,
    pub refused: Lately,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Failure {
    /// Nothing of it is there. It may be tried again, if this is still a member.
    Aborted(String, Option<Code>),
    /// It is not known what is there, or another process has taken this one's place: all must begin anew.
    Over(String),
}

impl Failure {
    pub fn error(&self) -> &str {
        let (Failure::Aborted(error, _) | Failure::Over(error)) = self;
        error
    }
}

pub struct Deal<'a> {
    pub producer: &'a Producer,
    pub consumer: &'a BaseConsumer<Watching>,
    pub plan: &'a Plan,
    pub kafka: &'a KafkaPlan,
    pub shared: &'a SharedPlan,
    pub member: &'a str,
    /// What cannot be committed soon after that is judged again by the next owner.
    pub stop: &'a CancellationToken,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        let Pending { alerts, letters, controls, state, fails: _, refused: _ } = self;
        alerts.is_empty() && letters.is_empty() && controls.is_empty() && state.is_empty()
    }

    /// How many records of states go next.
    fn some_state(&self) -> usize {
        let mut bytes = 0;
        let fits = |record: &&Record| {
            bytes += record.bytes();
            bytes <= STATE_BYTES_MAX
        };
        self.state.iter().take_while(fits).count().max(1).min(self.state.len())
    }
}

impl Deal<'_> {
    /// Commits what waits together with `offsets`. Whatever is written about a partition goes with an offset of it: by
    /// that the group refuses a member that has lost it.
    pub fn make(&self, pending: &mut Pending, offsets: &BTreeMap<i32, i64>) -> Result<(), Failure> {
        let state = pending.some_state();
        self.producer.begin_transaction().map_err(|error| self.judge(error))?;
        let made = self.fill(pending, state, offsets).and_then(|()| self.commit());
        match made {
            Ok(()) => {
                pending.alerts.clear();
                pending.letters.clear();
                pending.controls.clear();
                pending.state.drain(..state);
                pending.fails = None;
                Ok(())
            }
            Err(error) => {
                pending.fails.get_or_insert_with(Instant::now);
                Err(self.judge(error))
            }
        }
    }

    fn fill(&self, pending: &Pending, state: usize, offsets: &BTreeMap<i32, i64>) -> Result<(), KafkaError> {
        for told in &pending.alerts {
            let record = BaseRecord::with_opaque_to(&self.shared.alerts, tag(None))
                .key(told.id.as_bytes())
                .payload(told.body.as_bytes());
            self.send(record.headers(headers(&told.message_id, told.r#type, &told.traceparent)))?;
        }
        for (at, letter) in pending.letters.iter().enumerate() {
            let topic = self.kafka.dead_letters.as_deref().unwrap_or_default();
            let record = BaseRecord::with_opaque_to(topic, tag(Some(at)));
            self.send(letters::fill(record, letter, (self.plan, self.kafka), Some(self.member)))?;
        }
        for record in pending.controls.iter().chain(pending.state.iter().take(state)) {
            let mut sent = BaseRecord::with_opaque_to(&self.shared.state, tag(None))
                .partition(record.partition)
                .key(record.key.as_bytes());
            sent.payload = record.value.as_deref();
            self.send(sent)?;
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in offsets {
            list.add_partition_offset(&self.kafka.topics[0], *partition, Offset::Offset(*next))?;
        }
        self.patiently(|| self.send_offsets(list.clone()))
    }

    fn send_offsets(&self, list: TopicPartitionList) -> Result<(), KafkaError> {
        let Some(group) = self.consumer.group_metadata() else {
            return Err(KafkaError::ClientCreation("no member of a group".to_owned()));
        };
        let producer = self.producer.clone();
        let send = move || producer.send_offsets_to_transaction(&list, &group, STEP_MAX);
        // A step may take its whole limit, and is then in time.
        let sent = hanging::within(|| self.patience() + STEP_MAX, send);
        sent.unwrap_or(Err(KafkaError::Canceled))
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), KafkaError> {
        let (topic, tag) = (record.topic, record.delivery_opaque);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    std::thread::sleep(FULL);
                    record = back;
                }
                Err((error, _)) => {
                    self.producer.context().note(topic, tag, &error);
                    return Err(error);
                }
            }
        }
    }

    fn commit(&self) -> Result<(), KafkaError> {
        self.patiently(|| self.producer.commit_transaction(STEP_MAX))
    }

    /// Again and again while that may help.
    fn patiently(&self, step: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
        let (began, mut told) = (Instant::now(), false);
        loop {
            match step() {
                Err(error) if may_pass(&error) && began.elapsed() < self.patience() => {
                    if !std::mem::replace(&mut told, true) {
                        let reason = plainly(&error);
                        tracing::warn!(reason, "a transaction takes long");
                    }
                }
                done => return done,
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.stop.is_cancelled() { STEP_MAX } else { COMMIT_MAX }
    }

    /// Takes back what can be.
    fn judge(&self, error: KafkaError) -> Failure {
        let text = plainly(&error);
        let abortable = match &error {
            KafkaError::Transaction(error) => error.txn_requires_abort(),
            KafkaError::MessageProduction(_) => true,
            _ => false,
        };
        if !abortable {
            return Failure::Over(text);
        }
        match self.patiently(|| self.producer.abort_transaction(STEP_MAX)) {
            Ok(()) => Failure::Aborted(text, error.rdkafka_error_code()),
            Err(then) => Failure::Over(format!("{text}, and then {}", plainly(&then))),
        }
    }
}

fn may_pass(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable() && !error.txn_requires_abort(),
        KafkaError::Flush(code) => *code == Code::OperationTimedOut,
        _ => false,
    }
}

/// The partitions of records.
pub fn partitions_of(pending: &Pending) -> BTreeSet<i32> {
    pending.controls.iter().chain(&pending.state).map(|record| record.partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_go_in_pieces_and_each_time_at_least_one() {
        let record = |bytes: usize| Record { partition: 3, key: String::new(), value: Some(vec![0; bytes]) };
        let pending = |sizes: &[usize]| Pending {
            state: sizes.iter().map(|b| record(*b)).collect(),
            ..Pending::default()
        };
        let half = STATE_BYTES_MAX / 2;
        assert_eq!(pending(&[]).some_state(), 0);
        assert_eq!(pending(&[half, half, half]).some_state(), 2);
        assert_eq!(pending(&[STATE_BYTES_MAX + 1, 1]).some_state(), 1);
        assert!(pending(&[]).is_empty() && !pending(&[1]).is_empty());
        assert_eq!(partitions_of(&pending(&[1, 1])), BTreeSet::from([3]));
    }
}
