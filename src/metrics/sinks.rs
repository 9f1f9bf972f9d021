//! Families of the sinks.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::Family;
use crate::status::Status;

pub(super) fn families(status: &Status) -> Vec<Family> {
    use MetricType::{Counter, Gauge};
    let family = |name, help, kind, read: fn(&crate::status::SinkStatus) -> f64| Family {
        name,
        help,
        kind,
        samples: status.sinks.iter().map(|s| (vec![("sink", s.name.clone())], read(s))).collect(),
    };
    vec![
        family("sink_delivered", "Messages answered by 2xx", Counter, |s| {
            s.delivered_total.load(Relaxed) as f64
        }),
        family("sink_attempts_failed", "Attempts not answered by 2xx", Counter, |s| {
            s.attempts_failed_total.load(Relaxed) as f64
        }),
        family("sink_queued", "Waiting in the outbox", Gauge, |s| s.queued.load(Relaxed) as f64),
        family("sink_silenced", "Held back by silences", Gauge, |s| s.silenced.load(Relaxed) as f64),
        family("sink_failed", "Deliveries given up since the start", Counter, |s| {
            s.failed_total.load(Relaxed) as f64
        }),
        // Not sink_failed: in OpenMetrics the counter has that name.
        family("sink_given_up", "Deliveries given up that can be replayed", Gauge, |s| {
            s.failed.load(Relaxed) as f64
        }),
        family("sink_circuit_open", "1 while a receiver that fails is only probed", Gauge, |s| {
            f64::from(u8::from(s.circuit_open.load(Relaxed)))
        }),
        family("sink_disabled", "1 after 410 Gone", Gauge, |s| f64::from(u8::from(s.disabled.load(Relaxed)))),
        family("sink_last_success_timestamp_seconds", "Last 2xx; 0 before the first", Gauge, |s| {
            s.last_success.load(Relaxed) as f64 / 1e9
        }),
    ]
}
