//! Why a message was not taken, in words that name the remedy.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::Target;
use crate::kafka::reasons::{unreached, user};
use crate::kafka::words::of_code;

/// The cluster as a whole has enough to do.
pub(super) fn is_busy(code: Code) -> bool {
    matches!(code, Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend | Code::QueueFull)
}

/// Of what is refused at first sight, nothing is there.
pub(super) fn is_refused(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::QueueFull
    )
}

/// `away`: why brokers were not reached of late. `bytes`: of the message.
pub(super) fn of(to: &Target, (code, detail): (Code, &str), away: Option<String>, bytes: usize) -> String {
    let Target { cluster, topic, timeout, of, names_topic, .. } = to;
    match code {
        Code::MessageTimedOut => away.unwrap_or_else(|| {
            let brokers = cluster.brokers.join(", ");
            format!(
                "{brokers} did not take it within {timeout:?}; see that the brokers answer and every partition of {topic} has a leader, \
                 and that `brokers` and `tls` are right"
            )
        }),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            format!("the cluster has no topic {topic}, and Eddy makes none here; make it, or correct `{names_topic}`")
        }
        Code::TopicAuthorizationFailed => format!(
            "{} may not write to topic {topic}; allow it to Write and Describe it (kafka-acls)",
            user(cluster)
        ),
        Code::ClusterAuthorizationFailed => format!(
            "{} may write to no topic; allow it to Write and Describe {topic}, and at brokers older than Kafka 3.0 to IdempotentWrite to \
             the cluster (kafka-acls)",
            user(cluster)
        ),
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => format!(
            "its {bytes} bytes are too many for topic {topic}; raise the topic's max.message.bytes, or the brokers' \
             message.max.bytes"
        ),
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => format!(
            "topic {topic} has fewer replicas in sync than its min.insync.replicas; start the brokers that are down, or lower it"
        ),
        Code::UnsupportedCompressionType => {
            "the brokers do not know zstd; Kafka 2.1 or newer is needed".to_owned()
        }
        _ => unreached(cluster, of, code, detail)
            .unwrap_or_else(|| format!("topic {topic} did not take it: {}", of_code(code).unwrap_or(detail))),
    }
}

pub(super) fn not_made(to: &Target, detail: &str) -> String {
    let of = to.of;
    format!("the Kafka client cannot be set up: {detail}; correct this {of}'s `tls`, `sasl` and `brokers`")
}
