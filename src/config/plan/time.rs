//! When an event of a stream happened, and when none did.

use std::time::Duration;

use super::FieldPath;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimePlan {
    /// The log's arrival stamp is the event time.
    Arrival,
    Field {
        path: FieldPath,
        unit: TimeUnit,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    Iso8601,
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// When a key that sends nothing is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDataPlan {
    Off,
    After(Duration),
    /// By how often the key itself used to send.
    Learn,
}
