//! What the group takes away from the delivery: noted inside a poll, seen to between polls.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::quiet::Quiet;
use crate::pipeline::group::clients::Deliverer;

#[derive(Default)]
pub struct Noted {
    /// What is taken now may go.
    leaving: AtomicBool,
    taken: Mutex<Vec<i32>>,
}

impl Noted {
    fn list(&self) -> MutexGuard<'_, Vec<i32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partitions that the group waits for.
    pub fn taken(&self) -> Vec<i32> {
        std::mem::take(&mut self.list())
    }

    pub fn is_taken(&self) -> bool {
        !self.list().is_empty()
    }
}

/// Before a client is closed: the library waits for an answer to what it takes away.
pub fn leave(consumer: &Deliverer, topic: &str) {
    let noted = &consumer.context().kept;
    noted.leaving.store(true, Relaxed);
    let mut list = TopicPartitionList::new();
    for partition in noted.taken() {
        list.add_partition(topic, partition);
    }
    if list.count() > 0
        && let Err(error) = consumer.incremental_unassign(&list)
    {
        tracing::debug!(%error, "while leaving");
    }
}

impl ConsumerContext for Quiet<Noted> {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let gives = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let done = match gives {
            true => consumer.incremental_assign(list),
            // Others may have it already.
            false if self.kept.leaving.load(Relaxed) || consumer.assignment_lost() => {
                consumer.incremental_unassign(list)
            }
            false => {
                let partitions = list.elements().into_iter().map(|element| element.partition());
                self.kept.list().extend(partitions);
                Ok(())
            }
        };
        if let Err(error) = done {
            tracing::debug!(%error, gives, "while partitions of alerts change hands");
        }
    }
}
