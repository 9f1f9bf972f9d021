//! Why nothing is received, in words that name the remedy.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::config::plan::KafkaPlan;

/// How the client library says that there is no token.
const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

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
    let brokers = plan.brokers.join(", ");
    match code {
        Code::AllBrokersDown => Trouble::AllBrokers,
        Code::SSL => Trouble::Broker(format!(
            "no TLS with {brokers}: {detail}; let `tls.ca` name the authority that signed the brokers' certificates, \
             and `brokers` the hosts they were made for"
        )),
        Code::Authentication if detail.contains(NO_TOKEN) => Trouble::Broker(format!(
            "{detail}; start the server that gives tokens, or correct `token_url`, `client_id`, `client_secret` or `scope` in this \
             source's `sasl`"
        )),
        // Said before, with the reason.
        Code::Authentication if plan.has_tokens() && detail.starts_with("Message consumption error") => {
            Trouble::Passing
        }
        Code::Authentication | Code::SaslAuthenticationFailed => Trouble::Broker(format!(
            "the broker refuses {} ({detail}); correct `sasl` in this source, or the user at the broker",
            user(plan)
        )),
        Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut => {
            Trouble::Broker(away(plan, detail))
        }
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Trouble::Refused(format!(
                "the cluster has not every topic of {} ({detail}); make it, or correct `topics`",
                plan.topics.join(", ")
            ))
        }
        Code::TopicAuthorizationFailed => Trouble::Refused(format!(
            "{} may not read a topic of {} ({detail}); allow it to Read and Describe them (kafka-acls)",
            user(plan),
            plan.topics.join(", ")
        )),
        Code::GroupAuthorizationFailed => Trouble::Refused(format!(
            "{} may not be in group {} ({detail}); allow it to Read that group (kafka-acls), or name another in `group`",
            user(plan),
            plan.group
        )),
        Code::ClusterAuthorizationFailed => Trouble::Refused(format!(
            "{} is refused by the cluster ({detail}); allow it there (kafka-acls)",
            user(plan)
        )),
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Trouble::Begin("the offset to go on from is not there any more".to_owned())
        }
        Code::Fatal | Code::FencedInstanceId | Code::Fenced => Trouble::Begin(format!(
            "another process took the place of member {} in group {} ({detail}); stop it, or give one of the two another \
             `deployment` and `group`",
            plan.member, plan.group
        )),
        _ => Trouble::Passing,
    }
}

pub(crate) fn away(plan: &KafkaPlan, detail: &str) -> String {
    let brokers = plan.brokers.join(", ");
    format!(
        "no broker is reached at {brokers}: {detail}; start it, or correct `brokers`, or `tls` if it wants TLS"
    )
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

fn user(plan: &KafkaPlan) -> String {
    match (&plan.sasl, &plan.tls) {
        (Some(sasl), _) => format!("user {:?}", sasl.user()),
        (None, Some(tls)) if tls.client.is_some() => "this client's certificate".to_owned(),
        _ => "a client without a name".to_owned(),
    }
}
