//! The collector of OpenTelemetry as the page has it.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub struct TelemetryView {
    /// Alerts and delivery attempts whose spans it took, and those that it missed.
    pub exported_total: u64,
    pub dropped_total: u64,
    /// Requests of traces and metrics that it did not take.
    pub failures_total: u64,
    /// What it does not take, or not all of it, right now.
    pub failing: Vec<FailingView>,
}

#[derive(Clone, Debug, Serialize)]
pub struct FailingView {
    /// `traces` or `metrics`.
    pub signal: &'static str,
    pub since_ns: i64,
    pub reason: String,
}
