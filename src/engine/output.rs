//! What a step gives back.

use crate::backend::Phases;
use crate::engine::close::Times;
use crate::judge::calibration::Surprise;
use crate::types::{
    Arrival, Decision, EventTime, HeldBack, PartitionId, Point, Position, RecordRef, StreamId, Verdict,
};

/// A decision with the clock readings its receipt is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    pub decision: Decision,
    /// Arrival of the key's newest row in the window.
    pub last_row: Arrival,
    /// Arrival of the row that moved the watermark past the window.
    pub trigger: Arrival,
    /// When closing began, when its scores were there, when it was judged: ns of [`super::Env::now`].
    pub closing_ns: i64,
    pub gathered_ns: i64,
    pub scored_ns: i64,
    /// Of the time between the last two, what was spent on a device.
    pub device: Phases,
    pub judged_ns: i64,
}

/// A row behind its partition's watermark: to the late output, never silently dropped.
#[derive(Clone, Debug, PartialEq)]
pub struct LateRow {
    pub stream: StreamId,
    pub partition: PartitionId,
    pub key: Box<[u8]>,
    pub time: EventTime,
    pub arrival: Arrival,
    pub position: Position,
    pub row: u32,
    pub values: Vec<f32>,
    pub watermark: EventTime,
}

impl LateRow {
    pub fn of(record: &RecordRef<'_>, watermark: EventTime) -> Self {
        LateRow {
            stream: record.stream,
            partition: record.partition,
            key: record.key.into(),
            time: record.time,
            arrival: record.arrival,
            position: record.position,
            row: record.row,
            values: record.values.to_vec(),
            watermark,
        }
    }
}

/// The final verdict on one window.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub stream: StreamId,
    pub key: Box<[u8]>,
    /// End of the window.
    pub end: EventTime,
    pub surprise: Surprise,
    pub verdict: Verdict,
}

/// Appended to by [`super::Engine::step`]; cleared and reused by the caller.
#[derive(Debug, Default)]
pub struct Outputs {
    pub raised: Vec<Raised>,
    pub late: Vec<LateRow>,
    pub points: Vec<Point>,
    /// Every final verdict, for whoever wants them all; `None` keeps none and costs nothing. Where late rows
    /// open a window again, its new verdict follows later: the last one holds.
    pub judged: Option<Vec<Judged>>,
    /// Windows that are not told though they are below the threshold: stream, end of the window, why.
    pub held_back: Vec<(StreamId, EventTime, HeldBack)>,
    /// Windows judged, and the trigger's arrival to the verdict, weighted: for the latency histogram.
    pub verdicts: Vec<(Arrival, i64, u32)>,
    /// Time spent gathering, scoring and judging in this step, ns of [`super::Env::now`]; scoring without what was spent
    /// on a device.
    pub gather_ns: i64,
    pub score_ns: i64,
    pub judge_ns: i64,
    pub windows: u64,
    pub device: Phases,
    /// Windows of batches that a device had its part in.
    pub device_windows: u64,
}

impl Outputs {
    /// Adds what it took to score so many windows.
    pub(super) fn scored(&mut self, times: Times, windows: u64) {
        let on_device = times.device.total_ns();
        self.score_ns += (times.scored - times.gathered - on_device as i64).max(0);
        self.device.add(times.device);
        self.device_windows += if on_device > 0 { windows } else { 0 };
    }

    pub fn clear(&mut self) {
        self.raised.clear();
        self.late.clear();
        self.points.clear();
        if let Some(judged) = &mut self.judged {
            judged.clear();
        }
        self.held_back.clear();
        self.verdicts.clear();
        self.gather_ns = 0;
        self.score_ns = 0;
        self.judge_ns = 0;
        self.windows = 0;
        self.device = Phases::default();
        self.device_windows = 0;
    }
}

/// Of one stream in one partition, since its log began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub duplicates: u64,
    pub late: u64,
    /// Events behind the watermark, within the allowed lateness: they opened their windows again.
    pub reopening: u64,
    pub windows: u64,
    /// Verdicts given anew because of late rows.
    pub windows_again: u64,
    pub windows_unscored: u64,
    pub windows_unsure: u64,
    pub windows_anomalous: u64,
    /// Would have been anomalous, and are not told.
    pub windows_held_back: u64,
    /// Verdicts on arrival, before the final one.
    pub windows_provisional: u64,
    pub alerts_open: u64,
    /// Opened in the last 24 hours of event time; silences are not among them.
    pub alerts_opened_day: u64,
    /// Keys that sent regularly and are silent.
    pub keys_silent: u64,
    pub keys: u64,
    pub keys_warm: u64,
    /// Keys of which something came lately, see [`crate::config::plan::WindowPlan::alive`], as of the last epoch's end, and
    /// those of them that are warm. After a restart all are, until an epoch ends.
    pub keys_alive: u64,
    pub keys_alive_warm: u64,
    pub watermark: i64,
    pub warm_milli: u64,
    /// Windows behind the model that the partition fitted last, and how many it has fitted; 0 where one is loaded.
    pub model_windows: u64,
    pub fits: u64,
    /// Arrival of the last row.
    pub heard: i64,
    /// From when on, by the wall clock, an entry on idleness would change something; `i64::MAX`: never.
    pub idle_acts: i64,
    /// Running hash over every verdict: equal digests mean equal decisions, window by window.
    pub digest: u64,
    /// Messages that said what an earlier event turned out to be.
    pub outcomes: u64,
}
