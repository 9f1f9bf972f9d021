//! What became of what is sent to a collector of OpenTelemetry.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use super::{read, write};

/// Of what is sent to a collector of OpenTelemetry; all 0 where there is none.
#[derive(Debug, Default)]
pub struct TelemetryStatus {
    /// Alerts and delivery attempts whose spans it took.
    pub exported_total: AtomicU64,
    /// Those that it missed: there was no room for them, or it did not take them.
    pub dropped_total: AtomicU64,
    /// Requests that it did not take, of traces and of metrics.
    pub failures_total: AtomicU64,
    /// By [`TelemetrySignal`].
    failing: [Mutex<Option<Failing>>; 2],
}

/// What is sent to the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetrySignal {
    Traces,
    Metrics,
}

impl TelemetrySignal {
    pub const ALL: [TelemetrySignal; 2] = [TelemetrySignal::Traces, TelemetrySignal::Metrics];

    pub fn as_str(self) -> &'static str {
        match self {
            TelemetrySignal::Traces => "traces",
            TelemetrySignal::Metrics => "metrics",
        }
    }
}

/// The collector does not take a signal, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Wall time ns.
    pub since_ns: i64,
    /// Of the last failure; names no url and no secret.
    pub reason: String,
}

impl TelemetryStatus {
    /// `None` while it takes the signal, and before the first attempt.
    pub fn failing(&self, signal: TelemetrySignal) -> Option<Failing> {
        read(&self.failing[signal as usize])
    }

    /// Notes how the last attempt went: `reason` if it failed. It fails since the first that did.
    pub fn note(&self, signal: TelemetrySignal, now_ns: i64, reason: Option<String>) {
        let since_ns = self.failing(signal).map_or(now_ns, |failing| failing.since_ns);
        write(&self.failing[signal as usize], reason.map(|reason| Failing { since_ns, reason }));
    }
}
