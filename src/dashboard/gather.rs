//! Takes a [`Snapshot`]: reads every atomic once, adds up partitions, computes rates.

mod partitions;
mod sources;
mod streams;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

pub use partitions::partitions;
use partitions::watermark;
use sources::sources;
use streams::streams;

use super::drift;
use super::problems::{self, ends};
use super::snapshot::{
    Alerts, FailingView, RateView, SinkState, SinkView, Snapshot, StageView, State, StreamView,
    TelemetryView, Totals, WaitingView,
};
use super::tiles::Tiles;
use crate::config::plan::Plan;
use crate::latency::{Latency, Stage, StageSummary};
use crate::status::{Failing, SinkStatus, Status, TelemetrySignal, TelemetryStatus};
use crate::types::Reason;

/// What a snapshot is taken of.
pub struct Subject<'a> {
    pub plan: &'a Plan,
    pub status: &'a Status,
    pub latency: &'a Latency,
}

impl Snapshot {
    /// Reads everything once; rates are against `before`.
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
            notes: Vec::new(),
            tiles: Tiles::default(),
            totals: totals(status, &dead_letters, &streams, &rates),
            dead_letters,
            sources,
            streams,
            stages: stages(latency),
            sinks,
            telemetry: plan.telemetry.as_ref().map(|_| telemetry(&status.telemetry)),
            alerts,
            partitions: partitions(plan, status),
        };
        snapshot.problems = [problems::find(&snapshot, plan), problems::missed(status, plan)].concat();
        let drifted = drift::notes(&snapshot.streams, &plan.streams);
        snapshot.notes = [
            problems::of_streams(&snapshot, plan),
            problems::refusals(&snapshot),
            ends::notes(&snapshot, plan),
            drifted,
        ]
        .concat();
        snapshot.state = snapshot.judge();
        Snapshot { tiles: Tiles::of(&snapshot), ..snapshot }
    }

    fn judge(&self) -> State {
        let warming = |s: &StreamView| s.keys > 0 && s.warm_milli < 1_000;
        match () {
            () if self.recovering => State::Recovering,
            () if !self.problems.is_empty() => State::Degraded,
            () if self.totals.log_messages_total + self.totals.events_total == 0 => State::Empty,
            () if self.streams.iter().any(warming) => State::Warming,
            () => State::Ok,
        }
    }
}

/// Change a second.
struct Rates<'a> {
    before: Option<&'a Snapshot>,
    time_ns: i64,
}

impl Rates<'_> {
    /// `None` without an earlier snapshot, and of a counter that went back.
    fn per_s(&self, now: u64, read: impl Fn(&Snapshot) -> u64) -> Option<f64> {
        let before = self.before?;
        let passed_s = (self.time_ns - before.time_ns) as f64 / 1e9;
        let change = now.checked_sub(read(before))?;
        (passed_s > 0.0).then(|| change as f64 / passed_s)
    }

    fn had_drifted(&self, stream: usize) -> bool {
        let before = self.before.and_then(|before| before.streams[stream].drift.as_ref());
        before.is_some_and(|drift| drift.drifted)
    }
}

fn totals(status: &Status, dead: &BTreeMap<&str, u64>, streams: &[StreamView], rates: &Rates<'_>) -> Totals {
    let sum = |read: fn(&StreamView) -> u64| streams.iter().map(read).sum::<u64>();
    let log_messages_total = status.log_messages_total.load(Relaxed);
    let [events_total, events_live_total] = [sum(|s| s.events_total), sum(|s| s.events_live_total)];
    Totals {
        log_messages_total,
        log_bytes_total: status.log_bytes_total.load(Relaxed),
        log_commits_total: status.log_commits_total.load(Relaxed),
        log_commit_failures_total: status.log_commit_failures_total.load(Relaxed),
        recovered_messages_total: status.recovered_messages_total.load(Relaxed),
        snapshots_total: status.snapshots.written_total.load(Relaxed),
        snapshot_bytes_total: status.snapshots.bytes_total.load(Relaxed),
        snapshot_failures_total: status.snapshots.failures_total.load(Relaxed),
        snapshot_pause_ns_max: status.snapshots.pause_ns_max.load(Relaxed),
        snapshot_pause_ns_last: status.snapshots.pause_ns_last.load(Relaxed),
        snapshot_round_ns: some_time(status.snapshots.round.load(Relaxed)),
        rows_total: status.rows_total.load(Relaxed),
        points_dropped_total: status.points_dropped_total.load(Relaxed),
        dead_letters_total: dead.values().sum(),
        events_total,
        windows_total: sum(|s| s.windows_total),
        alerts_open: sum(|s| s.alerts_open),
        keys: sum(|s| s.keys),
        messages_per_s: rates.per_s(log_messages_total, |s| s.totals.log_messages_total),
        events_live_total,
        events_per_s: rates.per_s(events_live_total, |s| s.totals.events_live_total),
    }
}

fn sink(plan: &crate::config::plan::SinkPlan, sink: &SinkStatus, time_ns: i64) -> SinkView {
    let last_error = sink.last_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
    let (queued, delivered_total) = (sink.queued.load(Relaxed), sink.delivered_total.load(Relaxed));
    let last_success_ns = some_time(sink.last_success.load(Relaxed));
    SinkView {
        name: sink.name.clone(),
        kind: plan.kind.as_str(),
        state: match () {
            () if sink.disabled.load(Relaxed) => SinkState::Disabled,
            () if sink.closed.load(Relaxed) => SinkState::Closed,
            () if sink.blocked.load(Relaxed) => SinkState::Blocked,
            () if last_error.is_some() && queued > 0 => SinkState::Retrying,
            () if delivered_total == 0 => SinkState::Idle,
            () => SinkState::Ok,
        },
        delivered_total,
        attempts_failed_total: sink.attempts_failed_total.load(Relaxed),
        queued,
        silenced: sink.silenced.load(Relaxed),
        failed_total: sink.failed_total.load(Relaxed),
        failed: sink.failed.load(Relaxed),
        last_success_ns,
        last_success_age_ns: last_success_ns.map(|ns| time_ns - ns),
        last_error,
        rival: sink.rival.lately(),
        rate: sink.rate().map(RateView::from),
        circuit_open: sink.circuit_open.load(Relaxed),
        waiting: sink.waiting().map(WaitingView::from),
    }
}

fn telemetry(status: &TelemetryStatus) -> TelemetryView {
    let failing = |signal: TelemetrySignal| {
        let Failing { since_ns, reason, is_away: _ } = status.failing(signal)?;
        Some(FailingView { signal: signal.as_str(), since_ns, reason })
    };
    TelemetryView {
        exported_total: status.exported_total.load(Relaxed),
        dropped_total: status.dropped_total.load(Relaxed),
        failures_total: status.failures_total.load(Relaxed),
        failing: TelemetrySignal::ALL.into_iter().filter_map(failing).collect(),
    }
}

fn stages(latency: &Latency) -> Vec<StageView> {
    let all = Stage::ALL.into_iter().map(|stage| (stage, latency.summary(stage)));
    // Most have no GPU.
    let shown = all.filter(|(stage, summary)| !stage.is_of_device() || summary.count > 0);
    shown.map(|(stage, summary)| stage_view(stage, summary)).collect()
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

fn some_time(ns: i64) -> Option<i64> {
    (ns != 0).then_some(ns)
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}
