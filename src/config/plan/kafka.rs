//! What is asked of a Kafka cluster.

use std::fmt;

use super::{REDACTED, TlsPlan};

#[derive(Clone, Debug)]
pub struct KafkaPlan {
    /// `HOST:PORT` of those asked first; they name the others.
    pub brokers: Vec<String>,
    /// Names, or regular expressions that begin with `^`.
    pub topics: Vec<String>,
    pub group: String,
    /// Who of the group this is. The same after a restart, so that partitions are not waited for.
    pub member: String,
    pub start: KafkaStart,
    /// `None`: in clear.
    pub tls: Option<TlsPlan>,
    pub sasl: Option<SaslPlan>,
    /// `Some`: several Eddys read the topic together. `None`: this one reads it into its own log.
    pub shared: Option<SharedPlan>,
}

/// Topics by which the Eddys of a group work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedPlan {
    /// Every revision of an alert once, for receivers of every kind.
    pub alerts: String,
    /// Compacted: what each partition's owner knows.
    pub state: String,
}

/// Where reading begins in a partition of which the log has nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaStart {
    Earliest,
    Latest,
    /// The first message of this time or after it, ms since the Unix epoch.
    At(i64),
}

#[derive(Clone)]
pub struct SaslPlan {
    pub mechanism: SaslMechanism,
    pub username: String,
    pub password: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// A part of a message beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaField {
    Key,
    /// ms since the Unix epoch.
    Timestamp,
    Header(Box<str>),
}

impl KafkaPlan {
    /// How the connection is secured, for a summary; nothing where it is not.
    pub fn access(&self) -> String {
        let tls = if self.tls.is_some() { ", TLS" } else { "" };
        let sasl = self.sasl.as_ref().map_or(String::new(), |sasl| format!(", {}", sasl.mechanism.as_str()));
        format!("{tls}{sasl}")
    }
}

impl SaslMechanism {
    pub const ALL: [SaslMechanism; 3] =
        [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];

    pub fn as_str(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// As it is written in a config.
impl fmt::Display for KafkaField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KafkaField::Key => f.write_str("kafka.key"),
            KafkaField::Timestamp => f.write_str("kafka.timestamp"),
            KafkaField::Header(name) => write!(f, "kafka.header.{name}"),
        }
    }
}

impl fmt::Debug for SaslPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SaslPlan { mechanism, username, password: _ } = self;
        f.debug_struct("SaslPlan")
            .field("mechanism", mechanism)
            .field("username", username)
            .field("password", &REDACTED)
            .finish()
    }
}
