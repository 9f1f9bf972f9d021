//! One membership, from its beginning to its end: messages to the shards, and a transaction every tenth of a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;

use super::clients::{self, Producer, Reader};
use super::deal::{Deal, Failure, Pending, Told, partitions_of};
use super::hand::Gone;
use super::manifest::Terms;
use super::owned::Owned;
use super::taking::Taking;
use super::watching::{Balance, Watching};
use super::{Driver, End, topics};
use crate::kafka::words::plainly;
use crate::latency::ReceiptBuilder;
use crate::pipeline::logging::Logged;
use crate::pipeline::shard::Work;
use crate::source::kafka::topics::ASK_MAX;
use crate::types::{Alert, PartitionId};

/// How long something that was judged waits to be told, and a transaction gathers.
const TICK: Duration = Duration::from_millis(100);
/// Of a transaction.
const MESSAGES_MAX: usize = 32_768;
/// Handed on at once: shards work on some while the next ones are decoded.
const BATCH_MAX: usize = 2048;
const POLL: Duration = Duration::from_millis(20);

pub(super) struct Session<'a> {
    pub driver: &'a mut Driver,
    pub consumer: BaseConsumer<Watching>,
    pub reader: Reader,
    pub producer: Producer,
    pub owned: BTreeMap<i32, Owned>,
    pub pending: Pending,
    /// By stream.
    pub terms: Vec<Terms>,
    ticked: Instant,
    gathered: usize,
    source: Arc<str>,
    pub idle_looked: Instant,
}

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        End::Stopped
    }
}

impl<'a> Session<'a> {
    pub fn begin(driver: &'a mut Driver) -> Result<Self, End> {
        let (plan, member) = (driver.kafka.clone(), driver.member.clone());
        let failed = |error: KafkaError| End::Again(format!("the group is not joined: {}", plainly(&error)));
        let reader = clients::reader(&plan, &member).map_err(failed)?;
        let partitions = topics::prepare(&driver.runtime, &reader, &plan, &driver.shared)?;
        let producer = clients::producer(&plan, &member).map_err(failed)?;
        // Whatever this member had under way comes to an end here.
        producer.init_transactions(ASK_MAX).map_err(failed)?;
        driver.hand.share_among(partitions)?;
        // Whatever waited is read again.
        driver.passage.keep_only(std::iter::empty());
        let watching = Watching::new(plan.clone(), driver.status.clone());
        let consumer = clients::member(&plan, &member, watching).map_err(failed)?;
        consumer.subscribe(&[&plan.topics[0]]).map_err(failed)?;
        let terms = driver.terms(partitions);
        let source = driver.plan.sources[0].name.as_str().into();
        let now = Instant::now();
        Ok(Session {
            driver,
            consumer,
            reader,
            producer,
            owned: BTreeMap::new(),
            pending: Pending::default(),
            terms,
            ticked: now,
            gathered: 0,
            source,
            idle_looked: now,
        })
    }

    /// Closes its clients.
    pub fn end(self) {
        let Session { consumer, reader, producer, .. } = self;
        consumer.context().leaving.store(true, Relaxed);
        // Partitions that were given and not taken are waited for by the library otherwise.
        let _ = consumer.incremental_assign(&TopicPartitionList::new());
        clients::close((consumer, reader, producer));
    }

    /// Until told to stop, or something cannot be mended.
    pub fn run(&mut self) -> Result<(), End> {
        while !self.driver.stop.is_cancelled() {
            self.receive()?;
            while let Some(balance) = self.consumer.context().next_balance() {
                self.balance(balance)?;
            }
            self.beat()?;
            self.idle()?;
            self.save_one()?;
            // Its tokens are renewed in polls; it has nothing else to tell.
            drop(self.reader.poll(Duration::ZERO));
            if self.gathered >= MESSAGES_MAX || self.ticked.elapsed() >= TICK {
                self.commit()?;
            }
            if let Some(reason) = self.consumer.context().over() {
                return Err(End::Again(reason));
            }
        }
        self.leave()
    }

    /// Waits for a message and takes what else is there.
    fn receive(&mut self) -> Result<(), End> {
        let (began, from_ns) = (Instant::now(), self.driver.clock.now_ns());
        let mut wait = POLL.min(TICK.saturating_sub(self.ticked.elapsed()));
        let mut eof = Vec::new();
        {
            // Taken out so that messages may lie in the consumer while the rest is changed.
            let Session { driver, consumer, owned, pending, gathered, source, .. } = self;
            let mut taking = Taking { driver, consumer, owned, pending, source };
            taking.release()?;
            let mut batch = 0;
            while batch < BATCH_MAX {
                match consumer.poll(wait) {
                    Some(Ok(message)) => {
                        taking.take(&message)?;
                        batch += 1;
                    }
                    Some(Err(KafkaError::PartitionEOF(partition))) => eof.push(partition),
                    Some(Err(error)) => consumer.context().fault(&error, &error.to_string()),
                    None => break,
                }
                wait = Duration::ZERO;
                // Also behind a transaction that took longer than that: there is more to go with the next one.
                if !consumer.context().is_balanced() || began.elapsed() >= TICK {
                    break;
                }
            }
            *gathered += batch;
        }
        self.driver.hand.send(from_ns)?;
        let now = Instant::now();
        for partition in eof {
            if let Some(owned) = self.owned.get_mut(&partition) {
                owned.ended = Some(now);
            }
        }
        self.settle(now)
    }

    /// What is left to be replayed where a partition has come to its end.
    fn settle(&mut self, now: Instant) -> Result<(), End> {
        for (partition, owned) in &mut self.owned {
            owned.settle(now);
            while let Some((stream, control)) = owned.control_before(owned.next) {
                let of = (stream, PartitionId::of_kafka(*partition));
                self.driver.hand.idle(of, control.offset, control.idle, true)?;
            }
        }
        Ok(())
    }

    fn balance(&mut self, balance: Balance) -> Result<(), End> {
        match balance {
            Balance::Given(partitions) => self.give(&partitions)?,
            Balance::Taken(partitions) => self.take_away(&partitions)?,
            Balance::Lost => {
                return Err(End::Again("the group has given this member up: it was not heard of".to_owned()));
            }
        }
        let kafka = &self.driver.status.sources[0].kafka;
        kafka.partitions.store(self.owned.len() as u64, Relaxed);
        Ok(())
    }

    /// In order: what is known of them is saved first, so that the next owner has little to read again.
    fn take_away(&mut self, partitions: &[i32]) -> Result<(), End> {
        for partition in partitions {
            self.save(*partition)?;
        }
        self.commit_all()?;
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            self.owned.remove(partition);
            self.driver.hand.forget(PartitionId::of_kafka(*partition))?;
            list.add_partition(&self.driver.kafka.topics[0], *partition);
        }
        let waiting = self.owned.values().flat_map(|owned| owned.waiting.messages());
        self.driver.passage.keep_only(waiting);
        let given = self.consumer.incremental_unassign(&list);
        given.map_err(|error| End::Again(format!("partitions were not given back: {}", plainly(&error))))
    }

    /// Saves what has changed, tells what is judged, and goes.
    fn leave(&mut self) -> Result<(), End> {
        let all: Vec<i32> = self.owned.keys().copied().collect();
        for partition in all {
            self.save(partition)?;
        }
        self.commit_all()
    }

    fn commit_all(&mut self) -> Result<(), End> {
        self.commit()?;
        while !self.pending.is_empty() {
            if self.pending.fails.is_some() {
                // The group may be about to agree on who is one of it.
                std::thread::sleep(TICK);
            }
            self.commit()?;
        }
        Ok(())
    }

    /// Once all that was handed on is judged.
    fn commit(&mut self) -> Result<(), End> {
        (self.ticked, self.gathered) = (Instant::now(), 0);
        let alerts = self.driver.hand.barrier()?;
        self.pending.letters.extend(self.driver.hand.letters());
        let now_ns = self.driver.clock.now_ns();
        let traced = self.driver.plan.telemetry.is_some();
        let told = alerts.into_iter().filter_map(|alert| Told::of(&with_receipt(alert, now_ns), traced));
        self.pending.alerts.extend(told);
        let touched = partitions_of(&self.pending);
        let told = |owned: &Owned| if owned.is_replaying() { owned.committed } else { owned.next };
        let ahead = |(id, owned): &(&i32, &Owned)| told(owned) > owned.committed || touched.contains(id);
        let offsets: BTreeMap<i32, i64> =
            self.owned.iter().filter(ahead).map(|(id, owned)| (*id, told(owned))).collect();
        if offsets.is_empty() && self.pending.is_empty() {
            return Ok(());
        }
        loop {
            let deal = Deal {
                producer: &self.producer,
                consumer: &self.consumer,
                plan: &self.driver.plan,
                kafka: &self.driver.kafka,
                shared: &self.driver.shared,
                member: &self.driver.member,
                stop: &self.driver.stop,
            };
            let failure = match deal.make(&mut self.pending, &offsets) {
                Ok(()) => {
                    self.committed(&offsets);
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let refusals = self.producer.context().take();
            if let Failure::Aborted(_, code) = failure
                && self.set_aside(&refusals, code)?
            {
                // At once: among letters that come meanwhile there may be others like them.
                self.pending.fails = None;
                continue;
            }
            return self.failed(failure, &refusals);
        }
    }

    fn committed(&mut self, offsets: &BTreeMap<i32, i64>) {
        let mut messages = 0;
        for (partition, next) in offsets {
            if let Some(owned) = self.owned.get_mut(partition) {
                messages += (next - owned.committed).max(0).unsigned_abs();
                owned.committed = *next;
            }
        }
        self.driver.status.sources[0].acked_total.fetch_add(messages, Relaxed);
        self.consumer.context().told(self.owned.iter().map(|(id, owned)| (*id, owned.committed)).collect());
    }

    fn beat(&mut self) -> Result<(), End> {
        while let Ok(logged) = self.driver.beats.try_recv() {
            if let Logged::Beat(answer) = logged {
                self.driver.hand.each(|| Work::Beat(answer.clone()))?;
            }
        }
        Ok(())
    }
}

/// Its last stretch: it waited for the transaction.
fn with_receipt(mut alert: Alert, now_ns: i64) -> Alert {
    let receipt = std::mem::take(&mut alert.receipt);
    alert.receipt = ReceiptBuilder::extend(receipt).until("queue_outbox", now_ns).finish();
    alert
}
