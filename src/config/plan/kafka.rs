//! What is asked of a Kafka cluster.

use std::fmt;

use super::{REDACTED, RegistryPlan, TlsPlan, host};

/// A cluster, and how it is reached.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// `HOST:PORT` of those asked first; they name the others.
    pub brokers: Vec<String>,
    /// `None`: in clear.
    pub tls: Option<TlsPlan>,
    pub sasl: Option<SaslPlan>,
}

#[derive(Clone, Debug)]
pub struct KafkaPlan {
    pub cluster: ClusterPlan,
    /// Names, or regular expressions that begin with `^`.
    pub topics: Vec<String>,
    pub group: String,
    /// Who of the group this is. The same after a restart, so that partitions are not waited for.
    pub member: String,
    pub start: KafkaStart,
    /// Topic for messages of which something was refused; `None`: they go to the file.
    pub dead_letters: Option<String>,
    /// Where the schemas of Avro and Protobuf are.
    pub registry: Option<RegistryPlan>,
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
pub enum SaslPlan {
    Password {
        mechanism: SaslMechanism,
        username: String,
        password: String,
    },
    /// OAUTHBEARER.
    Token(TokenPlan),
}

/// Where tokens come from, and what Eddy shows for them: the client credentials grant (RFC 6749, section 4.4).
#[derive(Clone)]
pub struct TokenPlan {
    pub url: String,
    pub client_id: String,
    pub client_secret: String,
    pub scope: Option<String>,
}

/// Those with a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl SaslPlan {
    /// Whether what it shows to a broker could be shown again by who saw it.
    pub fn goes_in_clear(&self) -> bool {
        match self {
            SaslPlan::Password { mechanism, .. } => *mechanism == SaslMechanism::Plain,
            SaslPlan::Token(_) => true,
        }
    }

    pub fn mechanism(&self) -> &'static str {
        match self {
            SaslPlan::Password { mechanism, .. } => mechanism.as_str(),
            SaslPlan::Token(_) => "OAUTHBEARER",
        }
    }

    /// As whom the brokers know Eddy.
    pub fn user(&self) -> &str {
        match self {
            SaslPlan::Password { username, .. } => username,
            SaslPlan::Token(token) => &token.client_id,
        }
    }
}

/// A part of a message beside its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaField {
    Key,
    /// ms since the Unix epoch.
    Timestamp,
    Header(Box<str>),
}

impl ClusterPlan {
    /// The client library gets no tokens for what only administers: topics are not made then, nor their settings looked at.
    pub fn has_tokens(&self) -> bool {
        matches!(self.sasl, Some(SaslPlan::Token(_)))
    }

    /// Whether a broker is named that the other one names too. The same cluster by other names is not known here.
    pub fn is_of(&self, other: &ClusterPlan) -> bool {
        let is_same = |a: &str, b: &str| match (a.rsplit_once(':'), b.rsplit_once(':')) {
            (Some((host_a, port_a)), Some((host_b, port_b))) => {
                port_a == port_b && host::is_same(host_a, host_b)
            }
            _ => a == b,
        };
        self.brokers.iter().any(|a| other.brokers.iter().any(|b| is_same(a, b)))
    }

    /// SCRAM keeps the password to itself, but not what is sent beside it.
    pub fn shows_its_password(&self) -> bool {
        self.tls.is_none() && self.sasl.as_ref().is_some_and(SaslPlan::goes_in_clear)
    }

    /// How the connection is secured, for a summary; nothing where it is not.
    pub fn access(&self) -> String {
        let tls = if self.tls.is_some() { ", TLS" } else { "" };
        let sasl = self.sasl.as_ref().map_or(String::new(), |sasl| format!(", {}", sasl.mechanism()));
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
        f.debug_struct("SaslPlan")
            .field("mechanism", &self.mechanism())
            .field("user", &self.user())
            .field("secret", &REDACTED)
            .finish()
    }
}
