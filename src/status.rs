//! What the appliance knows of itself right now: atomics written by their owner, read by page and metrics.

mod held_back;
mod kafka;
mod late;
mod models;
mod rival;
mod rows;
mod said;
mod sinks;
mod telemetry;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

pub use held_back::HeldBackStatus;
pub use kafka::{KafkaStatus, Member};
pub use late::{LateRows, remedy as late_remedy};
pub use models::{ModelStatus, Sample};
pub use rival::Rival;
pub use rows::{Missed, RowStatus};
pub use said::Said;
pub use sinks::{SendRate, SinkStatus, Waiting};
pub use telemetry::{Failing, TelemetrySignal, TelemetryStatus};

use crate::config::plan::Plan;
use crate::types::drift::Drift;
use crate::types::{PARTITIONS, StreamId};

/// Of one source.
#[derive(Debug, Default)]
pub struct SourceStatus {
    pub name: String,
    pub connected: AtomicBool,
    pub messages_total: AtomicU64,
    pub acked_total: AtomicU64,
    /// Requests answered by a refusal: nothing of them was taken.
    pub refused_total: AtomicU64,
    /// When the last one was refused, ns, and why; not while the log cannot be written, which is a problem of its own.
    pub last_refused: Mutex<Option<(i64, String)>>,
    pub retained_dropped_total: AtomicU64,
    pub reconnects_total: AtomicU64,
    pub kafka: KafkaStatus,
    /// Arrival of the newest message, ns; 0 = none yet.
    pub last_arrival: AtomicI64,
    /// Why nothing arrives right now, with the remedy; `None` while all is well.
    pub last_error: Mutex<Option<String>>,
    pub rival: Rival,
}

/// Of one stream in one partition; written by the shard that owns the partition, once a slot.
#[derive(Debug, Default)]
pub struct PartitionStatus {
    /// Events accepted into windows (late and duplicate ones are not among them).
    pub events_total: AtomicU64,
    pub duplicates_total: AtomicU64,
    pub late_total: AtomicU64,
    /// Rows since the start that were not read back, with the late ones, and these alone. They stay when the partition goes.
    pub live_rows_total: AtomicU64,
    pub live_late_total: AtomicU64,
    /// Events behind the watermark but within the lateness: their windows were opened again.
    pub reopening_total: AtomicU64,
    /// Final windows with a verdict.
    pub windows_total: AtomicU64,
    /// Verdicts given anew because of late events.
    pub windows_again_total: AtomicU64,
    /// Verdicts on arrival, before the final ones; only of sliding windows.
    pub windows_provisional_total: AtomicU64,
    /// Final windows without one: there was no model yet.
    pub windows_unscored_total: AtomicU64,
    /// Verdicts that could not be acted on: too little of a column was observed.
    pub windows_unsure_total: AtomicU64,
    pub windows_anomalous_total: AtomicU64,
    /// Would have been anomalous, and are not told.
    pub windows_held_back_total: AtomicU64,
    /// Messages that said what an earlier event turned out to be.
    pub outcomes_total: AtomicU64,
    pub alerts_open: AtomicU64,
    /// In the last 24 hours of event time, by the window rule.
    pub alerts_opened_day: AtomicU64,
    /// Keys that sent regularly and are silent.
    pub keys_silent: AtomicU64,
    pub keys: AtomicU64,
    pub keys_warm: AtomicU64,
    /// Of which something came lately, and those of them that are warm.
    pub keys_alive: AtomicU64,
    pub keys_alive_warm: AtomicU64,
    /// Event time ns; `i64::MIN` before the first event.
    pub watermark: AtomicI64,
    /// Warm-up in thousandths; verdicts before 1000 are early.
    pub warm_milli: AtomicU64,
    /// Windows behind the model that the partition fitted last, and how many it has fitted; 0 where one is loaded.
    pub model_windows: AtomicU64,
    pub fits_total: AtomicU64,
    /// Arrival of the last row, ns.
    pub heard: AtomicI64,
    /// From when on, by the wall clock, an entry on idleness would change something; `i64::MAX`: never.
    pub idle_acts: AtomicI64,
    pub drift: Mutex<Drift>,
    /// Running hash over every verdict of this partition: equal digests, equal decisions.
    pub digest: AtomicU64,
}

/// Of the snapshots, over all streams.
#[derive(Debug, Default)]
pub struct SnapshotStatus {
    pub written_total: AtomicU64,
    pub bytes_total: AtomicU64,
    pub failures_total: AtomicU64,
    /// How long a shard was held up by copying a state.
    pub pause_ns_last: AtomicU64,
    pub pause_ns_max: AtomicU64,
    /// Wall time ns at which a round of saves last ended without one that failed; 0 = not yet since the start.
    pub round: AtomicI64,
}

fn read<T: Clone>(of: &Mutex<T>) -> T {
    of.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
}

fn write<T>(to: &Mutex<T>, value: T) {
    *to.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = value;
}

impl PartitionStatus {
    pub fn set_drift(&self, drift: &Drift) {
        write(&self.drift, drift.clone());
    }

    /// Events and duplicates together: of rows that wait for the watermark it is not known yet which they are.
    pub fn taken_total(&self) -> u64 {
        self.events_total.load(Ordering::Relaxed) + self.duplicates_total.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct Status {
    pub started_ns: i64,
    /// Recovery is done and every source had its first session.
    pub ready: AtomicBool,
    pub recovering: AtomicBool,
    /// The last group commit of the log succeeded.
    pub log_safe: AtomicBool,
    /// Position of the next message to be logged.
    pub log_next: AtomicU64,
    pub log_messages_total: AtomicU64,
    pub log_bytes_total: AtomicU64,
    pub log_commits_total: AtomicU64,
    pub log_commit_failures_total: AtomicU64,
    pub recovered_messages_total: AtomicU64,
    /// Decoded rows, before windows.
    pub rows_total: AtomicU64,
    /// By `Reason as usize`.
    pub dead_letters: [AtomicU64; 10],
    /// Letters that their topic did not take, and the file has.
    pub dead_letters_refused_total: AtomicU64,
    pub points_dropped_total: AtomicU64,
    /// Requests to the page or the API with a token that is none, or without one.
    pub access_refused_total: AtomicU64,
    pub snapshots: SnapshotStatus,
    pub telemetry: TelemetryStatus,
    pub sources: Vec<SourceStatus>,
    pub sinks: Vec<SinkStatus>,
    pub said: Said,
    /// A stream each.
    rows: Vec<RowStatus>,
    models: Vec<ModelStatus>,
    held_back: Vec<HeldBackStatus>,
    /// `stream * PARTITIONS + partition`
    partitions: Vec<PartitionStatus>,
    /// By stream.
    keys_noted: Vec<AtomicU64>,
    /// By stream.
    second_keys_at_risk: Vec<AtomicU64>,
}

impl Status {
    pub fn new(plan: &Plan, started_ns: i64) -> Self {
        Status {
            started_ns,
            ready: AtomicBool::new(false),
            recovering: AtomicBool::new(true),
            log_safe: AtomicBool::new(true),
            log_next: AtomicU64::new(0),
            log_messages_total: AtomicU64::new(0),
            log_bytes_total: AtomicU64::new(0),
            log_commits_total: AtomicU64::new(0),
            log_commit_failures_total: AtomicU64::new(0),
            recovered_messages_total: AtomicU64::new(0),
            rows_total: AtomicU64::new(0),
            dead_letters: Default::default(),
            dead_letters_refused_total: Default::default(),
            points_dropped_total: AtomicU64::new(0),
            access_refused_total: AtomicU64::new(0),
            snapshots: SnapshotStatus::default(),
            telemetry: TelemetryStatus::default(),
            sources: plan
                .sources
                .iter()
                .map(|s| SourceStatus { name: s.name.clone(), ..Default::default() })
                .collect(),
            sinks: plan
                .sinks
                .iter()
                .map(|s| SinkStatus { name: s.name.clone(), ..Default::default() })
                .collect(),
            said: Said::default(),
            rows: plan.streams.iter().map(RowStatus::new).collect(),
            models: plan.streams.iter().map(|_| ModelStatus::default()).collect(),
            held_back: plan.streams.iter().map(|_| HeldBackStatus::default()).collect(),
            partitions: (0..plan.streams.len() * PARTITIONS)
                .map(|_| PartitionStatus {
                    watermark: AtomicI64::new(i64::MIN),
                    idle_acts: AtomicI64::new(i64::MAX),
                    ..Default::default()
                })
                .collect(),
            keys_noted: plan.streams.iter().map(|_| AtomicU64::new(0)).collect(),
            second_keys_at_risk: plan.streams.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub fn partition(&self, stream: StreamId, partition: usize) -> &PartitionStatus {
        &self.partitions[stream.0 as usize * PARTITIONS + partition]
    }

    /// Keys of a stream as the control log last had it; 0 before.
    pub fn keys_noted(&self, stream: StreamId) -> &AtomicU64 {
        &self.keys_noted[stream.0 as usize]
    }

    /// Over all partitions.
    pub fn drift(&self, stream: StreamId) -> Drift {
        let mut all = Drift::default();
        self.stream(stream).iter().for_each(|partition| all.add(&read(&partition.drift)));
        all
    }

    /// Second keys of a stream of transactions whose risk is above the usual, as written down.
    pub fn second_keys_at_risk(&self, stream: StreamId) -> &AtomicU64 {
        &self.second_keys_at_risk[stream.0 as usize]
    }

    pub fn rows(&self, stream: StreamId) -> &RowStatus {
        &self.rows[stream.0 as usize]
    }

    pub fn models(&self, stream: StreamId) -> &ModelStatus {
        &self.models[stream.0 as usize]
    }

    pub fn held_back(&self, stream: StreamId) -> &HeldBackStatus {
        &self.held_back[stream.0 as usize]
    }

    pub fn stream(&self, stream: StreamId) -> &[PartitionStatus] {
        &self.partitions[stream.0 as usize * PARTITIONS..][..PARTITIONS]
    }

    /// Windows behind the model of the partition that has fewest, of those that fitted one.
    pub fn model_windows(&self, stream: StreamId) -> Option<u64> {
        let fitted = self.stream(stream).iter().map(|p| p.model_windows.load(Ordering::Relaxed));
        fitted.filter(|windows| *windows > 0).min()
    }
}
