//! Of streams of transactions alone: a sample of what a stream does not have would be a lie.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::Family;
use crate::config::plan::{ModelPlan, Plan, StreamPlan};
use crate::status::Status;
use crate::types::StreamId;

pub(super) fn families(plan: &Plan, status: &Status) -> Vec<Family> {
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
