//! Families of the process as a whole: its log, its snapshots, what it set aside.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use prometheus_client::metrics::MetricType;

use super::{Family, one};
use crate::status::{SnapshotStatus, Status};
use crate::types::Reason;

fn count(count: &AtomicU64) -> f64 {
    count.load(Relaxed) as f64
}

pub(super) fn process(status: &Status, now_ns: i64) -> Vec<Family> {
    use MetricType::{Counter, Gauge};
    let flag = |flag: &AtomicBool| f64::from(u8::from(flag.load(Relaxed)));
    let reasons = Reason::ALL.map(|reason| {
        let labels = vec![("reason", reason.as_str().to_owned())];
        (labels, count(&status.dead_letters[reason as usize]))
    });
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    vec![
        Family { name: "build", help: "Always 1", kind: Gauge, samples: vec![(version, 1.0)] },
        one("ready", "1 once recovered and connected", Gauge, flag(&status.ready)),
        one("recovering", "1 while the log is replayed", Gauge, flag(&status.recovering)),
        one("log_safe", "1 while the log can be written", Gauge, flag(&status.log_safe)),
        one("uptime_seconds", "Since start", Gauge, (now_ns - status.started_ns) as f64 / 1e9),
        one("log_messages", "Messages made durable", Counter, count(&status.log_messages_total)),
        one("log_bytes", "Bytes made durable", Counter, count(&status.log_bytes_total)),
        one("log_commits", "Group commits", Counter, count(&status.log_commits_total)),
        one(
            "log_commit_failures",
            "Group commits that failed",
            Counter,
            count(&status.log_commit_failures_total),
        ),
        one("recovered_messages", "Replayed at start", Counter, count(&status.recovered_messages_total)),
        one("rows", "Rows decoded", Counter, count(&status.rows_total)),
        one("access_refused", "Requests without a good token", Counter, count(&status.access_refused_total)),
        one("points_dropped", "Chart points not shown", Counter, count(&status.points_dropped_total)),
        one(
            "telemetry_exported",
            "Alerts and delivery attempts whose spans the collector took",
            Counter,
            count(&status.telemetry.exported_total),
        ),
        one("telemetry_dropped", "Those that it missed", Counter, count(&status.telemetry.dropped_total)),
        one(
            "telemetry_failures",
            "Requests that the collector did not take",
            Counter,
            count(&status.telemetry.failures_total),
        ),
        Family {
            name: "dead_letters",
            help: "Inputs set aside, by reason",
            kind: Counter,
            samples: reasons.into(),
        },
        one(
            "dead_letters_refused",
            "Letters that their topic refused for good",
            Counter,
            count(&status.dead_letters_refused_total),
        ),
    ]
}

pub(super) fn snapshots(status: &SnapshotStatus) -> Vec<Family> {
    use MetricType::{Counter, Gauge};
    vec![
        one("snapshots", "States and ledgers saved", Counter, count(&status.written_total)),
        one("snapshot_bytes", "Bytes of them", Counter, count(&status.bytes_total)),
        one("snapshot_failures", "Saves the disk refused", Counter, count(&status.failures_total)),
        one(
            "snapshot_pause_seconds_max",
            "Longest time a shard was held up by a copy",
            Gauge,
            count(&status.pause_ns_max) / 1e9,
        ),
        one(
            "snapshot_pause_seconds_last",
            "The same, the last time",
            Gauge,
            count(&status.pause_ns_last) / 1e9,
        ),
        one(
            "snapshot_round_timestamp_seconds",
            "When a round of saves last ended without a failure",
            Gauge,
            status.round.load(Relaxed) as f64 / 1e9,
        ),
    ]
}
