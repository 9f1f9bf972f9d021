//! Families of which not every stream has a sample: one of what it does not have would be a lie.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::Family;
use crate::config::plan::{ModelPlan, Plan, StreamPlan};
use crate::status::Status;
use crate::types::StreamId;

pub fn families(plan: &Plan, status: &Status) -> Vec<Family> {
    let family = |name, help, kind, read: &dyn Fn(StreamId, &StreamPlan) -> Option<f64>| Family {
        name,
        help,
        kind,
        samples: plan
            .streams
            .iter()
            .enumerate()
            .filter_map(|(id, stream)| {
                Some((vec![("stream", stream.name.clone())], read(StreamId(id as u16), stream)?))
            })
            .collect(),
    };
    let of_transactions = |stream: &StreamPlan| matches!(stream.model, ModelPlan::Transactions { .. });
    vec![
        family(
            "stream_alert_budget_per_day",
            "Alerts a day the stream may open",
            MetricType::Gauge,
            &|_, stream| stream.alarm.budget_per_day(),
        ),
        family(
            "stream_watermark_timestamp_seconds",
            "Newest watermark, event time",
            MetricType::Gauge,
            &|id, _| newest(status, id).map(|ns| ns as f64 / 1e9),
        ),
        family(
            "stream_outcomes",
            "Messages that said what a transaction turned out to be",
            MetricType::Counter,
            &|id, stream| {
                let told = || status.stream(id).iter().map(|p| p.outcomes_total.load(Relaxed)).sum::<u64>();
                of_transactions(stream).then(|| told() as f64)
            },
        ),
        family(
            "stream_second_keys_at_risk",
            "Second keys with frauds, as written down",
            MetricType::Gauge,
            &|id, stream| {
                of_transactions(stream).then(|| status.second_keys_at_risk(id).load(Relaxed) as f64)
            },
        ),
    ]
}

/// 1970 before the first event would be a lie.
fn newest(status: &Status, stream: StreamId) -> Option<i64> {
    let partitions = status.stream(stream);
    partitions.iter().map(|p| p.watermark.load(Relaxed)).max().filter(|&ns| ns != i64::MIN)
}
