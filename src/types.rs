//! The types that flow between stations, nothing else.
//!
//! `Message → Slot of rows → WindowBatch → Scores → Verdict → Decision + Receipt`.
//! Times are nanoseconds since the Unix epoch unless a name says otherwise.

pub mod activation;
mod decision;
pub mod drift;
mod feedback;
pub mod kafka;
pub mod rule;
mod schema;
pub mod silence;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use activation::{Activation, By, MODEL_DIGITS};
pub use decision::{
    About, AlertState, ColumnEvidence, Decision, NoDataEvidence, OnsetEvidence, Resolution, Watched,
    WindowEvidence,
};
pub use feedback::{Feedback, LASTS_NS, UNSAID_MAX, Word};
pub use kafka::{Header, KafkaOrigin, Offsets};
pub use schema::SchemaChange;
pub use silence::{Acknowledgement, Labels, Names, Silence, SilenceDraft};

/// Number of partitions of the engine: of Kafka's own, or virtual ones for sources that bring none (MQTT, HTTP, files).
pub const PARTITIONS: usize = 64;

/// Length of an epoch in event time: everything adaptive is constant inside one.
pub const EPOCH_NS: i64 = 60 * 1_000_000_000;

/// Event time: when it happened at the device, ns since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

/// Wall-clock time at which a message was received, ns since the Unix epoch; stamped once, kept in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arrival(pub i64);

/// Sequence number of a message in the log; the first one is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

/// One of the [`PARTITIONS`]. What shares one shares a watermark, and what of its state is no key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u8);

/// Index of a stream in `Plan::streams`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u16);

impl EventTime {
    /// Index of the epoch this time falls into.
    pub fn epoch(self) -> i64 {
        self.0.div_euclid(EPOCH_NS)
    }
}

impl PartitionId {
    /// The fixed assignment of a key to its partition, where the source has no partitions. Never change it: state on disk depends on it.
    pub fn of(key_hash: u64) -> Self {
        PartitionId((key_hash >> 58) as u8)
    }

    /// Where a partition of Kafka goes: each of the first 64 of a topic has one of its own. Never change it, either.
    pub fn of_kafka(partition: i32) -> Self {
        PartitionId(partition.rem_euclid(PARTITIONS as i32) as u8)
    }

    /// The shard (engine thread) that owns this partition.
    pub fn shard(self, shards: usize) -> usize {
        self.0 as usize % shards
    }
}

/// How checksums and other hashes are written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The innermost error of a request says what happened. The outer ones quote its url, which may hold a token.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    // Without an inner error the client's own text remains, url and all.
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request could not be made".to_owned(),
        None => cause.to_string(),
    }
}

/// The stable hash of a key: xxh3, 64 bits, seed 0.
pub fn key_hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// A reading of the wall clock that stands in the control log, so that a replay needs no clock: partitions
/// that had no row for `after_ns` before `at` go on without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idle {
    pub at: Arrival,
    pub after_ns: i64,
}

/// A raw message as received, before anything is understood of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Name of the source (`[source.NAME]`).
    pub source: Arc<str>,
    /// MQTT or Kafka topic, or HTTP stream name, or replayed file's stem.
    pub topic: Box<str>,
    /// The bytes as sent.
    pub payload: bytes::Bytes,
    pub arrival: Arrival,
    /// HTTP `Idempotency-Key`, kept in the log so that it outlives a restart.
    pub idempotency_key: Option<Box<str>>,
    /// Of messages from Kafka.
    pub origin: Option<Box<KafkaOrigin>>,
}

/// One decoded event of one key. `values[c]` is NaN where column `c` is missing.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    pub stream: StreamId,
    pub key: &'a [u8],
    pub key_hash: u64,
    /// By the hash, or Kafka's.
    pub partition: PartitionId,
    pub time: EventTime,
    pub arrival: Arrival,
    pub position: Position,
    /// Index of this row inside its message.
    pub row: u32,
    pub values: &'a [f32],
    /// `None`: an event. Else what the event of this key, time and values turned out to be: whether it was fraud.
    pub outcome: Option<bool>,
    /// Hash of the values' bits: same key, time and hash = the same event redelivered.
    pub content_hash: u64,
}

/// Why an input was not turned into an event. Bytes, position and reason go to the dead-letter file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not parseable as the stream's format.
    Malformed,
    /// The key is missing or empty.
    NoKey,
    /// The event time is missing, unparseable or out of range.
    BadTime,
    /// A column holds something that is not a finite number.
    BadValue,
    /// No column of the stream is present.
    NoColumns,
    /// No stream takes messages from this source and topic.
    NoStream,
    /// Later than the allowed lateness.
    Late,
    /// Event time too far ahead of its arrival.
    Future,
    /// Key longer than allowed, or message too large.
    TooLarge,
    /// The schema that it names is unknown to the registry, or none that the stream can use.
    NoSchema,
}

impl Reason {
    pub const ALL: [Reason; 10] = [
        Reason::Malformed,
        Reason::NoKey,
        Reason::BadTime,
        Reason::BadValue,
        Reason::NoColumns,
        Reason::NoStream,
        Reason::Late,
        Reason::Future,
        Reason::TooLarge,
        Reason::NoSchema,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::NoKey => "no_key",
            Reason::BadTime => "bad_time",
            Reason::BadValue => "bad_value",
            Reason::NoColumns => "no_columns",
            Reason::NoStream => "no_stream",
            Reason::Late => "late",
            Reason::Future => "future",
            Reason::TooLarge => "too_large",
            Reason::NoSchema => "no_schema",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a window below the threshold is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldBack {
    /// No column departs as its rule asks.
    Rule = 1,
    /// It would not be odd but for what people called expected of its key.
    Expected = 2,
}

/// A window's verdict: how odd, and on which side of the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Calibrated probability that a normal window scores at least this odd.
    pub p_value: f64,
    /// `p_value` is below the threshold of its epoch, and some column gives a reason to tell.
    pub anomalous: bool,
    /// It would be anomalous, and is not told.
    pub held_back: Option<HeldBack>,
    /// Nothing odd about it at all: an alert that is open may end.
    pub calm: bool,
    /// Enough of every column was observed to act on this verdict.
    pub confident: bool,
}

/// One named stretch of an alert's way, ns. Stretches are contiguous: they add up to the total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub stage: String,
    pub ns: u64,
}

/// Where an alert's time went, from the arrival of the window's last event to the durable outbox.
/// Holds clocks, so it is no part of the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub segments: Vec<Segment>,
    /// Sum of the segments, and `end_ns - start_ns`.
    pub total_ns: u64,
    /// Arrival of the window's last event, wall clock ns.
    pub start_ns: i64,
    /// When the outbox took it, wall clock ns.
    pub end_ns: i64,
    /// Re-created from the log after a restart: the stretch `recovery` holds the time Eddy was away.
    pub recovered: bool,
}

/// A decision on its way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub decision: Decision,
    pub receipt: Receipt,
}

/// One final window of a key that the page follows, for charts. Not part of any decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub stream: StreamId,
    pub key: Box<[u8]>,
    /// End of the window, ns.
    pub time: EventTime,
    pub values: Vec<f32>,
    pub expected: Vec<f32>,
    pub low: Vec<f32>,
    pub high: Vec<f32>,
    /// Each column's share of the surprise.
    pub share: Vec<f32>,
    pub p_value: f64,
    /// p-value below which it was anomalous.
    pub threshold: f64,
    pub anomalous: bool,
    pub held_back: Option<HeldBack>,
    pub confident: bool,
}
