//! What a shard counted of a partition, for page and metrics.

use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::engine::Counts;
use crate::status::PartitionStatus;

/// One writer, so plain stores; readers may see a slot half published, but not its events before the rest. What is not
/// `live` was read back, or came with the partition or went with it.
pub(super) fn publish(to: &PartitionStatus, counts: &Counts, live: bool) {
    if live {
        let late = counts.late.saturating_sub(to.late_total.load(Relaxed));
        let taken = (counts.events + counts.duplicates).saturating_sub(to.taken_total());
        // In this order nobody sees more late ones than rows.
        to.live_rows_total.fetch_add(late + taken, Relaxed);
        to.live_late_total.fetch_add(late, Relaxed);
    }
    to.duplicates_total.store(counts.duplicates, Relaxed);
    to.late_total.store(counts.late, Relaxed);
    to.reopening_total.store(counts.reopening, Relaxed);
    to.windows_again_total.store(counts.windows_again, Relaxed);
    to.windows_provisional_total.store(counts.windows_provisional, Relaxed);
    to.windows_total.store(counts.windows, Relaxed);
    to.windows_unscored_total.store(counts.windows_unscored, Relaxed);
    to.windows_unsure_total.store(counts.windows_unsure, Relaxed);
    to.windows_anomalous_total.store(counts.windows_anomalous, Relaxed);
    to.windows_held_back_total.store(counts.windows_held_back, Relaxed);
    to.outcomes_total.store(counts.outcomes, Relaxed);
    to.alerts_open.store(counts.alerts_open, Relaxed);
    to.alerts_opened_day.store(counts.alerts_opened_day, Relaxed);
    to.keys_silent.store(counts.keys_silent, Relaxed);
    to.heard.store(counts.heard, Relaxed);
    to.idle_acts.store(counts.idle_acts, Relaxed);
    to.keys.store(counts.keys, Relaxed);
    to.keys_warm.store(counts.keys_warm, Relaxed);
    to.keys_alive.store(counts.keys_alive, Relaxed);
    to.keys_alive_warm.store(counts.keys_alive_warm, Relaxed);
    to.watermark.store(counts.watermark, Relaxed);
    to.warm_milli.store(counts.warm_milli, Relaxed);
    to.model_windows.store(counts.model_windows, Relaxed);
    to.fits_total.store(counts.fits, Relaxed);
    to.digest.store(counts.digest, Relaxed);
    to.events_total.store(counts.events, Release);
}
