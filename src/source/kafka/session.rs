//! One client, from its making to its end: poll, gather, submit, and store offsets once the log has them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::client;
use super::group::Group;
use super::reasons::{LOG, not_made};
use super::taking::{Change, Taking, change, list};
use super::waiting::Waiting;
use crate::config::plan::KafkaPlan;
use crate::schemas::Passage;
use crate::source::Context;
use crate::stage::NotSafe;
use crate::types::{Arrival, Offsets};

/// Longest wait for a message, and so for noticing that the log has answered or that it is time to stop.
const POLL: Duration = Duration::from_millis(50);
/// The same while the log is at work.
const POLL_BUSY: Duration = Duration::from_millis(1);
/// For so long nothing is polled while there is no room.
const FULL_MAX: Duration = Duration::from_secs(5);

pub(super) struct Session {
    plan: KafkaPlan,
    source: Arc<str>,
    context: Context,
    pub logged: Offsets,
}

/// A submission the log has not answered.
struct Flight {
    /// `None` when there was nothing to log.
    answer: Option<oneshot::Receiver<Result<(), NotSafe>>>,
    messages: usize,
    next: Offsets,
}

struct Receiver {
    consumer: BaseConsumer<Group>,
    source: Arc<str>,
    gathered: Batch,
    waiting: Waiting,
    passage: Passage,
    flight: Option<Flight>,
    /// Since when there is no room.
    full: Option<Instant>,
    paused: bool,
    log: Handle,
}

impl Session {
    pub fn new(plan: KafkaPlan, source: Arc<str>, context: Context, logged: Offsets) -> Self {
        Session { plan, source, context, logged }
    }

    /// Tells what the log holds at the end, and why it ended: `Ok` after an orderly stop, else the reason with its
    /// remedy; then closes the client.
    pub fn run(self, log: Handle, ended_to: oneshot::Sender<(Offsets, Result<(), String>)>) {
        let Session { plan, source, context, logged } = self;
        let passage = Passage::through(context.door.clone());
        // Whatever waited is read again.
        passage.keep_only(std::iter::empty());
        let group = Group::new(plan.clone(), context, logged.clone());
        let made =
            BaseConsumer::from_config_and_context(&client::config(&plan), group).and_then(|consumer| {
                let topics: Vec<&str> = plan.topics.iter().map(String::as_str).collect();
                consumer.subscribe(&topics).map(|()| consumer)
            });
        let consumer = match made {
            Ok(consumer) => consumer,
            Err(error) => {
                let _ = ended_to.send((logged, Err(not_made(&error.to_string()))));
                return;
            }
        };
        let mut receiver = Receiver {
            consumer,
            source,
            gathered: Batch::default(),
            waiting: Waiting::default(),
            passage,
            flight: None,
            full: None,
            paused: false,
            log,
        };
        let ended = receiver.run();
        let logged = receiver.group().logged();
        let kafka = &receiver.group().context.source_status().kafka;
        kafka.partitions.store(0, Relaxed);
        kafka.partitions_waiting.store(0, Relaxed);
        // Nobody waits for it any more if that fails.
        let _ = ended_to.send((logged, ended));
        // The library commits what is stored when it goes.
        drop(receiver);
    }
}

impl Receiver {
    fn group(&self) -> &Group {
        self.consumer.context()
    }

    fn run(&mut self) -> Result<(), String> {
        while !self.group().context.shutdown.is_cancelled() {
            self.settle(false)?;
            self.release();
            self.submit()?;
            if self.gathered.has_room() {
                self.receive();
            } else {
                self.wait_for_room();
            }
            self.let_go();
            if let Some(reason) = self.group().over() {
                self.settle(true)?;
                return Err(reason);
            }
        }
        self.settle(true)
    }

    /// Sends on what waited for a schema. That is known from the next message of the log on: no message that was refused for
    /// want of it may lie behind, so that none is on its way then.
    fn release(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.flight.is_none() && self.passage.has_arrived() {
            self.passage.take_in(self.group().context.status.log_next.load(Relaxed));
        }
        let done = self.waiting.release(&mut self.passage, &mut self.gathered);
        if !done.is_empty() {
            let done = list(done.iter().map(|(topic, partition)| (&**topic, *partition)));
            change(&self.consumer, &done, |consumer, list| consumer.resume(list));
        }
        let waiting = self.waiting.partitions() as u64;
        self.group().context.source_status().kafka.partitions_waiting.store(waiting, Relaxed);
    }

    /// What waits of partitions that were taken away goes. Should they come back, it is read again.
    fn let_go(&mut self) {
        let taken = self.group().taken();
        for (topic, partition) in &taken {
            if let Some(first) = self.waiting.forget(topic, *partition) {
                self.group().read_again(topic, *partition, first);
            }
        }
        if !taken.is_empty() {
            self.passage.keep_only(self.waiting.messages());
        }
    }

    /// Waits for a message and takes what else is there.
    fn receive(&mut self) {
        self.full = None;
        if std::mem::take(&mut self.paused) {
            self.change_all(|consumer, all| consumer.resume(all));
            change(&self.consumer, &list(self.waiting.full()), |consumer, list| consumer.pause(list));
        }
        let mut wait = if self.flight.is_some() { POLL_BUSY } else { POLL };
        let busy = self.flight.is_some();
        let Receiver { consumer, source, gathered, waiting, passage, .. } = self;
        let group = consumer.context();
        let mut taking = Taking { consumer, source, gathered, waiting, passage };
        let mut arrival = None;
        while let Some(received) = consumer.poll(wait) {
            wait = Duration::ZERO;
            match received {
                Ok(message) => {
                    // One clock reading serves a burst.
                    let arrival =
                        *arrival.get_or_insert_with(|| Arrival(group.context.intake.clock.now_ns()));
                    taking.take(&message, arrival);
                }
                Err(error) => group.fault(&error, &error.to_string()),
            }
            if !taking.gathered.has_room() {
                break;
            }
        }
        group.busy.store(busy || !gathered.is_empty() || !waiting.is_empty(), Relaxed);
    }

    /// A member must poll to stay one; paused, it is given nothing.
    fn wait_for_room(&mut self) {
        let since = *self.full.get_or_insert_with(Instant::now);
        if !self.paused && since.elapsed() < FULL_MAX {
            std::thread::sleep(POLL_BUSY);
            return;
        }
        if !std::mem::replace(&mut self.paused, true) {
            tracing::warn!(
                source = &*self.source,
                "what was taken is not in the log yet: nothing more is taken until it is"
            );
        }
        // Each time: partitions may have come meanwhile.
        self.change_all(|consumer, all| consumer.pause(all));
        let Receiver { consumer, source, gathered, waiting, passage, .. } = self;
        let group = consumer.context();
        let mut taking = Taking { consumer, source, gathered, waiting, passage };
        match consumer.poll(POLL) {
            // It was on its way. There is room for that.
            Some(Ok(message)) => {
                let arrival = Arrival(group.context.intake.clock.now_ns());
                taking.take(&message, arrival);
            }
            Some(Err(error)) => group.fault(&error, &error.to_string()),
            None => {}
        }
    }

    fn change_all(&self, how: Change) {
        match self.consumer.assignment() {
            Ok(all) => change(&self.consumer, &all, how),
            Err(error) => tracing::debug!(source = &*self.source, %error, "what is assigned is not told"),
        }
    }

    /// Hands over what has gathered, unless the log is at work on what came before.
    fn submit(&mut self) -> Result<(), String> {
        if self.flight.is_some() || self.gathered.is_empty() {
            return Ok(());
        }
        let Batch { messages, next, .. } = std::mem::take(&mut self.gathered);
        let count = messages.len();
        let answer = if messages.is_empty() {
            None
        } else {
            let intake = self.group().context.intake.clone();
            Some(self.log.block_on(intake.submit(messages)).map_err(|NotSafe| LOG.to_owned())?)
        };
        self.flight = Some(Flight { answer, messages: count, next });
        Ok(())
    }

    /// Takes the log's answer, if it is there or `waits` for it.
    fn settle(&mut self, waits: bool) -> Result<(), String> {
        let Some(flight) = &mut self.flight else { return Ok(()) };
        let answer = match &mut flight.answer {
            None => Ok(()),
            Some(answer) if waits => self.log.block_on(answer).unwrap_or(Err(NotSafe)),
            Some(answer) => match answer.try_recv() {
                Ok(answer) => answer,
                Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
                Err(oneshot::error::TryRecvError::Closed) => Err(NotSafe),
            },
        };
        let Some(Flight { messages, next, .. }) = self.flight.take() else { return Ok(()) };
        answer.map_err(|NotSafe| LOG.to_owned())?;
        self.group().note_logged(&next);
        self.store(&next);
        self.group().context.source_status().acked_total.fetch_add(messages as u64, Relaxed);
        Ok(())
    }

    /// To be committed. A partition that was taken away meanwhile refuses, and that is all right.
    fn store(&self, next: &Offsets) {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in next {
            for (partition, next) in partitions {
                let _ = list.add_partition_offset(topic, *partition, Offset::Offset(*next));
            }
        }
        if let Err(error) = self.consumer.store_offsets(&list) {
            tracing::debug!(source = &*self.source, %error, "offsets were not stored");
        }
    }
}
