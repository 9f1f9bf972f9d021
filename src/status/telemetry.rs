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
    /// It was not reached, which is not this signal's fault.
    pub is_away: bool,
}

impl TelemetryStatus {
    /// `None` while it takes the signal, and before the first attempt.
    pub fn failing(&self, signal: TelemetrySignal) -> Option<Failing> {
        read(&self.failing[signal as usize])
    }

    /// Notes that an attempt failed. It fails since the first that did.
    pub fn failed(&self, signal: TelemetrySignal, now_ns: i64, reason: String, is_away: bool) {
        let since_ns = self.failing(signal).map_or(now_ns, |failing| failing.since_ns);
        write(&self.failing[signal as usize], Some(Failing { since_ns, reason, is_away }));
    }

    /// Notes that it took all of a signal. So it is there, for the others too: traces are only sent when there is an alert, which
    /// may be days from now.
    pub fn took(&self, signal: TelemetrySignal) {
        for other in TelemetrySignal::ALL {
            if other == signal || self.failing(other).is_some_and(|failing| failing.is_away) {
                write(&self.failing[other as usize], None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TelemetrySignal::{Metrics, Traces};
    use super::*;

    #[test]
    fn a_collector_that_takes_one_signal_is_there_for_the_other() {
        let status = TelemetryStatus::default();
        status.failed(Traces, 5, "cannot connect".into(), true);
        status.failed(Traces, 9, "cannot connect".into(), true);
        assert_eq!(status.failing(Traces).map(|failing| failing.since_ns), Some(5));
        status.took(Metrics);
        assert_eq!(status.failing(Traces), None);
        status.failed(Traces, 5, "answered 400".into(), false);
        status.took(Metrics);
        assert!(status.failing(Traces).is_some(), "it does not want these");
        status.took(Traces);
        assert_eq!(status.failing(Traces), None);
    }
}
