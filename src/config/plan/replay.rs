//! Files that are read as if they came in.

use std::path::PathBuf;

/// A CSV file (gzip allowed) read through polars; each row becomes one JSON message of topic = file stem.
#[derive(Clone, Debug)]
pub struct ReplayPlan {
    pub path: PathBuf,
    /// Event-time speed: 1.0 = as recorded, `None` = as fast as it goes.
    pub speed: Option<f64>,
    /// Column holding the event time, needed for `speed`.
    pub time_column: Option<String>,
}
