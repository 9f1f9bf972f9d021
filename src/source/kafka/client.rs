//! How a member of a group receives, from the plan.

use rdkafka::ClientConfig;

use crate::config::plan::KafkaPlan;
use crate::kafka::client::connection;

/// Of everything prefetched, over all partitions.
const PREFETCH_KBYTES: &str = "32768";
/// How often the library tells of itself: lag, and which brokers answer.
const STATISTICS_MS: &str = "1000";
/// How soon a new partition, or a new topic of a regular expression, is found.
const METADATA_MS: &str = "30000";

pub(super) fn config(plan: &KafkaPlan) -> ClientConfig {
    let mut config = connection(&plan.cluster);
    config.set("client.id", &plan.member);
    config.set("group.id", &plan.group);
    config.set("group.instance.id", instance(plan));
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("isolation.level", "read_committed");
    // Stored by hand after the fsync; committed by the library once in a while, when a partition goes, and at the end.
    config.set("enable.auto.commit", "true");
    config.set("auto.commit.interval.ms", "1000");
    config.set("enable.auto.offset.store", "false");
    // Where to begin is said at each assignment; an offset that is not there any more must not go unseen.
    config.set("auto.offset.reset", "error");
    receiving(&mut config);
    config
}

/// Who of the group this is over restarts. Brokers give a member that comes back the partitions it had, whatever topics it
/// names now: with others it is somebody else.
fn instance(plan: &KafkaPlan) -> String {
    format!("{}-{:08x}", plan.member, xxhash_rust::xxh3::xxh3_64(plan.topics.join("\n").as_bytes()) as u32)
}

/// How a consumer receives, whoever it is one of.
pub(crate) fn receiving(config: &mut ClientConfig) {
    config.set("allow.auto.create.topics", "false");
    config.set("statistics.interval.ms", STATISTICS_MS);
    config.set("topic.metadata.refresh.interval.ms", METADATA_MS);
    config.set("queued.max.messages.kbytes", PREFETCH_KBYTES);
}
