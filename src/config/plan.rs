//! The validated plan: what `resolve` makes of a config file. Every station is built from this alone.

mod alarm;
mod broker;
mod column;
mod dashboard;
mod format;
mod host;
mod kafka;
mod replay;
mod sink;
mod telemetry;
mod time;
mod tls;
mod window;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::backend::Choice;
use crate::types::Names;
pub use alarm::{AlarmPlan, OnsetPlan};
pub use broker::{BrokerPlan, Version};
pub use column::{Aggregate, ColumnPlan, DeviationRule, Direction};
pub use dashboard::DashboardPlan;
pub use format::{FormatPlan, RegistryAccess, RegistryPlan};
pub use kafka::{
    ClusterPlan, KafkaField, KafkaPlan, KafkaStart, SaslMechanism, SaslPlan, SharedPlan, TokenPlan,
};
pub use replay::ReplayPlan;
pub use sink::{
    AlertmanagerPlan, BodyFormat, GroupPlan, KafkaSinkPlan, MqttSinkPlan, SigningKey, SinkKind, SinkPlan,
    WebhookPlan,
};
pub use telemetry::{TelemetryPlan, Warning};
pub use time::{NoDataPlan, TimePlan, TimeUnit};
pub use tls::{ClientCertificate, ServerTlsPlan, TlsPlan, TlsProblem};
pub use window::{Shape, WindowPlan};

/// A whole deployment, checked. Vectors are in order of name, so ids do not depend on file order.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Part of every alert id; the same after a move to another box.
    pub deployment: String,
    pub sources: Vec<SourcePlan>,
    pub streams: Vec<StreamPlan>,
    pub sinks: Vec<SinkPlan>,
    pub dashboard: DashboardPlan,
    pub durable: DurablePlan,
    /// `None`: nothing is sent to a collector.
    pub telemetry: Option<TelemetryPlan>,
    pub warnings: Vec<Warning>,
    /// Engine threads; default one a core.
    pub shards: usize,
    /// Where windows are scored, and what is reserved of a GPU for them. No decision depends on it.
    pub backend: Choice,
    pub device_memory_bytes: usize,
}

impl Plan {
    /// A shard's part of a GPU's memory for the windows of keys.
    pub fn ring_bytes(&self) -> usize {
        self.device_memory_bytes / self.shards
    }

    /// What becomes of `warnings`.
    pub fn without_warned(&self) -> &'static str {
        match self.telemetry {
            None => "No traces and metrics are sent to a collector; everything else goes on",
            Some(_) => "It is as if the variable were not set",
        }
    }

    /// What silences may name.
    pub fn names(&self) -> Names<'_> {
        let columns = self.streams.iter().flat_map(|stream| &stream.columns);
        let columns: BTreeSet<&str> = columns.map(|column| &column.name[..]).collect();
        Names {
            streams: self.streams.iter().map(|stream| &stream.name[..]).collect(),
            columns: columns.into_iter().collect(),
            sinks: self.sinks.iter().map(|sink| &sink.name[..]).collect(),
        }
    }

    /// The place of a sink among the sinks.
    ///
    /// # Errors
    /// If there is none of this name; says which there are.
    pub fn sink_at(&self, name: &str) -> Result<usize, String> {
        self.sinks.iter().position(|sink| sink.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.sinks.iter().map(|sink| sink.name.as_str()).collect();
            let remedy = if names.is_empty() {
                "the config has none".to_owned()
            } else {
                format!("name one of {}", names.join(", "))
            };
            format!("there is no sink {name}: {remedy}")
        })
    }

    pub fn http_sources(&self) -> usize {
        self.sources.iter().filter(|source| matches!(source.kind, SourceKind::Http(_))).count()
    }

    /// The source of a deployment that several processes share, its only one.
    pub fn shared(&self) -> Option<(&KafkaPlan, &SharedPlan)> {
        self.sources.iter().find_map(|source| match &source.kind {
            SourceKind::Kafka(kafka) => Some((kafka, kafka.shared.as_ref()?)),
            _ => None,
        })
    }
}

#[derive(Clone, Debug)]
pub struct SourcePlan {
    pub name: String,
    pub kind: SourceKind,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is a handful of them, made once")]
pub enum SourceKind {
    Mqtt(MqttPlan),
    Http(HttpPlan),
    Kafka(KafkaPlan),
    Replay(ReplayPlan),
}

#[derive(Clone, Debug)]
pub struct MqttPlan {
    pub broker: BrokerPlan,
    pub protocol: Protocol,
    /// Topic filters, `+` and `#` allowed; with MQTT 5 also `$share/GROUP/FILTER`.
    pub topics: Vec<String>,
    /// 0 or 1; 2 is refused by `resolve` with the remedy.
    pub qos: u8,
    /// Retained messages are counted and dropped unless this is true.
    pub retained: bool,
    pub keep_alive: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MQTT 3.1.1.
    V3,
    V5 {
        /// How long the broker keeps the session, and with it the messages, of an Eddy that is away.
        session_expiry: Duration,
        /// Messages of QoS 1 on their way at once.
        receive_maximum: u16,
    },
}

impl Protocol {
    pub fn version(self) -> Version {
        match self {
            Protocol::V3 => Version::V3,
            Protocol::V5 { .. } => Version::V5,
        }
    }
}

#[derive(Clone)]
pub struct HttpPlan {
    pub listen: SocketAddr,
    /// Bearer token; `None` only on a loopback address.
    pub token: Option<String>,
    pub max_body_bytes: usize,
}

#[derive(Clone, Debug)]
pub struct StreamPlan {
    pub name: String,
    /// Names of sources this stream takes from.
    pub from: Vec<String>,
    /// Topic filter of this stream (MQTT's, with dots between the levels for Kafka); `None` takes every topic of its sources.
    /// For HTTP the path's `{stream}` must equal the stream's name.
    pub topics: Option<String>,
    pub format: FormatPlan,
    pub key: FieldPath,
    pub time: TimePlan,
    pub layout: Layout,
    /// Where a message says what an earlier event turned out to be; `None`: none does.
    pub outcome: Option<FieldPath>,
    /// In order of name.
    pub columns: Vec<ColumnPlan>,
    pub window: WindowPlan,
    pub model: ModelPlan,
    pub alarm: AlarmPlan,
    /// Event time for which an alert stays open at most: what stands for so long is the key's new state. `None`: no
    /// limit.
    pub standing: Option<Duration>,
    /// Event time further ahead of its arrival than this is dead-lettered, so that one broken clock
    /// cannot make everybody else late. `None`: no limit.
    pub max_future: Option<Duration>,
    pub no_data: NoDataPlan,
    /// Wall-clock time without a row after which a partition goes on without; `None`: never.
    pub idle_after: Option<Duration>,
    /// `None`: nobody is told when something sets in. Only where windows lie on a grid.
    pub onsets: Option<OnsetPlan>,
}

/// Where a field is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldPath {
    /// `topic.N`: the N-th level of the topic, counted from 1.
    Topic(usize),
    /// Dotted path into the JSON document, relative to the point (`points`) if there is one.
    Json(Vec<String>),
    /// `$.a.b`: dotted path from the root of the document even inside a point.
    Root(Vec<String>),
    /// A fixed text: every message belongs to one key (`key = "='boiler'"` is written `key = "=boiler"`).
    Constant(String),
    /// What a message of Kafka carries beside its value.
    Kafka(KafkaField),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One message (or one element of the array at `points`) holds a row with many columns.
    Wide { points: Option<FieldPath> },
    /// One metric a message (or element): `column` names the column, `value` holds the number.
    /// `value = Json([])` means the element itself is the number (bare payload).
    Long { column: FieldPath, value: FieldPath, points: Option<FieldPath> },
}

#[derive(Clone, Debug, PartialEq)]
pub enum ModelPlan {
    /// Fit on the first `warmup` of event time of each partition.
    Fit { warmup: Duration },
    /// Load a file made by `eddy train`. Each `refit` of event time a challenger is fitted on what the stream
    /// has shown, and takes its place if it is better; `None`: never.
    /// `memory_bytes`: what `eddy train` may spend on densities of cohorts beside everyone's.
    Load { path: PathBuf, refit: Option<Duration>, memory_bytes: u64 },
    /// Judge each event by the causes a fraud may have: the column of this name, which holds amounts, and those of
    /// aggregate [`Aggregate::Risk`]. Nothing is fitted.
    Transactions { amount: String },
}

#[derive(Clone, Debug)]
pub struct DurablePlan {
    pub path: PathBuf,
    /// A log segment is closed at this size.
    pub segment_bytes: u64,
    /// Time in which every changed partition is saved once.
    pub snapshot_every: Duration,
    /// How long messages are kept that no start needs.
    pub retain: Duration,
    /// Above this size of the log, messages that no start needs go earlier.
    pub bytes_max: u64,
    /// How long alerts are kept that are over, and done with by every sink.
    pub retain_alerts: Duration,
}

/// What a deployment without `[durable]` gets.
impl Default for DurablePlan {
    fn default() -> Self {
        DurablePlan {
            path: "eddy-data".into(),
            segment_bytes: 64_000_000,
            snapshot_every: Duration::from_secs(60),
            retain: Duration::from_secs(7 * 86_400),
            bytes_max: 100_000_000_000,
            retain_alerts: Duration::from_secs(30 * 86_400),
        }
    }
}

/// Stands for a secret wherever a plan is shown: plans end up in logs and panics.
pub(super) const REDACTED: &str = "[redacted]";

impl fmt::Debug for HttpPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpPlan { listen, token, max_body_bytes } = self;
        f.debug_struct("HttpPlan")
            .field("listen", listen)
            .field("token", &token.as_ref().map(|_| REDACTED))
            .field("max_body_bytes", max_body_bytes)
            .finish()
    }
}
