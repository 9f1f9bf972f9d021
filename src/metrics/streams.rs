//! Of streams, what is no sum of counters: absent where there is nothing to say.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::metrics::MetricType;

use super::{Family, Labels};
use crate::config::plan::{ColumnPlan, Plan, StreamPlan};
use crate::status::{RowStatus, Status};
use crate::types::drift::Drift;
use crate::types::{SchemaChange, StreamId};

pub(super) fn families(plan: &Plan, status: &Status) -> Vec<Family> {
    let drifts: Vec<Drift> = (0..plan.streams.len()).map(|i| status.drift(StreamId(i as u16))).collect();
    let by_column = |name, help, read: fn(&Drift, usize) -> Option<f64>| Family {
        name,
        help,
        kind: MetricType::Gauge,
        samples: plan
            .streams
            .iter()
            .zip(&drifts)
            .flat_map(|(plan, drift)| columns(plan, drift, read))
            .collect(),
    };
    let low = |(stream, drift): (&StreamPlan, &Drift)| {
        Some((vec![("stream", stream.name.clone())], drift.low_share()?))
    };
    let of_rows = |name, help, read: fn(&RowStatus) -> &AtomicU64| Family {
        name,
        help,
        kind: MetricType::Counter,
        samples: (0..)
            .zip(&plan.streams)
            .map(|(i, plan)| {
                (vec![("stream", plan.name.clone())], read(status.rows(StreamId(i))).load(Relaxed) as f64)
            })
            .collect(),
    };
    vec![
        of_rows("stream_rows_ignored", "Rows of metrics that are no column", |rows| &rows.ignored_total),
        of_rows("stream_rows_before_2000", "Rows taken whose time lies before the year 2000", |rows| {
            &rows.before_2000_total
        }),
        absent(plan, status),
        feedback(plan, status),
        schema_events(plan, status),
        budgets(plan),
        watermarks(plan, status),
        by_column("stream_drift_sd", "Median shift of keys since the model was trained", Drift::shift_sd),
        by_column(
            "stream_drift_keys_ratio",
            "Share of keys that have moved by an sd that way",
            |drift, column| drift.shift_sd(column).map(|_| drift.moved(column)),
        ),
        Family {
            name: "stream_low_p_ratio",
            help: "Share of windows of calm keys with p below 0.1",
            kind: MetricType::Gauge,
            samples: plan.streams.iter().zip(&drifts).filter_map(low).collect(),
        },
    ]
}

fn columns(plan: &StreamPlan, drift: &Drift, read: fn(&Drift, usize) -> Option<f64>) -> Vec<(Labels, f64)> {
    let of = |column: usize| {
        let labels = vec![("stream", plan.name.clone()), ("column", plan.columns[column].name.clone())];
        Some((labels, read(drift, column)?))
    };
    (0..drift.columns().min(plan.columns.len())).filter_map(of).collect()
}

fn feedback(plan: &Plan, status: &Status) -> Family {
    let of = |(i, stream): (u16, &StreamPlan)| {
        (vec![("stream", stream.name.clone())], status.said.expected(StreamId(i)) as f64)
    };
    Family {
        name: "stream_feedback_in_force",
        help: "Alerts called expected by which their key is told less now",
        kind: MetricType::Gauge,
        samples: (0..).zip(&plan.streams).map(of).collect(),
    }
}

/// Only where a row holds all columns.
fn absent(plan: &Plan, status: &Status) -> Family {
    let of = |(i, stream): (u16, &StreamPlan)| {
        let rows = status.rows(StreamId(i));
        let column = |(column, plan): (usize, &ColumnPlan)| {
            let labels = vec![("stream", stream.name.clone()), ("column", plan.name.clone())];
            Some((labels, rows.absent_total(column)? as f64))
        };
        stream.columns.iter().enumerate().filter_map(column).collect::<Vec<_>>()
    };
    Family {
        name: "stream_column_absent",
        help: "Rows without a value of the column",
        kind: MetricType::Counter,
        samples: (0..).zip(&plan.streams).flat_map(of).collect(),
    }
}

/// Only of streams whose messages have schemas.
fn schema_events(plan: &Plan, status: &Status) -> Family {
    let of = |(id, stream): (u16, &StreamPlan)| {
        let (counts, name) = (&status.rows(StreamId(id)).schema_events, stream.name.clone());
        SchemaChange::ALL
            .iter()
            .zip(counts)
            .map(|(change, count)| {
                let labels = vec![("stream", name.clone()), ("change", change.as_str().to_owned())];
                (labels, count.load(Relaxed) as f64)
            })
            .collect::<Vec<_>>()
    };
    let registered = (0..).zip(&plan.streams).filter(|(_, stream)| stream.format.needs_registry());
    Family {
        name: "stream_schema_events",
        help: "Fields that a new schema has changed",
        kind: MetricType::Counter,
        samples: registered.flat_map(of).collect(),
    }
}

/// Only of streams that have one.
fn budgets(plan: &Plan) -> Family {
    Family {
        name: "stream_alert_budget_per_day",
        help: "Alerts a day the stream may open",
        kind: MetricType::Gauge,
        samples: plan
            .streams
            .iter()
            .filter_map(|s| Some((vec![("stream", s.name.clone())], s.alarm.budget_per_day()?)))
            .collect(),
    }
}

/// Only of streams that have one: 1970 would be a lie.
fn watermarks(plan: &Plan, status: &Status) -> Family {
    let newest = |i: usize| {
        let partitions = status.stream(StreamId(i as u16));
        partitions.iter().map(|p| p.watermark.load(Relaxed)).max().filter(|&ns| ns != i64::MIN)
    };
    let of = |(id, stream): (usize, &StreamPlan)| {
        Some((vec![("stream", stream.name.clone())], newest(id)? as f64 / 1e9))
    };
    Family {
        name: "stream_watermark_timestamp_seconds",
        help: "Newest watermark, event time",
        kind: MetricType::Gauge,
        samples: plan.streams.iter().enumerate().filter_map(of).collect(),
    }
}
