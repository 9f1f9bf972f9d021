//! The same figures as `/metrics` has, as OTLP sends them: the same names, labels as attributes.

use prometheus_client::metrics::MetricType;

use super::{BOUNDS_NS, Family, STAGE_HELP, STAGE_NAME, Scrape};
use crate::config::plan::Plan;
use crate::latency::{Latency, StageBuckets};
use crate::status::Status;
use crate::telemetry::proto::{
    CUMULATIVE, Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, Number, NumberPoint, Sum,
};

/// From when to when a figure counts, ns.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    now: u64,
}

/// Everything of one scrape. Counters and histograms count from the start of the process.
pub fn collect(plan: &Plan, status: &Status, latency: &Latency, now_ns: i64) -> Vec<Metric> {
    let scrape = Scrape::take(plan, status, latency, now_ns);
    let span = Span { start: status.started_ns as u64, now: now_ns as u64 };
    let stages = histogram(&scrape.stages, span);
    let with_samples = scrape.families.into_iter().filter(|family| !family.samples.is_empty());
    with_samples.map(|family| metric(family, span)).chain([stages]).collect()
}

fn metric(family: Family, span: Span) -> Metric {
    let is_counter = matches!(family.kind, MetricType::Counter);
    // Of one kind for good: a series may not change its type. Seconds are the only counters with fractions.
    let is_whole = is_counter && unit(family.name) != "s";
    let point = |(labels, value): (super::Labels, f64)| NumberPoint {
        start_time_unix_nano: if is_counter { span.start } else { 0 },
        time_unix_nano: span.now,
        value: Some(if is_whole { Number::Integer(value as i64) } else { Number::Double(value) }),
        attributes: labels.into_iter().map(|(name, value)| KeyValue::text(name, value)).collect(),
    };
    let data_points = family.samples.into_iter().map(point).collect();
    let (end, data) = if is_counter {
        ("_total", Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true }))
    } else {
        ("", Data::Gauge(Gauge { data_points }))
    };
    Metric {
        name: format!("eddy_{}{end}", family.name),
        description: family.help.to_owned(),
        unit: unit(family.name).to_owned(),
        data: Some(data),
    }
}

/// By UCUM, of the unit that the name has.
fn unit(name: &str) -> &'static str {
    let has = |unit: &str| name.split('_').any(|part| part == unit);
    match () {
        () if has("seconds") => "s",
        () if has("bytes") => "By",
        () => "",
    }
}

fn histogram(stages: &[(&'static str, StageBuckets)], span: Span) -> Metric {
    let point = |(stage, buckets): &(&'static str, StageBuckets)| HistogramPoint {
        start_time_unix_nano: span.start,
        time_unix_nano: span.now,
        count: buckets.count,
        sum: Some(buckets.sum_ns / 1e9),
        bucket_counts: buckets.counts.clone(),
        explicit_bounds: BOUNDS_NS.iter().map(|&ns| ns as f64 / 1e9).collect(),
        attributes: vec![KeyValue::text("stage", *stage)],
    };
    let data_points = stages.iter().map(point).collect();
    Metric {
        name: format!("eddy_{STAGE_NAME}"),
        description: STAGE_HELP.to_owned(),
        unit: "s".to_owned(),
        data: Some(Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_seconds_keep_their_fractions() {
        let numbers = |name: &'static str, value: f64| {
            let family = Family { name, help: "", kind: MetricType::Counter, samples: vec![(vec![], value)] };
            match metric(family, Span { start: 1, now: 2 }).data {
                Some(Data::Sum(sum)) => sum.data_points.into_iter().map(|point| point.value).collect(),
                _ => Vec::new(),
            }
        };
        assert_eq!(numbers("device_seconds", 0.83), [Some(Number::Double(0.83))]);
        assert_eq!(numbers("events", 7.0), [Some(Number::Integer(7))]);
    }
}
