//! A message on its way to the shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::deal::Pending;
use super::owned::{Owned, read_by};
use super::watching::Watching;
use super::{Driver, End};
use crate::schemas::Way;
use crate::source::kafka::batch::message;
use crate::types::{Arrival, Message, PartitionId, Position};

/// What a message needs of a session.
pub(super) struct Taking<'s> {
    pub driver: &'s mut Driver,
    pub consumer: &'s BaseConsumer<Watching>,
    pub owned: &'s mut BTreeMap<i32, Owned>,
    pub pending: &'s mut Pending,
    pub source: &'s Arc<str>,
}

impl Taking<'_> {
    pub fn take(&mut self, received: &BorrowedMessage<'_>) -> Result<(), End> {
        let (partition, offset) = (received.partition(), received.offset());
        let Taking { driver, consumer, owned, pending, source } = self;
        let status = &driver.status.sources[0];
        // Taken away while it was on its way.
        let Some(owned) = owned.get_mut(&partition) else { return Ok(()) };
        if offset < owned.received() {
            status.kafka.redelivered_total.fetch_add(1, Relaxed);
            return Ok(());
        }
        owned.ended = None;
        // Not by the clock: whoever reads it again must find it arrived at the same time.
        let arrival = Arrival(received.timestamp().to_millis().unwrap_or(0).saturating_mul(1_000_000));
        let read = message(received, source, arrival);
        match (&read, offset < owned.replay_until) {
            (_, true) => drop(driver.status.recovered_messages_total.fetch_add(1, Relaxed)),
            (None, false) => drop(status.kafka.tombstones_total.fetch_add(1, Relaxed)),
            (Some(_), false) => {
                status.messages_total.fetch_add(1, Relaxed);
                status.last_arrival.store(arrival.0, Relaxed);
            }
        }
        // Asked for at once, wherever it stands.
        let way = way(driver, owned, (partition, offset), read.as_ref());
        if way != Way::Shut && owned.waiting.is_empty() {
            return hand_on(driver, owned, pending, (partition, offset), (read.as_ref(), way));
        }
        owned.waiting.push(offset, read);
        if owned.waiting.is_full() {
            let pause = |list: &TopicPartitionList| consumer.pause(list);
            change(&driver.kafka.topics[0], partition, pause);
        }
        Ok(())
    }

    /// Hands on what waited and may go by now.
    pub fn release(&mut self) -> Result<(), End> {
        let Taking { driver, consumer, owned, pending, .. } = self;
        driver.passage.take_in(0);
        let mut waiting = 0;
        for (partition, owned) in owned.iter_mut().filter(|(_, owned)| !owned.waiting.is_empty()) {
            while let Some((&offset, message)) = owned.waiting.first() {
                let way = way(driver, owned, (*partition, offset), message);
                if way == Way::Shut {
                    break;
                }
                let message = owned.waiting.pop().and_then(|(_, message)| message);
                hand_on(driver, owned, pending, (*partition, offset), (message.as_ref(), way))?;
            }
            if owned.waiting.is_empty() {
                let resume = |list: &TopicPartitionList| consumer.resume(list);
                change(&driver.kafka.topics[0], *partition, resume);
            } else {
                waiting += 1;
            }
        }
        driver.status.sources[0].kafka.partitions_waiting.store(waiting, Relaxed);
        Ok(())
    }
}

/// What was read by a schema is read by it again, and what was refused for want of one is refused again, whatever the
/// registry knows by now: the partition's records say which. Of a new message the registry is asked.
fn way(driver: &mut Driver, owned: &Owned, (_, offset): (i32, i64), message: Option<&Message>) -> Way {
    let Some(id) = message.and_then(|message| driver.passage.id(message)) else { return Way::Open };
    match owned.schemas.get(&id) {
        Some(from) if *from > offset => Way::Unknown,
        Some(_) => driver.passage.way(id, true),
        None if offset < owned.replay_until => Way::Unknown,
        None => driver.passage.way(id, false),
    }
}

fn hand_on(
    driver: &mut Driver,
    owned: &mut Owned,
    pending: &mut Pending,
    (partition, offset): (i32, i64),
    (message, way): (Option<&Message>, Way),
) -> Result<(), End> {
    let again = offset < owned.replay_until;
    (owned.next, owned.changed) = (offset + 1, true);
    while let Some((stream, control)) = owned.control_before(offset) {
        let from_ns = driver.clock.now_ns();
        driver.hand.send(from_ns)?;
        let of = (stream, PartitionId::of_kafka(partition));
        driver.hand.idle(of, control.offset, control.idle, true)?;
    }
    let Some(message) = message else { return Ok(()) };
    if let Some(id) = driver.passage.id(message).filter(|_| way == Way::Open)
        && !owned.schemas.contains_key(&id)
    {
        owned.schemas.insert(id, offset);
        pending.controls.push(read_by(partition, id, offset));
    }
    driver.hand.decoder.set_unread(way == Way::Unknown);
    driver.hand.decode(Position(offset.unsigned_abs()), message, again);
    Ok(())
}

/// Pauses or resumes; a partition that is being taken away refuses, and that is all right.
fn change(topic: &str, partition: i32, how: impl Fn(&TopicPartitionList) -> rdkafka::error::KafkaResult<()>) {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    if let Err(error) = how(&list) {
        tracing::debug!(partition, %error, "was not paused or resumed");
    }
}
