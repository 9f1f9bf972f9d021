//! Everything the page says at one moment. API, page and live updates show this one structure, so that
//! no number can differ between them; each carries the `seq` of the snapshot it came from.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::alerts::AlertEntry;
use super::problems::{self, Problem};
use super::tiles::Tiles;
use crate::config::plan::{Plan, SinkKind, SourceKind};
use crate::latency::{Latency, Stage, StageSummary};
use crate::status::{PartitionStatus, SinkStatus, SourceStatus, Status};
use crate::types::{Reason, StreamId};

/// What the first glance should say of the whole box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Replaying the log; nothing is lost, nothing new is scored yet.
    Recovering,
    /// Something an operator must look at: see `problems`.
    Degraded,
    /// No message ever came.
    Empty,
    /// A stream still learns what is normal.
    Warming,
    Ok,
}

/// Times are ns since the Unix epoch, durations ns.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    pub seq: u64,
    pub time_ns: i64,
    /// Of the box's zone, for clocks on the page.
    pub utc_offset_s: i32,
    pub version: &'static str,
    pub deployment: String,
    pub started_ns: i64,
    pub uptime_ns: i64,
    pub state: State,
    pub ready: bool,
    pub recovering: bool,
    pub log_safe: bool,
    pub problems: Vec<Problem>,
    pub tiles: Tiles,
    pub totals: Totals,
    /// Inputs set aside, by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    pub sources: Vec<SourceView>,
    pub streams: Vec<StreamView>,
    pub stages: Vec<StageView>,
    pub sinks: Vec<SinkView>,
    /// Served by `/api/v1/alerts?seq=`.
    #[serde(skip)]
    pub alerts: Alerts,
}

/// What the page lists: every alert once, open ones first (earliest onset first), then the newest.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    pub rows: Vec<AlertEntry>,
    /// How many of `rows` are open; they come first.
    pub open: usize,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    pub log_messages_total: u64,
    pub log_bytes_total: u64,
    pub log_commits_total: u64,
    pub log_commit_failures_total: u64,
    pub recovered_messages_total: u64,
    pub rows_total: u64,
    pub points_dropped_total: u64,
    pub dead_letters_total: u64,
    pub events_total: u64,
    pub windows_total: u64,
    pub alerts_open: u64,
    pub keys: u64,
    pub messages_per_s: Option<f64>,
    pub events_per_s: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SourceView {
    pub name: String,
    pub kind: &'static str,
    pub connected: bool,
    pub messages_total: u64,
    pub acked_total: u64,
    pub retained_dropped_total: u64,
    pub reconnects_total: u64,
    pub messages_per_s: Option<f64>,
    pub last_arrival_ns: Option<i64>,
    pub last_arrival_age_ns: Option<i64>,
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct StreamView {
    pub name: String,
    pub columns: Vec<ColumnView>,
    pub window_size_ns: u64,
    pub window_every_ns: u64,
    /// p-value below which a window is anomalous.
    pub p_value: f64,
    pub events_total: u64,
    pub events_per_s: Option<f64>,
    pub duplicates_total: u64,
    pub late_total: u64,
    pub future_total: u64,
    pub windows_total: u64,
    pub windows_unscored_total: u64,
    pub windows_unsure_total: u64,
    pub windows_anomalous_total: u64,
    pub alerts_open: u64,
    pub keys: u64,
    pub keys_warm: u64,
    /// Mean over the partitions that have a key, thousandths; 1000 = scoring.
    pub warm_milli: u64,
    /// At the speed of the last seconds.
    pub warm_eta_ns: Option<i64>,
    pub watermark_ns: Option<i64>,
    /// Wall clock minus watermark: negative while event time runs ahead.
    pub watermark_lag_ns: Option<i64>,
    /// Sum of the partitions' running hashes over their verdicts.
    pub digest: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct ColumnView {
    pub name: String,
    pub unit: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct StageView {
    pub stage: &'static str,
    pub count: u64,
    /// These are `None` before the first event.
    pub latency_ns_p50: Option<u64>,
    pub latency_ns_p90: Option<u64>,
    pub latency_ns_p99: Option<u64>,
    pub latency_ns_max: Option<u64>,
    pub latency_ns_sum: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct SinkView {
    pub name: String,
    pub kind: &'static str,
    pub state: SinkState,
    pub delivered_total: u64,
    pub attempts_failed_total: u64,
    pub queued: u64,
    pub failed_total: u64,
    pub last_success_ns: Option<i64>,
    pub last_success_age_ns: Option<i64>,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SinkState {
    /// Nothing sent yet.
    Idle,
    Ok,
    /// The last attempt failed and alerts wait.
    Retrying,
    /// The receiver said 410 Gone.
    Disabled,
}

/// One stream in one partition, for `/api/v1/partitions`.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionView {
    pub stream: String,
    pub partition: usize,
    pub events_total: u64,
    pub duplicates_total: u64,
    pub late_total: u64,
    pub future_total: u64,
    pub windows_total: u64,
    pub windows_unscored_total: u64,
    pub windows_unsure_total: u64,
    pub windows_anomalous_total: u64,
    pub alerts_open: u64,
    pub keys: u64,
    pub keys_warm: u64,
    pub warm_milli: u64,
    pub watermark_ns: Option<i64>,
    /// 16 hexadecimal digits: a JSON number would lose some.
    pub digest: String,
}

/// What a snapshot is taken of.
pub struct Subject<'a> {
    pub plan: &'a Plan,
    pub status: &'a Status,
    pub latency: &'a Latency,
}

impl Snapshot {
    /// Reads everything once. `before` is an earlier snapshot
    /// that rates are computed against.
    pub fn take(
        subject: &Subject<'_>,
        alerts: Alerts,
        seq: u64,
        time_ns: i64,
        utc_offset_s: i32,
        before: Option<&Snapshot>,
    ) -> Self {
        let Subject { plan, status, latency } = *subject;
        let rates = Rates { before, time_ns };
        let streams = streams(plan, status, &rates);
        let sources = sources(plan, status, &rates);
        let sinks: Vec<SinkView> =
            plan.sinks.iter().zip(&status.sinks).map(|(p, s)| sink(p, s, time_ns)).collect();
        let dead_letters =
            Reason::ALL.map(|r| (r.as_str(), status.dead_letters[r as usize].load(Relaxed))).into();
        let mut snapshot = Snapshot {
            seq,
            time_ns,
            utc_offset_s,
            version: env!("CARGO_PKG_VERSION"),
            deployment: plan.deployment.clone(),
            started_ns: status.started_ns,
            uptime_ns: time_ns - status.started_ns,
            state: State::Ok,
            ready: status.ready.load(Relaxed),
            recovering: status.recovering.load(Relaxed),
            log_safe: status.log_safe.load(Relaxed),
            problems: Vec::new(),
            tiles: Tiles::default(),
            totals: totals(status, &dead_letters, &streams, &rates),
            dead_letters,
            sources,
            streams,
            stages: stages(latency),
            sinks,
            alerts,
        };
        snapshot.problems = problems::find(&snapshot, plan);
        snapshot.state = snapshot.judge();
        snapshot.tiles = Tiles::of(&snapshot);
        snapshot
    }

    fn judge(&self) -> State {
        let warming = |s: &StreamView| s.keys > 0 && s.warm_milli < 1_000;
        match () {
            () if self.recovering => State::Recovering,
            () if !self.problems.is_empty() => State::Degraded,
            () if self.totals.log_messages_total == 0 && self.totals.recovered_messages_total == 0 => {
                State::Empty
            }
            () if self.streams.iter().any(warming) => State::Warming,
            () => State::Ok,
        }
    }

    /// The same without what only the passing of time changes: equal texts mean that nothing happened.
    pub fn timeless(&self) -> Snapshot {
        let mut still = self.clone();
        (still.seq, still.time_ns, still.uptime_ns) = (0, 0, 0);
        still.streams.iter_mut().for_each(|stream| stream.watermark_lag_ns = None);
        still.sources.iter_mut().for_each(|source| source.last_arrival_age_ns = None);
        still.sinks.iter_mut().for_each(|sink| sink.last_success_age_ns = None);
        still
    }
}

/// Change a second since an earlier snapshot.
struct Rates<'a> {
    before: Option<&'a Snapshot>,
    time_ns: i64,
}

impl Rates<'_> {
    /// `None` without an earlier snapshot. A counter that went back was reset: no rate either.
    fn per_s(&self, now: u64, read: impl Fn(&Snapshot) -> u64) -> Option<f64> {
        let before = self.before?;
        let passed_s = (self.time_ns - before.time_ns) as f64 / 1e9;
        let change = now.checked_sub(read(before))?;
        (passed_s > 0.0).then(|| change as f64 / passed_s)
    }
}

fn totals(status: &Status, dead: &BTreeMap<&str, u64>, streams: &[StreamView], rates: &Rates<'_>) -> Totals {
    let sum = |read: fn(&StreamView) -> u64| streams.iter().map(read).sum::<u64>();
    let log_messages_total = status.log_messages_total.load(Relaxed);
    let events_total = sum(|s| s.events_total);
    Totals {
        log_messages_total,
        log_bytes_total: status.log_bytes_total.load(Relaxed),
        log_commits_total: status.log_commits_total.load(Relaxed),
        log_commit_failures_total: status.log_commit_failures_total.load(Relaxed),
        recovered_messages_total: status.recovered_messages_total.load(Relaxed),
        rows_total: status.rows_total.load(Relaxed),
        points_dropped_total: status.points_dropped_total.load(Relaxed),
        dead_letters_total: dead.values().sum(),
        events_total,
        windows_total: sum(|s| s.windows_total),
        alerts_open: sum(|s| s.alerts_open),
        keys: sum(|s| s.keys),
        messages_per_s: rates.per_s(log_messages_total, |s| s.totals.log_messages_total),
        events_per_s: rates.per_s(events_total, |s| s.totals.events_total),
    }
}

fn sources(plan: &Plan, status: &Status, rates: &Rates<'_>) -> Vec<SourceView> {
    let view = |i: usize, source: &SourceStatus| {
        let last_arrival_ns = some_time(source.last_arrival.load(Relaxed));
        let messages_total = source.messages_total.load(Relaxed);
        SourceView {
            name: source.name.clone(),
            kind: match plan.sources[i].kind {
                SourceKind::Mqtt(_) => "mqtt",
                SourceKind::Http(_) => "http",
                SourceKind::Replay(_) => "replay",
            },
            connected: source.connected.load(Relaxed),
            messages_total,
            acked_total: source.acked_total.load(Relaxed),
            retained_dropped_total: source.retained_dropped_total.load(Relaxed),
            reconnects_total: source.reconnects_total.load(Relaxed),
            messages_per_s: rates.per_s(messages_total, |s| s.sources[i].messages_total),
            last_arrival_ns,
            last_arrival_age_ns: last_arrival_ns.map(|ns| rates.time_ns - ns),
            last_error: source.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone(),
        }
    };
    status.sources.iter().enumerate().map(|(i, source)| view(i, source)).collect()
}

fn streams(plan: &Plan, status: &Status, rates: &Rates<'_>) -> Vec<StreamView> {
    let view = |i: usize| {
        let stream = &plan.streams[i];
        let partitions = status.stream(StreamId(i as u16));
        let sum = |read: fn(&PartitionStatus) -> u64| partitions.iter().map(read).sum::<u64>();
        let watermark_ns = partitions.iter().filter_map(watermark).max();
        let events_total = sum(|p| p.events_total.load(Relaxed));
        let warm_milli = warm_milli(partitions);
        StreamView {
            name: stream.name.clone(),
            columns: stream
                .columns
                .iter()
                .map(|c| ColumnView { name: c.name.clone(), unit: c.unit.clone() })
                .collect(),
            window_size_ns: stream.window.size.as_nanos() as u64,
            window_every_ns: stream.window.every.as_nanos() as u64,
            p_value: stream.p_value,
            events_total,
            events_per_s: rates.per_s(events_total, |s| s.streams[i].events_total),
            duplicates_total: sum(|p| p.duplicates_total.load(Relaxed)),
            late_total: sum(|p| p.late_total.load(Relaxed)),
            future_total: sum(|p| p.future_total.load(Relaxed)),
            windows_total: sum(|p| p.windows_total.load(Relaxed)),
            windows_unscored_total: sum(|p| p.windows_unscored_total.load(Relaxed)),
            windows_unsure_total: sum(|p| p.windows_unsure_total.load(Relaxed)),
            windows_anomalous_total: sum(|p| p.windows_anomalous_total.load(Relaxed)),
            alerts_open: sum(|p| p.alerts_open.load(Relaxed)),
            keys: sum(|p| p.keys.load(Relaxed)),
            keys_warm: sum(|p| p.keys_warm.load(Relaxed)),
            warm_milli,
            warm_eta_ns: warm_eta_ns(warm_milli, rates, i),
            watermark_ns,
            watermark_lag_ns: watermark_ns.map(|ns| rates.time_ns.saturating_sub(ns)),
            digest: hex(partitions.iter().fold(0, |d: u64, p| d.wrapping_add(p.digest.load(Relaxed)))),
        }
    };
    (0..plan.streams.len()).map(view).collect()
}

fn warm_milli(partitions: &[PartitionStatus]) -> u64 {
    let used = partitions.iter().filter(|p| p.keys.load(Relaxed) > 0);
    let (sum, count) = used.fold((0, 0), |(sum, n), p| (sum + p.warm_milli.load(Relaxed).min(1_000), n + 1));
    // Rounded down: 100 % is shown only when every partition scores.
    sum.checked_div(count).unwrap_or(0)
}

fn warm_eta_ns(warm_milli: u64, rates: &Rates<'_>, stream: usize) -> Option<i64> {
    let per_s = rates.per_s(warm_milli, |s| s.streams[stream].warm_milli)?;
    let left = 1_000 - warm_milli;
    (per_s > 0.0 && left > 0).then(|| (left as f64 / per_s * 1e9) as i64)
}

fn sink(plan: &crate::config::plan::SinkPlan, sink: &SinkStatus, time_ns: i64) -> SinkView {
    let last_error = sink.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    let (queued, delivered_total) = (sink.queued.load(Relaxed), sink.delivered_total.load(Relaxed));
    let last_success_ns = some_time(sink.last_success.load(Relaxed));
    SinkView {
        name: sink.name.clone(),
        kind: match plan.kind {
            SinkKind::Webhook(_) => "webhook",
            SinkKind::Stdout => "stdout",
        },
        state: match () {
            () if sink.disabled.load(Relaxed) => SinkState::Disabled,
            () if last_error.is_some() && queued > 0 => SinkState::Retrying,
            () if delivered_total == 0 => SinkState::Idle,
            () => SinkState::Ok,
        },
        delivered_total,
        attempts_failed_total: sink.attempts_failed_total.load(Relaxed),
        queued,
        failed_total: sink.failed_total.load(Relaxed),
        last_success_ns,
        last_success_age_ns: last_success_ns.map(|ns| time_ns - ns),
        last_error,
    }
}

fn stages(latency: &Latency) -> Vec<StageView> {
    Stage::ALL.map(|stage| stage_view(stage, latency.summary(stage))).into()
}

fn stage_view(stage: Stage, summary: StageSummary) -> StageView {
    let measured = |ns: u64| (summary.count > 0).then_some(ns);
    StageView {
        stage: stage.as_str(),
        count: summary.count,
        latency_ns_p50: measured(summary.latency_ns_p50),
        latency_ns_p90: measured(summary.latency_ns_p90),
        latency_ns_p99: measured(summary.latency_ns_p99),
        latency_ns_max: measured(summary.latency_ns_max),
        latency_ns_sum: summary.latency_ns_sum,
    }
}

/// Partitions that ever saw anything.
pub fn partitions(plan: &Plan, status: &Status) -> Vec<PartitionView> {
    let mut views = Vec::new();
    for (i, stream) in plan.streams.iter().enumerate() {
        for (partition, p) in status.stream(StreamId(i as u16)).iter().enumerate() {
            let seen = watermark(p).is_some()
                || [&p.events_total, &p.future_total, &p.late_total].iter().any(|n| n.load(Relaxed) > 0);
            if seen {
                views.push(partition_view(&stream.name, partition, p));
            }
        }
    }
    views
}

fn partition_view(stream: &str, partition: usize, p: &PartitionStatus) -> PartitionView {
    PartitionView {
        stream: stream.to_owned(),
        partition,
        events_total: p.events_total.load(Relaxed),
        duplicates_total: p.duplicates_total.load(Relaxed),
        late_total: p.late_total.load(Relaxed),
        future_total: p.future_total.load(Relaxed),
        windows_total: p.windows_total.load(Relaxed),
        windows_unscored_total: p.windows_unscored_total.load(Relaxed),
        windows_unsure_total: p.windows_unsure_total.load(Relaxed),
        windows_anomalous_total: p.windows_anomalous_total.load(Relaxed),
        alerts_open: p.alerts_open.load(Relaxed),
        keys: p.keys.load(Relaxed),
        keys_warm: p.keys_warm.load(Relaxed),
        warm_milli: p.warm_milli.load(Relaxed),
        watermark_ns: watermark(p),
        digest: hex(p.digest.load(Relaxed)),
    }
}

fn watermark(partition: &PartitionStatus) -> Option<i64> {
    Some(partition.watermark.load(Relaxed)).filter(|&ns| ns != i64::MIN)
}

fn some_time(ns: i64) -> Option<i64> {
    (ns != 0).then_some(ns)
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}
