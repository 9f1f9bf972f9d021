//! Each partition by itself, for whoever asks why the sums are what they are.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::hex;
use crate::config::plan::Plan;
use crate::dashboard::snapshot::PartitionView;
use crate::status::{PartitionStatus, Status};
use crate::types::StreamId;

/// Partitions that ever saw anything.
pub fn partitions(plan: &Plan, status: &Status) -> Vec<PartitionView> {
    let mut views = Vec::new();
    for (i, stream) in plan.streams.iter().enumerate() {
        for (partition, p) in status.stream(StreamId(i as u16)).iter().enumerate() {
            let seen = watermark(p).is_some()
                || [&p.events_total, &p.late_total].iter().any(|n| n.load(Relaxed) > 0);
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
        events_total: p.events_total.load(Acquire),
        duplicates_total: p.duplicates_total.load(Relaxed),
        late_total: p.late_total.load(Relaxed),
        reopening_total: p.reopening_total.load(Relaxed),
        windows_again_total: p.windows_again_total.load(Relaxed),
        windows_provisional_total: p.windows_provisional_total.load(Relaxed),
        windows_total: p.windows_total.load(Relaxed),
        windows_unscored_total: p.windows_unscored_total.load(Relaxed),
        windows_unsure_total: p.windows_unsure_total.load(Relaxed),
        windows_anomalous_total: p.windows_anomalous_total.load(Relaxed),
        windows_held_back_total: p.windows_held_back_total.load(Relaxed),
        alerts_open: p.alerts_open.load(Relaxed),
        alerts_opened_day: p.alerts_opened_day.load(Relaxed),
        keys_silent: p.keys_silent.load(Relaxed),
        keys: p.keys.load(Relaxed),
        keys_warm: p.keys_warm.load(Relaxed),
        keys_alive: p.keys_alive.load(Relaxed),
        keys_alive_warm: p.keys_alive_warm.load(Relaxed),
        warm_milli: p.warm_milli.load(Relaxed),
        model_windows: p.model_windows.load(Relaxed),
        fits_total: p.fits_total.load(Relaxed),
        watermark_ns: watermark(p),
        digest: hex(p.digest.load(Relaxed)),
    }
}

pub(super) fn watermark(partition: &PartitionStatus) -> Option<i64> {
    Some(partition.watermark.load(Relaxed)).filter(|&ns| ns != i64::MIN)
}
