//! What the client library tells the member from inside a poll. Partitions that come and go are noted, and seen to
//! between polls.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;

use crate::config::plan::KafkaPlan;
use crate::kafka::reasons::away;
use crate::kafka::token::Tokens;
use crate::source::kafka::reasons::{Trouble, trouble};
use crate::status::{SourceStatus, Status};

/// What the group decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    Given(Vec<i32>),
    Taken(Vec<i32>),
    /// The group has given this member up: others may have them already.
    Lost,
}

pub struct Watching {
    plan: KafkaPlan,
    tokens: Tokens,
    status: Arc<Status>,
    /// Whatever is taken now was saved.
    pub leaving: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    balances: VecDeque<Balance>,
    /// Behind what is told of each partition.
    told: BTreeMap<i32, i64>,
    away: Option<String>,
    over: Option<String>,
}

impl Watching {
    pub fn new(plan: KafkaPlan, status: Arc<Status>) -> Self {
        Watching {
            tokens: Tokens::of(&plan.cluster),
            plan,
            status,
            leaving: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn source(&self) -> &SourceStatus {
        &self.status.sources[0]
    }

    pub fn next_balance(&self) -> Option<Balance> {
        self.inner().balances.pop_front()
    }

    pub fn is_balanced(&self) -> bool {
        self.inner().balances.is_empty()
    }

    /// Why the session must end, if it must.
    pub fn over(&self) -> Option<String> {
        self.inner().over.take()
    }

    pub fn told(&self, told: BTreeMap<i32, i64>) {
        self.inner().told = told;
    }

    /// Takes note of an error; `reason` is in the library's words.
    pub fn fault(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        tracing::debug!(%error, reason, "Kafka");
        match trouble(&self.plan, code, reason) {
            Trouble::Passing => {}
            Trouble::Begin(reason) => self.inner().over = Some(reason),
            Trouble::Broker(reason) => {
                self.inner().away = Some(reason.clone());
                if !self.source().connected.load(Relaxed) {
                    self.tell(reason);
                }
            }
            Trouble::AllBrokers => {
                let reason =
                    self.inner().away.clone().unwrap_or_else(|| away(&self.plan.cluster, "no answer"));
                self.tell(reason);
                self.source().connected.store(false, Relaxed);
            }
            Trouble::Refused(reason) => self.tell(reason),
        }
    }

    /// Once, until all is well again.
    fn tell(&self, reason: String) {
        let status = self.source();
        let known = status.last_error.lock().unwrap_or_else(PoisonError::into_inner).replace(reason.clone());
        if known.is_none() {
            tracing::warn!(source = status.name, reason, "not everything is received, waiting for it");
        }
    }

    fn up(&self) {
        let status = self.source();
        if status.connected.load(Relaxed) {
            return;
        }
        if self.status.ready.swap(true, Relaxed) {
            status.reconnects_total.fetch_add(1, Relaxed);
        }
        status.up();
        tracing::info!(source = status.name, group = self.plan.group, "one of the group");
        self.status.recovering.store(false, Relaxed);
    }

    /// Messages of its partitions of which nothing is told yet. What ends a transaction takes an offset too, and is no
    /// message: once nothing is on its way, it counts as told.
    fn measure(&self, statistics: &Statistics) {
        let inner = self.inner();
        let mut lag = 0;
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values().filter(|p| p.desired && p.ls_offset >= 0) {
                let Some(told) = inner.told.get(&partition.partition) else { continue };
                let read = if partition.fetchq_cnt == 0 { partition.next_offset } else { 0 };
                let gap_only = partition.ls_offset - told <= 1 && read >= partition.ls_offset;
                lag += if gap_only { 0 } else { (partition.ls_offset - told).max(0).unsigned_abs() };
            }
        }
        self.source().kafka.set_lag(Some(lag));
    }
}

impl ClientContext for Watching {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let source = &self.source().name;
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(source, facility, "{text}")
            }
            _ => tracing::debug!(source, facility, "{text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.fault(&error, reason);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.tokens.fetch()
    }

    fn stats(&self, statistics: Statistics) {
        let answers = statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        let joined = statistics.cgrp.as_ref().is_some_and(|group| group.join_state == "steady");
        if answers && joined {
            self.measure(&statistics);
            self.up();
        }
    }
}

impl ConsumerContext for Watching {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let gives = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.leaving.load(Relaxed) {
            // The library waits for an answer, whatever it is.
            let nothing = TopicPartitionList::new();
            let done = if gives {
                consumer.incremental_assign(&nothing)
            } else {
                consumer.incremental_unassign(list)
            };
            if let Err(error) = done {
                tracing::debug!(%error, gives, "while leaving");
            }
            return;
        }
        let partitions = list.elements().iter().map(|element| element.partition()).collect();
        let balance = match gives {
            true => Balance::Given(partitions),
            false if consumer.assignment_lost() => Balance::Lost,
            false => Balance::Taken(partitions),
        };
        tracing::info!(source = self.source().name, ?balance, "the group was balanced");
        self.inner().balances.push_back(balance);
    }
}
