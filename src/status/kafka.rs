//! Of a source of type `kafka`, beside what every source has.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

use super::{read, write};

/// One Eddy of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    pub name: String,
    pub partitions: Vec<i32>,
}

/// What only a source of type `kafka` knows.
#[derive(Debug, Default)]
pub struct KafkaStatus {
    /// Messages that the broker has and the log has not, over the partitions assigned.
    lag: AtomicU64,
    /// What the broker had a moment ago is not all in the log, or it is not known: a partition without a row is
    /// not idle for that.
    pub behind: AtomicBool,
    /// Those assigned to this process.
    pub partitions: AtomicU64,
    /// Those of them whose next message waits for its schema.
    pub partitions_waiting: AtomicU64,
    /// Came again though the log had them.
    pub redelivered_total: AtomicU64,
    /// Messages without a value: there is nothing to log of them.
    pub tombstones_total: AtomicU64,
    /// Offsets that the broker had deleted before they were read.
    pub lost_total: AtomicU64,
    /// Partitions taken over from whoever had them before; only of a topic that is shared.
    pub handovers_total: AtomicU64,
    /// How long it took until the last ones were restored.
    pub handover_ns_last: AtomicU64,
    /// Why messages wait for their schemas, with the remedy; `None` while they do not.
    registry_error: Mutex<Option<String>>,
    /// Why it is not known what the group silences and acknowledges, with the remedy; `None` while it is.
    words_error: Mutex<Option<String>>,
    /// Everybody of the group that shares the topic.
    pub members: Mutex<Vec<Member>>,
}

impl KafkaStatus {
    const UNKNOWN: u64 = u64::MAX;

    pub fn registry_error(&self) -> Option<String> {
        read(&self.registry_error)
    }

    pub fn set_registry_error(&self, error: Option<String>) {
        write(&self.registry_error, error);
    }

    pub fn words_error(&self) -> Option<String> {
        read(&self.words_error)
    }

    pub fn set_words_error(&self, error: Option<String>) {
        write(&self.words_error, error);
    }

    /// `None` while it is not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag != Self::UNKNOWN)
    }

    pub fn set_lag(&self, lag: Option<u64>) {
        self.lag.store(lag.unwrap_or(Self::UNKNOWN), Ordering::Relaxed);
    }
}
