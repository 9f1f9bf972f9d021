//! Everything the page says at one moment. API, page and live updates show this one structure, so that
//! no number can differ between them; each carries the `seq` of the snapshot it came from.

mod alerts;
mod kafka;
mod sinks;
mod streams;
mod telemetry;

use std::collections::BTreeMap;

use serde::Serialize;

pub use alerts::Alerts;
pub use kafka::KafkaView;
pub use sinks::{RateView, SinkState, SinkView, WaitingView};
pub use streams::{AliveView, DriftView, HeldBackView, ModelView};
pub use telemetry::{FailingView, TelemetryView};

use super::problems::Problem;
use super::tiles::Tiles;

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
    /// What is no trouble of this box, but worth a look.
    pub notes: Vec<Problem>,
    pub tiles: Tiles,
    pub totals: Totals,
    /// Inputs set aside, by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    pub sources: Vec<SourceView>,
    pub streams: Vec<StreamView>,
    pub stages: Vec<StageView>,
    pub sinks: Vec<SinkView>,
    /// `null` without a collector.
    pub telemetry: Option<TelemetryView>,
    /// Served by `/api/v1/alerts?seq=`.
    #[serde(skip)]
    pub alerts: Alerts,
    /// Served by `/api/v1/partitions?seq=`.
    #[serde(skip)]
    pub partitions: Vec<PartitionView>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    pub log_messages_total: u64,
    pub log_bytes_total: u64,
    pub log_commits_total: u64,
    pub log_commit_failures_total: u64,
    pub recovered_messages_total: u64,
    pub snapshots_total: u64,
    pub snapshot_bytes_total: u64,
    pub snapshot_failures_total: u64,
    pub snapshot_pause_ns_max: u64,
    pub snapshot_pause_ns_last: u64,
    /// When a round of saves last ended without one that failed; `null` before that.
    pub snapshot_round_ns: Option<i64>,
    pub rows_total: u64,
    pub points_dropped_total: u64,
    pub dead_letters_total: u64,
    pub events_total: u64,
    /// Of its rate: those that came since the start, and were not read back.
    #[serde(skip)]
    pub events_live_total: u64,
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
    /// Requests refused whole, and the last of them.
    pub refused_total: u64,
    pub last_refused_age_ns: Option<i64>,
    pub last_refused: Option<String>,
    pub retained_dropped_total: u64,
    pub reconnects_total: u64,
    /// Only of sources of type `kafka`.
    pub kafka: Option<KafkaView>,
    pub messages_per_s: Option<f64>,
    pub last_arrival_ns: Option<i64>,
    pub last_arrival_age_ns: Option<i64>,
    pub last_error: Option<String>,
    /// Told under `problems`.
    #[serde(skip)]
    pub rival: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct StreamView {
    pub name: String,
    pub columns: Vec<ColumnView>,
    pub window_type: &'static str,
    /// `null` where events are counted.
    pub window_size_ns: Option<u64>,
    /// `null` where events make the windows.
    pub window_every_ns: Option<u64>,
    /// p-value below which a window is anomalous; `null` under an alert budget, which finds it.
    pub p_value: Option<f64>,
    /// Alerts a day the stream may open; `null` without a budget.
    pub alert_budget_per_day: Option<f64>,
    /// Those it opened in the last 24 hours of event time, windows and onsets, without those on silence.
    pub alerts_opened_day: u64,
    /// Rows of metrics that are no column; only of the long layout.
    pub rows_ignored_total: u64,
    /// Rows taken whose time lies before the year 2000.
    pub rows_before_2000_total: u64,
    /// By column: rows without a value of it; `null` in the long layout, where a row holds one column.
    pub rows_absent_total: Vec<Option<u64>>,
    /// Paths that lead nowhere in the newest schema, behind its id.
    pub fields_missing: Option<(i32, String)>,
    pub events_total: u64,
    /// As in [`Totals`].
    #[serde(skip)]
    pub events_live_total: u64,
    pub events_per_s: Option<f64>,
    pub duplicates_total: u64,
    pub late_total: u64,
    /// Events behind the watermark but within the lateness: they opened their windows again.
    pub reopening_total: u64,
    /// Verdicts given anew because of them.
    pub windows_again_total: u64,
    /// Verdicts on arrival, before the final ones; only of sliding windows.
    pub windows_provisional_total: u64,
    pub windows_total: u64,
    pub windows_unscored_total: u64,
    pub windows_unsure_total: u64,
    pub windows_anomalous_total: u64,
    /// Would have been anomalous, and are not told.
    pub windows_held_back_total: u64,
    pub windows_held_back_day: HeldBackView,
    pub alerts_open: u64,
    /// Keys that sent regularly and are silent.
    pub keys_silent: u64,
    pub keys: u64,
    pub keys_warm: u64,
    pub alive: AliveView,
    /// Mean over the partitions of which something came lately, thousandths; verdicts before 1000 are early.
    pub warm_milli: u64,
    /// At the speed of the last seconds.
    pub warm_eta_ns: Option<i64>,
    /// Windows behind the model of the partition that has fewest; `null` before the first, and where a model is loaded.
    pub model_windows: Option<u64>,
    /// Models that the partitions have fitted: each fits again when its windows have doubled.
    pub fits_total: u64,
    pub watermark_ns: Option<i64>,
    /// Wall clock minus watermark: negative while event time runs ahead.
    pub watermark_lag_ns: Option<i64>,
    /// Sum of the partitions' running hashes over their verdicts.
    pub digest: String,
    /// `null` until a model has scored for a minute of event time.
    pub drift: Option<DriftView>,
    /// Share of the windows of calm keys with p below 0.1, over about a day; `null` before the first.
    pub low_p_ratio: Option<f64>,
    /// `null` where each partition fits its own.
    pub model: Option<ModelView>,
    pub refits_activated_total: u64,
    pub refits_rejected_total: u64,
    pub refits_failed_total: u64,
    /// What became of the last challenger since the start.
    pub last_challenger: Option<String>,
    /// Event time; `null` where none is due.
    pub next_refit_ns: Option<i64>,
}

impl StreamView {
    /// Clearly: at one alert a day, two in a day are no surprise.
    pub fn is_over_budget(&self) -> bool {
        self.alert_budget_per_day
            .is_some_and(|budget| self.alerts_opened_day as f64 > (2.0 * budget).max(3.0))
    }
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

/// One stream in one partition, for `/api/v1/partitions`.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionView {
    pub stream: String,
    pub partition: usize,
    pub events_total: u64,
    pub duplicates_total: u64,
    pub late_total: u64,
    /// Events behind the watermark but within the lateness: they opened their windows again.
    pub reopening_total: u64,
    /// Verdicts given anew because of them.
    pub windows_again_total: u64,
    pub windows_provisional_total: u64,
    pub windows_total: u64,
    pub windows_unscored_total: u64,
    pub windows_unsure_total: u64,
    pub windows_anomalous_total: u64,
    /// Would have been anomalous, and are not told.
    pub windows_held_back_total: u64,
    pub alerts_open: u64,
    pub alerts_opened_day: u64,
    /// Keys that sent regularly and are silent.
    pub keys_silent: u64,
    pub keys: u64,
    pub keys_warm: u64,
    /// Of which something came lately, and those of them that are warm.
    pub keys_alive: u64,
    pub keys_alive_warm: u64,
    pub warm_milli: u64,
    pub model_windows: u64,
    pub fits_total: u64,
    pub watermark_ns: Option<i64>,
    /// 16 hexadecimal digits: a JSON number would lose some.
    pub digest: String,
}

impl Snapshot {
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
