//! Calls of the client library that may not come back in time, whatever they are told.
//!
//! `rd_kafka_send_offsets_to_transaction` waits for a group's coordinator that has gone for as long as it is away, past its
//! own time limit (<https://github.com/confluentinc/librdkafka/issues/5456>), and a commit that is waited for has none. Neither a
//! stop nor the next session may wait with them.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is looked whether it is still worth while to wait.
const LOOK: Duration = Duration::from_millis(50);

/// What `call` gives; `None` if it takes longer than `patience`, which is asked again and again. It goes on by itself then, and
/// what it is at must be of no use any more.
pub fn within<T: Send + 'static>(
    patience: impl Fn() -> Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let began = Instant::now();
    let (given_to, given) = channel();
    let answers = move || drop(given_to.send(call()));
    thread::Builder::new().name("eddy-offsets".to_owned()).spawn(answers).ok()?;
    loop {
        match given.recv_timeout(LOOK) {
            Ok(answer) => return Some(answer),
            Err(RecvTimeoutError::Timeout) if began.elapsed() < patience() => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::producer::{DefaultProducerContext, Producer as _, ThreadedProducer};
    use rdkafka::{Offset, TopicPartitionList};

    use super::*;

    const GROUP: &str = "eddy-plant";
    const MEMBER: &str = "eddy-plant-a";

    #[test]
    fn a_coordinator_that_has_gone_holds_nobody_up() {
        let cluster = MockCluster::new(2).expect("a cluster");
        cluster.create_topic("pumps", 1, 1).expect("a topic");
        cluster.coordinator(MockCoordinator::Transaction(MEMBER.to_owned()), 1).expect("a coordinator");
        cluster.coordinator(MockCoordinator::Group(GROUP.to_owned()), 2).expect("a coordinator");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", GROUP);
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers()).set("transactional.id", MEMBER);
        let producer: ThreadedProducer<DefaultProducerContext> = config.create().expect("a producer");
        producer.init_transactions(Duration::from_secs(30)).expect("a producer's id");
        let sent = |limit: Duration, patience: Duration| {
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset("pumps", 0, Offset::Offset(1)).expect("an offset");
            let (producer, group) = (producer.clone(), consumer.group_metadata().expect("a group"));
            within(move || patience, move || producer.send_offsets_to_transaction(&offsets, &group, limit))
        };
        producer.begin_transaction().expect("a transaction");
        assert!(matches!(sent(Duration::from_secs(30), Duration::from_secs(60)), Some(Ok(()))));
        producer.commit_transaction(Duration::from_secs(30)).expect("a commit");

        producer.begin_transaction().expect("a transaction");
        cluster.broker_down(2).expect("a broker that goes");
        let (limit, patience) = (Duration::from_millis(500), Duration::from_secs(4));
        // Were it to come back by itself, this module would be of no use any more.
        assert!(sent(limit, patience).is_none(), "it waits past its limit");
    }

    #[test]
    fn on_a_stop_it_is_waited_for_no_longer() {
        let stops = Arc::new(AtomicBool::new(false));
        let (stop, patience) = (stops.clone(), Duration::from_secs(3600));
        let (_held, holds) = channel::<()>();
        let stopper = thread::spawn(move || {
            thread::sleep(LOOK * 3);
            stop.store(true, Relaxed);
        });
        let given = within(
            || if stops.load(Relaxed) { Duration::ZERO } else { patience },
            move || holds.recv().is_ok(),
        );
        assert_eq!(given, None);
        stopper.join().expect("it stops");
        assert_eq!(within(|| patience, || 7), Some(7));
    }
}
