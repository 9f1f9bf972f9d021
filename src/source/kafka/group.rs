//! What the client library tells from inside a poll: partitions given and taken, errors, figures, its log.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::types::RDKafkaRespErr;

use super::place::{self, Found};
use super::reasons::{Trouble, none_given, trouble};
use crate::config::plan::{KafkaPlan, KafkaStart};
use crate::kafka::reasons::away;
use crate::kafka::token::Tokens;
use crate::kafka::words::plainly;
use crate::source::Context;
use crate::types::Offsets;
use crate::types::kafka::{advance, next_of, takes};

/// Shared by the session and the library's callbacks; both run on the session's thread.
pub(super) struct Group {
    pub plan: KafkaPlan,
    tokens: Tokens,
    pub context: Context,
    inner: Mutex<Inner>,
    /// Something is received and not logged.
    pub busy: AtomicBool,
}

#[derive(Default)]
struct Inner {
    /// Behind what was received, whether it is logged yet or not.
    received: Offsets,
    logged: Offsets,
    /// Partitions that are others' now, until the session has seen to it.
    taken: Vec<(Box<str>, i32)>,
    /// Where the partitions ended when the library last told.
    ends: Offsets,
    /// Why the last broker was not reached.
    away: Option<String>,
    /// Why this session must end.
    over: Option<String>,
    was_connected: bool,
}

impl Group {
    pub fn new(plan: KafkaPlan, context: Context, logged: Offsets) -> Self {
        let received = logged.clone();
        let inner = Mutex::new(Inner { received, logged, ..Inner::default() });
        Group { tokens: Tokens::of(&plan.cluster), plan, context, inner, busy: AtomicBool::new(false) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a message; `false` if it was received before.
    pub fn takes(&self, topic: &str, partition: i32, offset: i64) -> bool {
        takes(&mut self.inner().received, topic, partition, offset)
    }

    /// Goes back to a message that was received and dropped.
    pub fn read_again(&self, topic: &str, partition: i32, offset: i64) {
        advance(&mut self.inner().received, topic, partition, offset);
    }

    /// Partitions that were taken away since it was last asked, and have not come back.
    pub fn taken(&self) -> Vec<(Box<str>, i32)> {
        std::mem::take(&mut self.inner().taken)
    }

    pub fn note_logged(&self, next: &Offsets) {
        let logged = &mut self.inner().logged;
        for (topic, partitions) in next {
            partitions.iter().for_each(|(partition, next)| advance(logged, topic, *partition, *next));
        }
    }

    pub fn logged(&self) -> Offsets {
        self.inner().logged.clone()
    }

    /// Why the session must end, if it must.
    pub fn over(&self) -> Option<String> {
        self.inner().over.take()
    }

    /// Takes note of an error; `reason` is in the library's words.
    pub fn fault(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let status = self.context.source_status();
        tracing::debug!(source = status.name, %error, reason, "Kafka");
        match trouble(&self.plan, code, reason) {
            Trouble::Passing => {}
            Trouble::Begin(reason) => self.inner().over = Some(reason),
            Trouble::Broker(reason) => {
                self.inner().away = Some(reason.clone());
                // Not a word of it while others answer.
                if !status.connected.load(Relaxed) {
                    self.tell(reason, false);
                }
            }
            Trouble::AllBrokers => {
                let reason =
                    self.inner().away.clone().unwrap_or_else(|| away(&self.plan.cluster, "no answer"));
                self.tell(reason, true);
            }
            Trouble::Refused(reason) => {
                let works = status.kafka.partitions.load(Relaxed) > 0;
                self.tell(reason, !works);
            }
        }
    }

    /// Once, until there is another reason.
    fn tell(&self, reason: String, is_down: bool) {
        let status = self.context.source_status();
        if is_down {
            status.connected.store(false, Relaxed);
            status.kafka.behind.store(true, Relaxed);
        }
        let known = status.last_error.lock().unwrap_or_else(PoisonError::into_inner).replace(reason.clone());
        if known.as_ref() != Some(&reason) {
            tracing::warn!(source = status.name, reason, "not everything is received, waiting for it");
        }
    }

    fn up(&self) {
        let status = self.context.source_status();
        if status.connected.load(Relaxed) {
            return;
        }
        let mut inner = self.inner();
        inner.away = None;
        if std::mem::replace(&mut inner.was_connected, true) {
            status.reconnects_total.fetch_add(1, Relaxed);
        }
        status.up();
        tracing::info!(source = status.name, brokers = self.plan.cluster.brokers.join(","), "receiving");
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let received = self.inner().received.clone();
        let elements = list.elements();
        let is_back = |topic: &str, p: i32| elements.iter().any(|e| e.topic() == topic && e.partition() == p);
        self.inner().taken.retain(|(topic, partition)| !is_back(topic, *partition));
        let unknown = place::not_in(&received, elements.iter().map(|e| (e.topic(), e.partition())));
        let mut places = place::unknown(consumer, self.plan.start, &received, &unknown)?;
        let begun = places.clone();
        let mut asks = true;
        for element in &elements {
            let (topic, partition) = (element.topic(), element.partition());
            let Some(next) = next_of(&received, topic, partition) else { continue };
            let (offset, found) = place::known(consumer, (topic, partition, next), &mut asks);
            self.tell_found(topic, partition, next, found);
            if found != Found::There {
                self.inner().received.get_mut(topic).and_then(|partitions| partitions.remove(&partition));
            }
            places.add_partition_offset(topic, partition, offset)?;
        }
        consumer.incremental_assign(&places)?;
        if self.plan.start == KafkaStart::Latest {
            // So that the next start does not take a later end for the place to begin.
            consumer.store_offsets(&begun)?;
        }
        Ok(())
    }

    fn tell_found(&self, topic: &str, partition: i32, next: i64, found: Found) {
        let status = self.context.source_status();
        match found {
            Found::There => {}
            Found::Lost(lost) => {
                status.kafka.lost_total.fetch_add(lost.unsigned_abs(), Relaxed);
                tracing::error!(
                    source = status.name,
                    topic,
                    partition,
                    lost,
                    "the broker has deleted messages before they were read; raise the topic's retention.ms or \
                     retention.bytes, or leave eddy off for a shorter time"
                );
            }
            Found::Anew => tracing::warn!(
                source = status.name,
                topic,
                partition,
                logged = next,
                "the partition ends before what the log has of it: it was made anew, and is read from its beginning"
            ),
        }
    }

    /// Messages behind what is logged, and whether what was there a moment ago is.
    fn measure(&self, statistics: &Statistics) {
        let (mut lag, mut ends) = (0, Offsets::new());
        let settled = !self.busy.load(Relaxed);
        let mut inner = self.inner();
        let mut behind = false;
        for (topic, of_topic) in &statistics.topics {
            for partition in of_topic.partitions.values().filter(|p| p.desired && p.ls_offset >= 0) {
                let at = reached(&inner.logged, topic, partition, settled);
                lag += (partition.ls_offset - at).max(0).unsigned_abs();
                advance(&mut ends, topic, partition.partition, partition.ls_offset);
                behind |= next_of(&inner.ends, topic, partition.partition).is_none_or(|before| at < before);
            }
        }
        inner.ends = ends;
        drop(inner);
        let kafka = &self.context.source_status().kafka;
        kafka.set_lag(Some(lag));
        kafka.behind.store(behind, Relaxed);
    }
}

/// How far a partition is read. What ends a transaction takes an offset too, and is no message: once nothing is on its
/// way, it counts as read.
fn reached(logged: &Offsets, topic: &str, partition: &Partition, settled: bool) -> i64 {
    let logged = next_of(logged, topic, partition.partition);
    let read = (settled && partition.fetchq_cnt == 0).then_some(partition.next_offset);
    // Below zero stand names for places that are not known yet.
    logged.max(read).filter(|next| *next >= 0).unwrap_or(partition.lo_offset.max(0))
}

impl ClientContext for Group {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    /// Whatever keeps messages away is told by the source itself; the library says it at every attempt.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        let source = &*self.context.source_status().name;
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
        let status = self.context.source_status();
        if answers && status.kafka.partitions.load(Relaxed) > 0 {
            self.measure(&statistics);
            self.up();
        }
        let has_none = statistics.cgrp.is_some_and(|g| g.join_state == "steady" && g.assignment_size == 0);
        if answers && has_none && status.last_error.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.tell(none_given(&self.plan), true);
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let status = self.context.source_status();
        let gives = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        tracing::info!(source = status.name, partitions = list.count(), gives, "the group was balanced");
        let done = if gives {
            self.assigned(consumer, list)
        } else {
            let taken = list.elements();
            self.inner().taken.extend(taken.iter().map(|e| (e.topic().into(), e.partition())));
            consumer.incremental_unassign(list)
        };
        if let Err(error) = done {
            self.inner().over = Some(away(&self.plan.cluster, &plainly(&error)));
        }
        let partitions = consumer.assignment().map_or(0, |list| list.count());
        status.kafka.partitions.store(partitions as u64, Relaxed);
        if gives && partitions > 0 {
            self.up();
        }
    }
}
