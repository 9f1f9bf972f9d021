//! Streams, added up over their partitions.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use super::{Rates, hex, watermark};
use crate::config::plan::{ColumnPlan, Plan};
use crate::dashboard::drift;
use crate::dashboard::snapshot::{AliveView, ColumnView, HeldBackView, ModelView, StreamView};
use crate::status::{LateRows, PartitionStatus, Status};
use crate::types::{Activation, MODEL_DIGITS, StreamId};

fn column(plan: &ColumnPlan) -> ColumnView {
    ColumnView { name: plan.name.clone(), unit: plan.unit.clone() }
}

pub(super) fn streams(plan: &Plan, status: &Status, rates: &Rates<'_>) -> Vec<StreamView> {
    let view = |i: usize| {
        let (stream, id) = (&plan.streams[i], StreamId(i as u16));
        let (partitions, models, rows) = (status.stream(id), status.models(id), status.rows(id));
        let sum = |read: fn(&PartitionStatus) -> u64| partitions.iter().map(read).sum::<u64>();
        let (watermark_ns, came) = (partitions.iter().filter_map(watermark).max(), LateRows::of(partitions));
        let (warm_milli, alive) = alive(partitions, stream.window.alive());
        let [rule, expected] = status.held_back(id).day(watermark_ns.unwrap_or_default());
        let (seen, keys) = (status.drift(id), sum(|p| p.keys.load(Relaxed)));
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
            events_total: sum(|p| p.events_total.load(Acquire)),
            events_live_total: came.taken(),
            events_per_s: rates.per_s(came.taken(), |s| s.streams[i].events_live_total),
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
            windows_held_back_day: HeldBackView { rule, expected },
            alerts_open: sum(|p| p.alerts_open.load(Relaxed)),
            keys_silent: sum(|p| p.keys_silent.load(Relaxed)),
            keys,
            keys_warm: sum(|p| p.keys_warm.load(Relaxed)),
            alive,
            warm_milli,
            warm_eta_ns: warm_eta_ns(warm_milli, rates, i),
            model_windows: status.model_windows(id),
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

/// The warm-up of the partitions of which something came lately, and their keys that are alive: a key that came once and
/// never again does not hold up what is said of the others. Lately is by arrival, and up to the last one of the stream:
/// time stands still in a partition that nothing comes of.
fn alive(partitions: &[PartitionStatus], span: Duration) -> (u64, AliveView) {
    let since = partitions.iter().map(|p| p.heard.load(Relaxed)).max().unwrap_or_default();
    let since = since.saturating_sub(span.as_nanos() as i64);
    let lately = partitions.iter().filter(|p| p.keys.load(Relaxed) > 0 && p.heard.load(Relaxed) >= since);
    let (mut sum, mut count, mut alive) = (0, 0, AliveView::default());
    for partition in lately {
        sum += partition.warm_milli.load(Relaxed).min(1_000);
        count += 1;
        alive.keys += partition.keys_alive.load(Relaxed);
        alive.keys_warm += partition.keys_alive_warm.load(Relaxed);
    }
    // Rounded down: 100 % is shown only when every partition scores.
    (sum.checked_div(count).unwrap_or(0), alive)
}

fn warm_eta_ns(warm_milli: u64, rates: &Rates<'_>, stream: usize) -> Option<i64> {
    let per_s = rates.per_s(warm_milli, |s| s.streams[stream].warm_milli)?;
    let left = 1_000 - warm_milli;
    (per_s > 0.0 && left > 0).then(|| (left as f64 / per_s * 1e9) as i64)
}

/// `None` for what the shape does not have.
fn length_ns(length: Duration) -> Option<u64> {
    (!length.is_zero()).then_some(length.as_nanos() as u64)
}
