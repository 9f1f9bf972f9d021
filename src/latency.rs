//! Where the time goes: stage ids, histograms a stage, and the receipt an alert carries.
//!
//! Clocks are read once a batch and stage, never per event; the histogram entry is weighted by the
//! number of items (`record_n`), so the counts are per event.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::sync::{Recorder, SyncHistogram};

use crate::types::{Receipt, Segment};

/// The stations of the way, in order. Names are the `stage` label in `/metrics` and in receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// From arrival at the socket to the log's writer.
    Receive,
    /// Append and group fsync.
    Log,
    /// Waiting between log and decode, and between decode and the shard.
    Queue,
    Decode,
    /// Filing rows into their windows, closing them, gathering their cells.
    Window,
    Score,
    /// Calibration, life-cycle.
    Judge,
    /// From the judge to the durable outbox.
    Outbox,
    /// From the outbox to the receiver's 2xx, all attempts included.
    Deliver,
    /// Socket to verdict: everything above up to and including `Judge`.
    Verdict,
}

impl Stage {
    pub const ALL: [Stage; 10] = [
        Stage::Receive,
        Stage::Log,
        Stage::Queue,
        Stage::Decode,
        Stage::Window,
        Stage::Score,
        Stage::Judge,
        Stage::Outbox,
        Stage::Deliver,
        Stage::Verdict,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Receive => "receive",
            Stage::Log => "log",
            Stage::Queue => "queue",
            Stage::Decode => "decode",
            Stage::Window => "window",
            Stage::Score => "score",
            Stage::Judge => "judge",
            Stage::Outbox => "outbox",
            Stage::Deliver => "deliver",
            Stage::Verdict => "verdict",
        }
    }
}

/// Wall time that never steps back inside one process: the wall clock at start plus a monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall_ns: i64,
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        // A clock before 1970 is taken as 1970: ordering and durations still hold.
        Clock { wall_ns: wall.unwrap_or_default().as_nanos() as i64, start: Instant::now() }
    }

    /// ns since the Unix epoch.
    pub fn now_ns(&self) -> i64 {
        self.wall_ns + self.start.elapsed().as_nanos() as i64
    }
}

/// One stage's histogram over the process's life, and its figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct StageSummary {
    pub count: u64,
    pub latency_ns_p50: u64,
    pub latency_ns_p90: u64,
    pub latency_ns_p99: u64,
    pub latency_ns_max: u64,
    pub latency_ns_sum: u64,
}

/// Histograms of all stages, 1 ns to 1 hour at 2 significant digits.
#[derive(Clone)]
pub struct Latency {
    stages: Arc<Vec<Mutex<SyncHistogram<u64>>>>,
}

const HIGHEST_NS: u64 = 3_600_000_000_000;

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    pub fn new() -> Self {
        let one = || {
            let bounds = Histogram::new_with_bounds(1, HIGHEST_NS, 2);
            Mutex::new(SyncHistogram::from(bounds.expect("constant bounds are valid")))
        };
        Latency { stages: Arc::new(Stage::ALL.iter().map(|_| one()).collect()) }
    }

    /// A recorder for one thread. Recording takes no lock.
    pub fn recorder(&self, stage: Stage) -> StageRecorder {
        let histogram = self.stages[stage as usize].lock().unwrap_or_else(|e| e.into_inner());
        StageRecorder { recorder: histogram.recorder() }
    }

    pub fn summary(&self, stage: Stage) -> StageSummary {
        let mut histogram = self.stages[stage as usize].lock().unwrap_or_else(|e| e.into_inner());
        // An idle recorder would stall a plain `refresh` until its next event.
        histogram.refresh_timeout(Duration::from_millis(5));
        StageSummary {
            count: histogram.len(),
            latency_ns_p50: histogram.value_at_quantile(0.50),
            latency_ns_p90: histogram.value_at_quantile(0.90),
            latency_ns_p99: histogram.value_at_quantile(0.99),
            latency_ns_max: histogram.max(),
            latency_ns_sum: (histogram.mean() * histogram.len() as f64) as u64,
        }
    }

    /// How many took at most each of `upper_ns` (ascending), for `/metrics`. A value whose resolution
    /// reaches over a bound counts above it: a bucket never promises more than was measured.
    pub fn buckets(&self, stage: Stage, upper_ns: &[u64]) -> StageBuckets {
        let mut histogram = self.stages[stage as usize].lock().unwrap_or_else(|e| e.into_inner());
        histogram.refresh_timeout(Duration::from_millis(5));
        let mut counts = vec![0; upper_ns.len() + 1];
        for value in histogram.iter_recorded() {
            let bucket = upper_ns.partition_point(|&bound| bound < value.value_iterated_to());
            counts[bucket] += value.count_at_value();
        }
        let sum_ns = histogram.mean() * histogram.len() as f64;
        StageBuckets { counts, count: histogram.len(), sum_ns }
    }
}

/// See [`Latency::buckets`].
#[derive(Clone, Debug, PartialEq)]
pub struct StageBuckets {
    /// Not cumulative; the last one holds what lies above the highest bound.
    pub counts: Vec<u64>,
    pub count: u64,
    pub sum_ns: f64,
}

pub struct StageRecorder {
    recorder: Recorder<u64>,
}

impl StageRecorder {
    /// `items` events each took `ns` in this stage.
    pub fn record(&mut self, ns: i64, items: u64) {
        if items > 0 {
            self.recorder.saturating_record_n(ns.max(1) as u64, items);
        }
    }
}

/// Builds a receipt from consecutive boundaries, so that its segments add up by construction.
pub struct ReceiptBuilder {
    at_ns: i64,
    receipt: Receipt,
}

impl ReceiptBuilder {
    pub fn from(start_ns: i64) -> Self {
        ReceiptBuilder { at_ns: start_ns, receipt: Receipt::default() }
    }

    /// Adds the stretch from the last boundary to `until_ns`. A boundary before the last one adds 0.
    pub fn until(mut self, stage: &str, until_ns: i64) -> Self {
        let ns = (until_ns - self.at_ns).max(0);
        self.at_ns += ns;
        self.receipt.total_ns += ns as u64;
        self.receipt.segments.push(Segment { stage: stage.to_owned(), ns: ns as u64 });
        self
    }

    pub fn recovered(mut self, recovered: bool) -> Self {
        self.receipt.recovered = recovered;
        self
    }

    pub fn finish(self) -> Receipt {
        self.receipt
    }
}
