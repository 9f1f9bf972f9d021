//! The clients of a session, and what they are set to.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;
use rdkafka::producer::ThreadedProducer;

use super::delivery::noted::Noted;
use super::refusals::Refusals;
use super::watching::Watching;
use crate::config::plan::KafkaPlan;
use crate::kafka::client::connection;
use crate::kafka::quiet::Quiet;
use crate::kafka::token::with_token;
use crate::source::kafka::client::receiving;

const CLOSE_MAX: Duration = Duration::from_secs(3);

/// A member that is not heard of for so long is given up by the group: so soon its partitions go on elsewhere.
const SESSION_MS: &str = "10000";
/// Of a commit, which is waited for. A coordinator that does not answer for so long has given the member up as well.
const COMMIT_MS: &str = "10000";
/// For so long a dead member's transaction holds its partitions up.
const TRANSACTION_MS: &str = "10000";

/// With a thread that polls it: to take a transaction back waits for what was under way.
pub type Producer = ThreadedProducer<Refusals>;
pub type Reader = BaseConsumer<Quiet>;
pub type Deliverer = BaseConsumer<Quiet<Noted>>;

fn consumer(plan: &KafkaPlan, group: &str, member: &str) -> ClientConfig {
    let mut config = connection(&plan.cluster);
    receiving(&mut config);
    config.set("client.id", member);
    config.set("group.id", group);
    config.set("session.timeout.ms", SESSION_MS);
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true");
    config
}

/// The member of the group. Where it reads from is said at each assignment.
pub fn member(plan: &KafkaPlan, member: &str, context: Watching) -> KafkaResult<BaseConsumer<Watching>> {
    let mut config = consumer(plan, &plan.group, member);
    config.set("auto.offset.reset", "error");
    BaseConsumer::from_config_and_context(&config, context)
}

/// For the alerts topic, as a member of a group of its own.
pub fn delivery(plan: &KafkaPlan, member: &str) -> KafkaResult<Deliverer> {
    let mut config = consumer(plan, &format!("{}-delivery", plan.group), member);
    config.set("auto.offset.reset", "earliest");
    config.set("statistics.interval.ms", "0");
    config.set("socket.timeout.ms", COMMIT_MS);
    BaseConsumer::from_config_and_context(&config, Quiet::of(&plan.cluster))
}

/// Reads partitions that it is told to; in no group, though it must name one. Brokers say at once where one ends.
pub fn reader(plan: &KafkaPlan, member: &str) -> KafkaResult<Reader> {
    let mut config = consumer(plan, &plan.group, member);
    config.set("fetch.wait.max.ms", "10");
    config.set("auto.offset.reset", "earliest");
    config.set("statistics.interval.ms", "0");
    with_token(BaseConsumer::from_config_and_context(&config, Quiet::of(&plan.cluster))?)
}

/// Goes on reading what it is told to; in no group. Also what is not committed, so that nobody's transaction is waited for.
pub fn tail(plan: &KafkaPlan, member: &str) -> KafkaResult<Reader> {
    let mut config = consumer(plan, &plan.group, member);
    config.set("auto.offset.reset", "earliest");
    config.set("isolation.level", "read_uncommitted");
    config.set("statistics.interval.ms", "0");
    with_token(BaseConsumer::from_config_and_context(&config, Quiet::of(&plan.cluster))?)
}

/// A restart of the same member puts an end to what it had under way.
pub fn producer(plan: &KafkaPlan, member: &str) -> KafkaResult<Producer> {
    let mut config = connection(&plan.cluster);
    config.set("client.id", member);
    config.set("transactional.id", format!("{}-{member}", plan.group));
    config.set("transaction.timeout.ms", TRANSACTION_MS);
    config.set("compression.type", "lz4");
    config.set("partitioner", "murmur2_random");
    config.set("linger.ms", "1");
    ThreadedProducer::from_config_and_context(&config, Refusals::of(plan))
}

/// Closes clients. Those that reach no broker take long, and are not waited for.
pub fn close(clients: impl Send + 'static) {
    let (closed_to, closed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(clients);
        let _ = closed_to.send(());
    });
    let _ = closed.recv_timeout(CLOSE_MAX);
}
