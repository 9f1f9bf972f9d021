//! Parts of a stream's view.

use serde::Serialize;

use crate::types::By;

/// Keys of which something came lately: within two windows, and ten minutes at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AliveView {
    pub keys: u64,
    /// Those of them that have readings enough of their own to be judged.
    pub keys_warm: u64,
}

/// Windows below the threshold that are not told, of the last 24 hours of event time; since the start, with what was
/// read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeldBackView {
    /// No column departed as its rule asks.
    pub rule: u64,
    /// Not odd but for what people called expected of their key.
    pub expected: u64,
}

/// The column of a stream that has moved the farthest since its model was trained.
#[derive(Clone, Debug, Serialize)]
pub struct DriftView {
    pub column: String,
    /// Median over keys, about a day, sd of a key's readings; negative: down.
    pub shift_sd: f64,
    /// Share of the keys that have moved by an sd or more that way.
    pub keys_ratio: f64,
    /// Far enough to say so; it takes less to go on than to begin.
    pub drifted: bool,
}

/// What scores a stream.
#[derive(Clone, Debug, Serialize)]
pub struct ModelView {
    pub name: String,
    /// As in alerts.
    pub checksum: String,
    pub by: By,
}
