//! Of a source of type `kafka`, beside what every source has.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    /// Came again though the log had them.
    pub redelivered_total: AtomicU64,
    /// Messages without a value: there is nothing to log of them.
    pub tombstones_total: AtomicU64,
    /// Offsets that the broker had deleted before they were read.
    pub lost_total: AtomicU64,
}

impl KafkaStatus {
    const UNKNOWN: u64 = u64::MAX;

    /// `None` while it is not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.lag.load(Ordering::Relaxed)).filter(|lag| *lag != Self::UNKNOWN)
    }

    pub fn set_lag(&self, lag: Option<u64>) {
        self.lag.store(lag.unwrap_or(Self::UNKNOWN), Ordering::Relaxed);
    }
}
