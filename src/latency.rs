//! Where the time goes: stage ids, histograms a stage, and the receipt an alert carries.
//!
//! Clocks are read once a batch and stage, never per event; the histogram entry is weighted by the
//! number of items (`record_n`), so the counts are per event.

mod clock;

use std::sync::{Arc, Mutex, MutexGuard};

use hdrhistogram::Histogram;

use crate::types::{Receipt, Segment};
pub use clock::Clock;

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
    /// Copies to a GPU, its kernels and copies from it, by its own events: of windows that it had its part in.
    DeviceUp,
    DeviceKernel,
    DeviceDown,
    /// Scoring but for what a GPU took.
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
    pub const ALL: [Stage; 13] = [
        Stage::Receive,
        Stage::Log,
        Stage::Queue,
        Stage::Decode,
        Stage::Window,
        Stage::DeviceUp,
        Stage::DeviceKernel,
        Stage::DeviceDown,
        Stage::Score,
        Stage::Judge,
        Stage::Outbox,
        Stage::Deliver,
        Stage::Verdict,
    ];

    pub fn is_of_device(self) -> bool {
        matches!(self, Stage::DeviceUp | Stage::DeviceKernel | Stage::DeviceDown)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Receive => "receive",
            Stage::Log => "log",
            Stage::Queue => "queue",
            Stage::Decode => "decode",
            Stage::Window => "window",
            Stage::DeviceUp => "device_up",
            Stage::DeviceKernel => "device_kernel",
            Stage::DeviceDown => "device_down",
            Stage::Score => "score",
            Stage::Judge => "judge",
            Stage::Outbox => "outbox",
            Stage::Deliver => "deliver",
            Stage::Verdict => "verdict",
        }
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
///
/// Each recorder has a histogram of its own behind a lock that only a reader ever contends for, taken
/// once a batch. (hdrhistogram's lock-free `Recorder` hands its counts over only when it records again,
/// so the last batch before a pause would not be seen.)
#[derive(Clone, Default)]
pub struct Latency {
    recorders: Arc<Mutex<Vec<(Stage, Shared)>>>,
}

type Shared = Arc<Mutex<Histogram<u64>>>;

const HIGHEST_NS: u64 = 3_600_000_000_000;

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_NS, 2).expect("constant bounds are valid")
}

/// A histogram is whole after every operation, so a poisoned lock is as good as a sound one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Latency {
    pub fn new() -> Self {
        Self::default()
    }

    /// A recorder for one thread.
    pub fn recorder(&self, stage: Stage) -> StageRecorder {
        let histogram = Arc::new(Mutex::new(empty()));
        lock(&self.recorders).push((stage, histogram.clone()));
        StageRecorder { histogram }
    }

    fn merged(&self, stage: Stage) -> Histogram<u64> {
        let mut all = empty();
        for (of, histogram) in lock(&self.recorders).iter() {
            if *of == stage {
                // Same bounds and precision everywhere.
                let _ = all.add(&*lock(histogram));
            }
        }
        all
    }

    pub fn summary(&self, stage: Stage) -> StageSummary {
        let histogram = self.merged(stage);
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
        let histogram = self.merged(stage);
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
    histogram: Shared,
}

impl StageRecorder {
    /// `items` events each took `ns` in this stage.
    pub fn record(&mut self, ns: i64, items: u64) {
        if items > 0 {
            lock(&self.histogram).saturating_record_n(ns.max(1) as u64, items);
        }
    }

    /// One event each took these.
    pub fn record_each(&mut self, all_ns: impl Iterator<Item = i64>) {
        let mut histogram = lock(&self.histogram);
        all_ns.for_each(|ns| histogram.saturating_record(ns.max(1) as u64));
    }
}

/// Builds a receipt from consecutive boundaries, so that its segments add up by construction.
pub struct ReceiptBuilder {
    at_ns: i64,
    receipt: Receipt,
}

impl ReceiptBuilder {
    pub fn from(start_ns: i64) -> Self {
        let receipt = Receipt { start_ns, end_ns: start_ns, ..Receipt::default() };
        ReceiptBuilder { at_ns: start_ns, receipt }
    }

    /// Goes on where `receipt` ended.
    pub fn extend(receipt: Receipt) -> Self {
        ReceiptBuilder { at_ns: receipt.end_ns, receipt }
    }

    /// Adds the stretch from the last boundary to `until_ns`. A boundary before the last one adds 0.
    pub fn until(mut self, stage: &str, until_ns: i64) -> Self {
        let ns = (until_ns - self.at_ns).max(0);
        self.at_ns += ns;
        self.receipt.end_ns = self.at_ns;
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

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
