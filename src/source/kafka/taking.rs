//! A message on its way to what is logged next, or to where its partition waits.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::batch::{Batch, message};
use super::group::Group;
use super::waiting::Waiting;
use crate::schemas::{Passage, Way};
use crate::types::Arrival;

/// To pause or to resume.
pub(super) type Change = fn(&BaseConsumer<Group>, &TopicPartitionList) -> KafkaResult<()>;

/// A partition that was taken away meanwhile refuses, and that is all right.
pub(super) fn change(consumer: &BaseConsumer<Group>, list: &TopicPartitionList, how: Change) {
    if let Err(error) = how(consumer, list) {
        tracing::debug!(%error, "partitions were not paused or resumed");
    }
}

pub(super) fn list<'p>(partitions: impl Iterator<Item = (&'p str, i32)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, partition);
    }
    list
}

/// What a message needs of a receiver.
pub(super) struct Taking<'r> {
    pub consumer: &'r BaseConsumer<Group>,
    pub source: &'r Arc<str>,
    pub gathered: &'r mut Batch,
    pub waiting: &'r mut Waiting,
    pub passage: &'r mut Passage,
}

impl Taking<'_> {
    pub fn take(&mut self, received: &BorrowedMessage<'_>, arrival: Arrival) {
        let group = self.consumer.context();
        let status = group.context.source_status();
        let (topic, partition, offset) = (received.topic(), received.partition(), received.offset());
        if !group.takes(topic, partition, offset) {
            status.kafka.redelivered_total.fetch_add(1, Relaxed);
            return;
        }
        if group.context.own_topics.iter().any(|own| *own == topic) {
            return self.gathered.add((topic, partition, offset), None);
        }
        let message = message(received, self.source, arrival);
        if message.is_some() {
            status.messages_total.fetch_add(1, Relaxed);
            status.last_arrival.store(arrival.0, Relaxed);
        } else {
            status.kafka.tombstones_total.fetch_add(1, Relaxed);
        }
        // Asked for at once, wherever it stands.
        let way = self.passage.way_of(message.as_ref());
        if way != Way::Shut && !self.waiting.holds(partition) {
            return self.gathered.add((topic, partition, offset), message);
        }
        if self.waiting.push((topic, partition, offset), message) {
            let paused = list([(topic, partition)].into_iter());
            change(self.consumer, &paused, |consumer, list| consumer.pause(list));
        }
    }
}
