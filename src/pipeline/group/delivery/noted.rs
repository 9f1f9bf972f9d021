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
            // One that went while nothing was fetched would come back as it went: the library keeps that.
            true => consumer.incremental_assign(list).and_then(|()| consumer.resume(list)),
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::config::FromClientConfigAndContext as _;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use rdkafka::{ClientConfig, Message as _, Offset};

    use super::*;
    use crate::config::plan::ClusterPlan;

    const GIVES: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;

    fn next(consumer: &Deliverer) -> Option<i64> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
                return Some(message.offset());
            }
        }
        None
    }

    #[test]
    fn a_partition_that_went_while_nothing_was_fetched_is_fetched_when_it_comes_back() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("alerts", 1, 1).expect("a topic");
        let brokers = cluster.bootstrap_servers();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &brokers).set("group.id", "eddy-delivery");
        let producer: BaseProducer = config.create().expect("a producer");
        for _ in 0..2 {
            producer.send(BaseRecord::<(), _>::to("alerts").payload("{}")).expect("room");
        }
        producer.flush(Duration::from_secs(30)).expect("both are there");
        let plan = ClusterPlan { brokers: vec![brokers], tls: None, sasl: None };
        let consumer = Deliverer::from_config_and_context(&config, Quiet::of(&plan)).expect("a client");
        let given = |offset: i64| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset("alerts", 0, Offset::Offset(offset)).expect("an offset");
            list
        };
        consumer.context().rebalance(&consumer, GIVES, &mut given(0));
        assert_eq!(next(&consumer), Some(0));
        consumer.pause(&given(0)).expect("it is paused");
        consumer.incremental_unassign(&given(0)).expect("it goes");
        consumer.context().rebalance(&consumer, GIVES, &mut given(1));
        assert_eq!(next(&consumer), Some(1));
    }
}
