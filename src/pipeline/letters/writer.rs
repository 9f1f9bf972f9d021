//! The topics of a deployment that has its own log: a letter is written again until the brokers have it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Letter, fill, is_hopeless, source_of};
use crate::config::plan::{KafkaPlan, Plan};
use crate::kafka::client::connection;
use crate::kafka::quiet::{Quiet, asking};
use crate::kafka::words::plainly;
use crate::source::kafka::topics::found_or_made;

/// One look at what the brokers have taken.
const STEP: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(500);
/// A client that has just been made takes a while to be known.
const AWAY: Duration = Duration::from_secs(10);
const FULL: Duration = Duration::from_millis(20);
/// After a stop brokers are waited for so long. What they have not got then is read back from the log, and told again.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the brokers did not take.
type Returns = Mutex<Vec<(Box<Letter>, KafkaError)>>;

fn returned(producer: &BaseProducer<Quiet<Returns>>) -> Vec<(Box<Letter>, KafkaError)> {
    std::mem::take(&mut producer.context().kept.lock().unwrap_or_else(PoisonError::into_inner))
}

impl ProducerContext<NoCustomPartitioner> for Quiet<Returns> {
    type DeliveryOpaque = Box<Letter>;

    fn delivery(&self, result: &DeliveryResult<'_>, letter: Box<Letter>) {
        if let Err((error, _)) = result {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push((letter, error.clone()));
        }
    }
}

pub struct Writer {
    plan: Arc<Plan>,
    /// By the source's member, once something of it was written.
    open: Vec<(String, BaseProducer<Quiet<Returns>>)>,
    stop: CancellationToken,
    runtime: Handle,
    /// Since when, after a stop.
    failing: Option<Instant>,
    given_up: bool,
    /// What a broker will never take, however often it is asked.
    refused: Vec<Letter>,
}

impl Writer {
    /// From inside of a runtime.
    pub fn new(plan: Arc<Plan>, stop: CancellationToken) -> Self {
        let runtime = Handle::current();
        Writer { plan, open: Vec::new(), stop, runtime, failing: None, given_up: false, refused: Vec::new() }
    }

    /// On its way. What can be kept of it in memory is bounded: if the brokers are away, this waits for them.
    pub fn send(&mut self, letter: Box<Letter>) {
        let (plan, mut told) = (self.plan.clone(), false);
        let mut waiting = VecDeque::from([letter]);
        while let Some(letter) = waiting.pop_front().filter(|_| !self.given_up) {
            let Some((kafka, topic)) = source_of(&plan, &letter.message) else { continue };
            let unsent = match self.producer(kafka, topic) {
                Ok(producer) => hand_over(producer, letter, (&plan, kafka), topic),
                Err(reason) => Err((letter, Some(reason))),
            };
            let Err((back, reason)) = unsent else { continue };
            waiting.push_front(back);
            if let Some(reason) = reason {
                tell(topic, &reason, &mut told);
                waiting.extend(self.take_back(&kafka.member));
                std::thread::sleep(RETRY);
            }
            self.look_for_a_stop();
        }
    }

    /// What a producer that takes no more still holds. Once it holds nothing another takes its place: one that was refused
    /// for good, as without the right to write, stays so though the right is given.
    fn take_back(&mut self, member: &str) -> VecDeque<Box<Letter>> {
        let Some(at) = self.open.iter().position(|(open, _)| open == member) else { return VecDeque::new() };
        let producer = &self.open[at].1;
        let _ = producer.flush(STEP);
        let returned = returned(producer);
        if producer.in_flight_count() == 0 {
            self.open.swap_remove(at);
        }
        returned.into_iter().filter_map(|(letter, error)| self.may_be_taken(letter, &error)).collect()
    }

    /// Puts aside what no broker will ever take.
    fn may_be_taken(&mut self, letter: Box<Letter>, error: &KafkaError) -> Option<Box<Letter>> {
        if error.rdkafka_error_code().is_some_and(is_hopeless) {
            self.refused.push(*letter);
            return None;
        }
        Some(letter)
    }

    /// What the brokers refused for good since it was last asked.
    pub fn refused(&mut self) -> Vec<Letter> {
        std::mem::take(&mut self.refused)
    }

    /// Waits until the brokers have all; `false` if it was given up, at a stop.
    pub fn flush(&mut self) -> bool {
        let (mut told, began) = (false, Instant::now());
        while !self.given_up {
            let (mut away, mut returned) = (false, Vec::new());
            for (member, producer) in &self.open {
                away |= producer.flush(STEP).is_err();
                let failed = self::returned(producer);
                if let Some((_, error)) = failed.first() {
                    tell(member, &plainly(error), &mut told);
                } else if away && began.elapsed() > AWAY {
                    tell(member, "the brokers do not answer", &mut told);
                }
                returned.extend(failed);
            }
            if returned.is_empty() && !away {
                return true;
            }
            if !returned.is_empty() {
                // The topic may have gone.
                self.open.retain(|(_, producer)| producer.in_flight_count() > 0);
                std::thread::sleep(RETRY);
            }
            self.look_for_a_stop();
            let again: Vec<_> = returned
                .into_iter()
                .filter_map(|(letter, error)| self.may_be_taken(letter, &error))
                .collect();
            again.into_iter().for_each(|letter| self.send(letter));
        }
        false
    }

    fn producer(&mut self, kafka: &KafkaPlan, topic: &str) -> Result<&BaseProducer<Quiet<Returns>>, String> {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == kafka.member) {
            return Ok(&self.open[at].1);
        }
        let failed = |error: KafkaError| plainly(&error);
        let reader = asking(&kafka.cluster, &kafka.member).map_err(failed)?;
        found_or_made(&self.runtime, &reader, &kafka.cluster, (topic, 1), &[])?;
        let mut config = connection(&kafka.cluster);
        config.set("client.id", &kafka.member);
        config.set("enable.idempotence", "true");
        config.set("message.timeout.ms", "0");
        config.set("queue.buffering.max.kbytes", "32768");
        config.set("compression.type", "lz4");
        config.set("partitioner", "murmur2_random");
        let producer =
            BaseProducer::from_config_and_context(&config, Quiet::of(&kafka.cluster)).map_err(failed)?;
        self.open.push((kafka.member.clone(), producer));
        Ok(&self.open[self.open.len() - 1].1)
    }

    /// After an attempt that failed.
    fn look_for_a_stop(&mut self) {
        if self.stop.is_cancelled() {
            let failing = *self.failing.get_or_insert_with(Instant::now);
            self.given_up |= failing.elapsed() > STOP_MAX;
        }
    }
}

fn hand_over(
    producer: &BaseProducer<Quiet<Returns>>,
    letter: Box<Letter>,
    of: (&Plan, &KafkaPlan),
    topic: &str,
) -> Result<(), (Box<Letter>, Option<String>)> {
    // The bytes stay where they are: the record holds them while the letter itself goes along.
    let Letter { position, message, rows } = &*letter;
    let record = Letter { position: *position, message: message.clone(), rows: rows.clone() };
    let opaque = BaseRecord::with_opaque_to(topic, letter);
    let sent = producer.send(fill(opaque, &record, of, None));
    match sent {
        Ok(()) => Ok(()),
        Err((error, back)) => {
            let full = error == KafkaError::MessageProduction(Code::QueueFull);
            if full {
                producer.poll(FULL);
            }
            Err((back.delivery_opaque, (!full).then(|| plainly(&error))))
        }
    }
}

/// Once, while it lasts.
fn tell(of: &str, reason: &str, told: &mut bool) {
    if !std::mem::replace(told, true) {
        tracing::error!(
            of,
            reason,
            "dead letters are not written, trying again; nothing is dropped. Let the brokers answer, the topic be there, and \
             this user be allowed to Write to it (kafka-acls)"
        );
    }
}
