//! Takes a [`Snapshot`]: reads every atomic once, adds up partitions, computes rates.

mod partitions;
mod sources;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

pub use partitions::partitions;
use partitions::watermark;
use sources::sources;

use super::snapshot::{
    Alerts, ColumnView, ModelView, SinkState, SinkView, Snapshot, StageView, State, StreamView, Totals,
};
use super::tiles::Tiles;
use super::{drift, problems};
use crate::config::plan::{ColumnPlan, Plan};
use crate::latency::{Latency, Stage, StageSummary};
use crate::status::{PartitionStatus, SinkStatus, Status};
use crate::types::{Activation, MODEL_DIGITS, Reason, StreamId};

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
            alerts,
            partitions: partitions(plan, status),
        };
        snapshot.problems = [problems::find(&snapshot, plan), problems::missed(status, plan)].concat();
        let drifted = drift::notes(&snapshot.streams, &plan.streams);
        snapshot.notes =
            [problems::of_streams(&snapshot, plan), problems::refusals(&snapshot), drifted].concat();
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
    let events_total = sum(|s| s.events_total);
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
        events_per_s: rates.per_s(events_total, |s| s.totals.events_total),
    }
}

fn column(plan: &ColumnPlan) -> ColumnView {
    ColumnView { name: plan.name.clone(), unit: plan.unit.clone() }
}

fn streams(plan: &Plan, status: &Status, rates: &Rates<'_>) -> Vec<StreamView> {
    let view = |i: usize| {
        let (stream, id) = (&plan.streams[i], StreamId(i as u16));
        let (partitions, models, rows) = (status.stream(id), status.models(id), status.rows(id));
        let sum = |read: fn(&PartitionStatus) -> u64| partitions.iter().map(read).sum::<u64>();
        let watermark_ns = partitions.iter().filter_map(watermark).max();
        let events_total = sum(|p| p.events_total.load(Relaxed));
        let warm_milli = warm_milli(partitions);
        let (seen, keys) = (status.drift(StreamId(i as u16)), sum(|p| p.keys.load(Relaxed)));
        StreamView {
            name: stream.name.clone(),
            columns: stream.columns.iter().map(column).collect(),
            window_type: stream.window.type_name(),
            window_size_ns: length_ns(stream.window.size),
            window_every_ns: length_ns(stream.window.every),
            p_value: stream.alarm.p_value(),
            alert_budget_per_day: stream.alarm.budget_per_day(),
            alerts_opened_day: sum(|p| p.alerts_opened_day.load(Relaxed)),
            rows_ignored_total: rows.ignored_total.load(Relaxed),
            rows_before_2000_total: rows.before_2000_total.load(Relaxed),
            rows_absent_total: (0..stream.columns.len()).map(|column| rows.absent_total(column)).collect(),
            fields_missing: rows.fields_missing(),
            events_total,
            events_per_s: rates.per_s(events_total, |s| s.streams[i].events_total),
            duplicates_total: sum(|p| p.duplicates_total.load(Relaxed)),
            late_total: sum(|p| p.late_total.load(Relaxed)),
            reopening_total: sum(|p| p.reopening_total.load(Relaxed)),
            windows_again_total: sum(|p| p.windows_again_total.load(Relaxed)),
            windows_provisional_total: sum(|p| p.windows_provisional_total.load(Relaxed)),
            windows_total: sum(|p| p.windows_total.load(Relaxed)),
            windows_unscored_total: sum(|p| p.windows_unscored_total.load(Relaxed)),
            windows_unsure_total: sum(|p| p.windows_unsure_total.load(Relaxed)),
            windows_anomalous_total: sum(|p| p.windows_anomalous_total.load(Relaxed)),
            windows_held_back_total: sum(|p| p.windows_held_back_total.load(Relaxed)),
            alerts_open: sum(|p| p.alerts_open.load(Relaxed)),
            keys_silent: sum(|p| p.keys_silent.load(Relaxed)),
            keys,
            keys_warm: sum(|p| p.keys_warm.load(Relaxed)),
            warm_milli,
            warm_eta_ns: warm_eta_ns(warm_milli, rates, i),
            model_windows: status.model_windows(StreamId(i as u16)),
            fits_total: sum(|p| p.fits_total.load(Relaxed)),
            watermark_ns,
            watermark_lag_ns: watermark_ns.map(|ns| rates.time_ns.saturating_sub(ns)),
            digest: hex(partitions.iter().fold(0, |d: u64, p| d.wrapping_add(p.digest.load(Relaxed)))),
            drift: drift::view(&seen, stream, keys, rates.had_drifted(i)),
            low_p_ratio: seen.low_share(),
            model: models.active().map(model),
            refits_activated_total: models.activated_total.load(Relaxed),
            refits_rejected_total: models.rejected_total.load(Relaxed),
            refits_failed_total: models.failed_total.load(Relaxed),
            last_challenger: models.fate(),
            next_refit_ns: Some(models.due.load(Relaxed)).filter(|due| *due != i64::MAX),
        }
    };
    (0..plan.streams.len()).map(view).collect()
}

fn model(active: Activation) -> ModelView {
    let Activation { name, mut checksum, by, at: _ } = active;
    checksum.truncate(MODEL_DIGITS);
    ModelView { name, checksum, by }
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

/// `None` for what the shape does not have.
fn length_ns(length: Duration) -> Option<u64> {
    (!length.is_zero()).then_some(length.as_nanos() as u64)
}

fn some_time(ns: i64) -> Option<i64> {
    (ns != 0).then_some(ns)
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}
