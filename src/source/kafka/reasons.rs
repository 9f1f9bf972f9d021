//! Why nothing is received, in words that name the remedy.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::config::plan::KafkaPlan;
use crate::kafka::reasons::{unreached, user};
use crate::kafka::words::topic;

/// What an error means for the source.
pub(crate) enum Trouble {
    /// A broker was not reached; others may be. If all are, the last such reason says why.
    Broker(String),
    /// No broker is reached.
    AllBrokers,
    /// Brokers answer, but something asked for is not given.
    Refused(String),
    /// The offset to read from is gone, or another process took this one's place: begin anew.
    Begin(String),
    /// The library goes on by itself.
    Passing,
}

pub(crate) fn trouble(plan: &KafkaPlan, code: Code, detail: &str) -> Trouble {
    let cluster = &plan.cluster;
    match code {
        Code::AllBrokersDown => Trouble::AllBrokers,
        // Said before, with the reason.
        Code::Authentication if cluster.has_tokens() && detail.starts_with("Message consumption error") => {
            Trouble::Passing
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Trouble::Refused(format!(
                "the cluster has not every topic of {}{}; make it, or correct `topics`",
                plan.topics.join(", "),
                named(detail)
            ))
        }
        Code::TopicAuthorizationFailed => Trouble::Refused(format!(
            "{} may not read a topic of {}{}; allow it to Read and Describe them (kafka-acls)",
            user(cluster),
            plan.topics.join(", "),
            named(detail)
        )),
        Code::GroupAuthorizationFailed => Trouble::Refused(format!(
            "{} may not be in group {}; allow it to Read that group (kafka-acls), or name another in `group`",
            user(cluster),
            plan.group
        )),
        Code::ClusterAuthorizationFailed => Trouble::Refused(format!(
            "{} is refused by the cluster; allow it there (kafka-acls)",
            user(cluster)
        )),
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Trouble::Begin("the offset to go on from is not there any more".to_owned())
        }
        Code::Fatal | Code::FencedInstanceId | Code::Fenced => Trouble::Begin(format!(
            "another process took the place of member {} in group {}; stop it, or give one of the two another \
             `deployment` and `group`",
            plan.member, plan.group
        )),
        _ => unreached(cluster, "source", code, detail).map_or(Trouble::Passing, Trouble::Broker),
    }
}

/// Of several topics the one that it is about, where that is said.
fn named(detail: &str) -> String {
    topic(detail).map_or(String::new(), |topic| format!(" ({topic})"))
}

/// Neither an error nor a partition.
pub(crate) fn none_given(plan: &KafkaPlan) -> String {
    format!(
        "no partition of {} is given to this member: the topic is not there, or other members of group {} have them all; \
         make it, or correct `topics`, or stop the others",
        plan.topics.join(", "),
        plan.group
    )
}

pub(crate) fn not_made(detail: &str) -> String {
    format!("the Kafka client cannot be set up: {detail}; correct this source's `tls`, `sasl` and `topics`")
}

pub(crate) const LOG: &str =
    "the log cannot be written; what is not in it is read again (free disk space, see `eddy_log_safe`)";
