//! What came in, by source.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::{Rates, some_time};
use crate::config::plan::{Plan, SourceKind};
use crate::dashboard::snapshot::{KafkaView, SourceView};
use crate::status::{KafkaStatus, SourceStatus, Status};

pub(super) fn sources(plan: &Plan, status: &Status, rates: &Rates<'_>) -> Vec<SourceView> {
    let view = |i: usize, source: &SourceStatus| {
        let last_arrival_ns = some_time(source.last_arrival.load(Relaxed));
        let messages_total = source.messages_total.load(Relaxed);
        let last_refused =
            source.last_refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        SourceView {
            name: source.name.clone(),
            kind: match plan.sources[i].kind {
                SourceKind::Mqtt(_) => "mqtt",
                SourceKind::Kafka(_) => "kafka",
                SourceKind::Http(_) => "http",
                SourceKind::Replay(_) => "replay",
            },
            connected: source.connected.load(Acquire),
            messages_total,
            acked_total: source.acked_total.load(Relaxed),
            refused_total: source.refused_total.load(Relaxed),
            last_refused_age_ns: last_refused.as_ref().map(|(at, _)| rates.time_ns - at),
            last_refused: last_refused.map(|(_, why)| why),
            retained_dropped_total: source.retained_dropped_total.load(Relaxed),
            reconnects_total: source.reconnects_total.load(Relaxed),
            kafka: matches!(plan.sources[i].kind, SourceKind::Kafka(_)).then(|| of_kafka(&source.kafka)),
            messages_per_s: rates.per_s(messages_total, |s| s.sources[i].messages_total),
            last_arrival_ns,
            last_arrival_age_ns: last_arrival_ns.map(|ns| rates.time_ns - ns),
            rival: source.rival.lately(),
            last_error: source.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone(),
        }
    };
    status.sources.iter().enumerate().map(|(i, source)| view(i, source)).collect()
}

fn of_kafka(status: &KafkaStatus) -> KafkaView {
    KafkaView {
        lag: status.lag(),
        partitions: status.partitions.load(Relaxed),
        partitions_waiting: status.partitions_waiting.load(Relaxed),
        redelivered_total: status.redelivered_total.load(Relaxed),
        tombstones_total: status.tombstones_total.load(Relaxed),
        lost_total: status.lost_total.load(Relaxed),
        registry_error: status.registry_error(),
        words_error: status.words_error(),
        handovers_total: status.handovers_total.load(Relaxed),
        handover_ns_last: status.handover_ns_last.load(Relaxed),
        members: status.members.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone(),
    }
}
