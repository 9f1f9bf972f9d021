//! The text of `/metrics`, built from [`Status`] and [`Latency`] at each scrape.
//!
//! Names follow Prometheus' conventions: prefix `eddy_`, base units, `_total` for counters. Streams,
//! sources, sinks and stages are labels; keys never are, since there can be a million of them.

mod device;
mod models;
mod otlp;
mod process;
mod sinks;
mod sources;
mod streams;
mod transactions;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

pub use otlp::collect;

use crate::config::plan::Plan;
use crate::latency::{Latency, Stage, StageBuckets};
use crate::status::{PartitionStatus, Status};
use crate::types::StreamId;

/// What a scraper asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`
    OpenMetrics,
}

impl Format {
    /// From the `Accept` header: OpenMetrics only for who names it.
    pub fn negotiate(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Upper bounds of the stage histogram, ns: 1 µs to 5 min.
const BOUNDS_NS: [u64; 26] = {
    const US: u64 = 1_000;
    const MS: u64 = 1_000 * US;
    const S: u64 = 1_000 * MS;
    [
        US,
        5 * US / 2,
        5 * US,
        10 * US,
        25 * US,
        50 * US,
        100 * US,
        250 * US,
        500 * US,
        MS,
        5 * MS / 2,
        5 * MS,
        10 * MS,
        25 * MS,
        50 * MS,
        100 * MS,
        250 * MS,
        500 * MS,
        S,
        5 * S / 2,
        5 * S,
        10 * S,
        30 * S,
        60 * S,
        120 * S,
        300 * S,
    ]
};

const STAGE_NAME: &str = "stage_latency_seconds";
const STAGE_HELP: &str = "Time one event spent in a stage of its way";

pub fn render(plan: &Plan, status: &Status, latency: &Latency, now_ns: i64, format: Format) -> String {
    let mut registry = Registry::with_prefix("eddy");
    registry.register_collector(Box::new(Scrape::take(plan, status, latency, now_ns)));
    let mut out = String::new();
    // Writing into a `String` cannot fail, and no metric here has an exemplar that could.
    let _ = text::encode(&mut out, &registry);
    match format {
        Format::OpenMetrics => out,
        Format::Prometheus => to_prometheus(&out),
    }
}

/// The older format wants a counter's full name, `_total` included, in `HELP` and `TYPE`.
fn to_prometheus(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut out = String::with_capacity(open_metrics.len() + 32 * counters.len());
    for line in open_metrics.lines().filter(|&line| line != "# EOF" && !line.starts_with("# UNIT ")) {
        let name = line.strip_prefix("# ").and_then(|rest| rest.split(' ').nth(1));
        match name {
            Some(name) if counters.contains(&name) => {
                out.push_str(&line.replacen(name, &format!("{name}_total"), 1))
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// One family: name without prefix and `_total`, help, and a value for each label set.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, f64)>,
}

type Labels = Vec<(&'static str, String)>;

/// Everything of one scrape, read at once.
#[derive(Debug)]
struct Scrape {
    families: Vec<Family>,
    stages: Vec<(&'static str, StageBuckets)>,
}

impl Scrape {
    fn take(plan: &Plan, status: &Status, latency: &Latency, now_ns: i64) -> Self {
        let mut families = process::process(status, now_ns);
        families.extend(process::snapshots(&status.snapshots));
        families.extend(sources::families(status));
        families.extend(streams(plan, status));
        families.extend(models::families(plan, status));
        families.extend(sinks::families(status));
        families.extend(device::families());
        let stages = Stage::ALL.map(|stage| (stage.as_str(), latency.buckets(stage, &BOUNDS_NS)));
        Scrape { families, stages: stages.into() }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for family in &self.families {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.samples {
                // A family of no labels would be written with empty braces.
                if labels.is_empty() {
                    encode(family.kind, *value, &mut metric)?;
                } else {
                    encode(family.kind, *value, &mut metric.encode_family(labels)?)?;
                }
            }
        }
        let mut metric = encoder.encode_descriptor(STAGE_NAME, STAGE_HELP, None, MetricType::Histogram)?;
        for (stage, buckets) in &self.stages {
            let labels = vec![("stage", (*stage).to_owned())];
            let upper = BOUNDS_NS.iter().map(|&ns| ns as f64 / 1e9).chain([f64::INFINITY]);
            let counts: Vec<(f64, u64)> = upper.zip(buckets.counts.iter().copied()).collect();
            let mut sample = metric.encode_family(&labels)?;
            sample.encode_histogram::<Labels>(buckets.sum_ns / 1e9, buckets.count, &counts, None)?;
        }
        Ok(())
    }
}

fn encode(kind: MetricType, value: f64, sample: &mut MetricEncoder) -> fmt::Result {
    match kind {
        MetricType::Counter => sample.encode_counter::<Labels, u64, f64>(&(value as u64), None),
        _ => sample.encode_gauge(&value),
    }
}

fn one(name: &'static str, help: &'static str, kind: MetricType, value: f64) -> Family {
    Family { name, help, kind, samples: vec![(Labels::new(), value)] }
}

fn streams(plan: &Plan, status: &Status) -> Vec<Family> {
    use MetricType::{Counter, Gauge};
    let family = |name, help, kind, read: fn(&PartitionStatus) -> u64| Family {
        name,
        help,
        kind,
        samples: (0..plan.streams.len())
            .map(|i| {
                let partitions = status.stream(StreamId(i as u16));
                let total: u64 = partitions.iter().map(read).sum();
                (vec![("stream", plan.streams[i].name.clone())], total as f64)
            })
            .collect(),
    };
    let mut families = vec![
        family(
            "stream_events",
            "Events taken in, duplicates among them",
            Counter,
            PartitionStatus::taken_total,
        ),
        family("stream_duplicates", "Events redelivered", Counter, |p| p.duplicates_total.load(Relaxed)),
        family("stream_late", "Events too late", Counter, |p| p.late_total.load(Relaxed)),
        family("stream_reopening", "Late events that opened their windows again", Counter, |p| {
            p.reopening_total.load(Relaxed)
        }),
        family("stream_windows_again", "Verdicts given anew because of late events", Counter, |p| {
            p.windows_again_total.load(Relaxed)
        }),
        family("stream_windows_provisional", "Verdicts on arrival, before the final ones", Counter, |p| {
            p.windows_provisional_total.load(Relaxed)
        }),
        family("stream_windows", "Windows with a verdict", Counter, |p| p.windows_total.load(Relaxed)),
        family("stream_windows_unscored", "Windows before the first model", Counter, |p| {
            p.windows_unscored_total.load(Relaxed)
        }),
        family("stream_windows_unsure", "Verdicts on too little data", Counter, |p| {
            p.windows_unsure_total.load(Relaxed)
        }),
        family("stream_windows_anomalous", "Windows below the threshold", Counter, |p| {
            p.windows_anomalous_total.load(Relaxed)
        }),
        family("stream_windows_held_back", "Windows below it without a reason to tell", Counter, |p| {
            p.windows_held_back_total.load(Relaxed)
        }),
        family("stream_alerts_open", "Alerts firing", Gauge, |p| p.alerts_open.load(Relaxed)),
        family("stream_alerts_opened_day", "Alerts opened in the last 24 hours", Gauge, |p| {
            p.alerts_opened_day.load(Relaxed)
        }),
        family("stream_keys_silent", "Keys that sent regularly and are silent", Gauge, |p| {
            p.keys_silent.load(Relaxed)
        }),
        family("stream_keys", "Keys seen", Gauge, |p| p.keys.load(Relaxed)),
        family("stream_keys_warm", "Keys scored", Gauge, |p| p.keys_warm.load(Relaxed)),
    ];
    families.extend(streams::families(plan, status));
    families.extend(transactions::families(plan, status));
    families
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
