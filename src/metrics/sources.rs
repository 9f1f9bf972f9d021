//! Families by source.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::Family;
use crate::status::{SourceStatus, Status};

pub(super) fn families(status: &Status) -> Vec<Family> {
    use MetricType::{Counter, Gauge};
    let family = |name, help, kind, read: fn(&SourceStatus) -> f64| Family {
        name,
        help,
        kind,
        samples: status.sources.iter().map(|s| (vec![("source", s.name.clone())], read(s))).collect(),
    };
    vec![
        family("source_connected", "1 while connected", Gauge, |s| {
            f64::from(u8::from(s.connected.load(Relaxed)))
        }),
        family("source_messages", "Messages received", Counter, |s| s.messages_total.load(Relaxed) as f64),
        family("source_acked", "Messages acknowledged", Counter, |s| s.acked_total.load(Relaxed) as f64),
        family("source_refused", "Requests refused whole", Counter, |s| s.refused_total.load(Relaxed) as f64),
        family("source_retained_dropped", "Retained messages not taken", Counter, |s| {
            s.retained_dropped_total.load(Relaxed) as f64
        }),
        family("source_reconnects", "Sessions after the first", Counter, |s| {
            s.reconnects_total.load(Relaxed) as f64
        }),
        family("source_lag", "Messages of Kafka not in the log yet; -1 while not known", Gauge, |s| {
            s.kafka.lag().map_or(-1.0, |lag| lag as f64)
        }),
        family("source_partitions", "Partitions of Kafka assigned", Gauge, |s| {
            s.kafka.partitions.load(Relaxed) as f64
        }),
        family("source_partitions_waiting", "Of those, waiting for a schema", Gauge, |s| {
            s.kafka.partitions_waiting.load(Relaxed) as f64
        }),
        family("source_redelivered", "Messages of Kafka that came again", Counter, |s| {
            s.kafka.redelivered_total.load(Relaxed) as f64
        }),
        family("source_tombstones", "Messages of Kafka without a value", Counter, |s| {
            s.kafka.tombstones_total.load(Relaxed) as f64
        }),
        family("source_lost", "Messages of Kafka deleted unread", Counter, |s| {
            s.kafka.lost_total.load(Relaxed) as f64
        }),
        family("source_registry_waits", "1 while messages wait for their schemas", Gauge, |s| {
            f64::from(u8::from(s.kafka.registry_error().is_some()))
        }),
        family("source_handovers", "Partitions of Kafka taken over", Counter, |s| {
            s.kafka.handovers_total.load(Relaxed) as f64
        }),
        family("source_handover_seconds", "Until the last ones were restored", Gauge, |s| {
            s.kafka.handover_ns_last.load(Relaxed) as f64 / 1e9
        }),
        family("source_last_arrival_timestamp_seconds", "Newest message; 0 before the first", Gauge, |s| {
            s.last_arrival.load(Relaxed) as f64 / 1e9
        }),
    ]
}
