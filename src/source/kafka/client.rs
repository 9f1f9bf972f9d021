//! The client library's settings, from the plan.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::plan::{KafkaPlan, SaslPlan, TlsPlan};

/// Of everything prefetched, over all partitions.
const PREFETCH_KBYTES: &str = "32768";
/// How often the library tells of itself: lag, and which brokers answer.
const STATISTICS_MS: &str = "1000";
/// How soon a new partition, or a new topic of a regular expression, is found.
const METADATA_MS: &str = "30000";

pub(super) fn config(plan: &KafkaPlan) -> ClientConfig {
    let mut config = connection(plan);
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

/// Whatever the client is for.
pub(crate) fn connection(plan: &KafkaPlan) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", plan.brokers.join(","));
    config.set("reconnect.backoff.max.ms", "5000");
    config.set("security.protocol", protocol(plan));
    if let Some(tls) = &plan.tls {
        set_tls(&mut config, tls);
    }
    if let Some(sasl) = &plan.sasl {
        config.set("sasl.mechanisms", sasl.mechanism());
        if let SaslPlan::Password { username, password, .. } = sasl {
            config.set("sasl.username", username);
            config.set("sasl.password", password);
        }
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

fn protocol(plan: &KafkaPlan) -> &'static str {
    match (&plan.tls, &plan.sasl) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

/// Without a `ca`, the usual places of the system's certificates are tried.
fn set_tls(config: &mut ClientConfig, tls: &TlsPlan) {
    let ca = tls.ca.as_ref().map_or("probe".into(), |path| path.to_string_lossy());
    config.set("ssl.ca.location", ca);
    if let Some(client) = &tls.client {
        config.set("ssl.certificate.location", client.cert.to_string_lossy());
        config.set("ssl.key.location", client.key.to_string_lossy());
    }
}
