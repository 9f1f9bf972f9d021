//! Of a source of type `kafka`, beside what every source has.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct KafkaView {
    /// Messages that the broker has and the log has not; `null` while that is not known.
    pub lag: Option<u64>,
    pub partitions: u64,
    pub redelivered_total: u64,
    pub tombstones_total: u64,
    pub lost_total: u64,
}
