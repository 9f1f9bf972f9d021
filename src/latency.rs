//! Where the time goes: stage ids, histograms a stage, and the receipt an alert carries.
//!
//! Clocks are read once a batch and stage, never per event; the histogram entry is weighted by the
//! number of items (`record_n`), so the counts are per event.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use hdrhistogram::Histogram;

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
    stages: Arc<Vec<Mutex<Recorded>>>,
}

/// One stage: a histogram for each recorder in use, and the sum of those that are gone.
struct Recorded {
    gone: Histogram<u64>,
    used: Vec<Arc<Mutex<Histogram<u64>>>>,
}

const HIGHEST_NS: u64 = 3_600_000_000_000;

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_NS, 2).expect("constant bounds are valid")
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    pub fn new() -> Self {
        let one = |_| Mutex::new(Recorded { gone: empty(), used: Vec::new() });
        Latency { stages: Arc::new(Stage::ALL.iter().map(one).collect()) }
    }

    /// A recorder for one thread.
    pub fn recorder(&self, stage: Stage) -> StageRecorder {
        let histogram = Arc::new(Mutex::new(empty()));
        locked(&self.stages[stage as usize]).used.push(histogram.clone());
        StageRecorder { histogram }
    }

    /// Everything recorded so far, to the last event, also of threads that are idle or gone.
    fn merged(&self, stage: Stage) -> Histogram<u64> {
        let mut recorded = locked(&self.stages[stage as usize]);
        let Recorded { gone, used } = &mut *recorded;
        // Same bounds everywhere: adding cannot fail.
        used.retain(|histogram| {
            let kept = Arc::strong_count(histogram) > 1;
            if !kept {
                let _ = gone.add(&*locked(histogram));
            }
            kept
        });
        let mut all = gone.clone();
        for histogram in used.iter() {
            let _ = all.add(&*locked(histogram));
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

/// Writes one thread's histogram: an uncontended lock a batch, which a reader holds for some
/// microseconds once a second. hdrhistogram's own lock-free recorder keeps what a thread recorded
/// before it fell idle to itself, so counts would lag behind the events they count.
pub struct StageRecorder {
    histogram: Arc<Mutex<Histogram<u64>>>,
}

impl StageRecorder {
    /// `items` events each took `ns` in this stage.
    pub fn record(&mut self, ns: i64, items: u64) {
        if items > 0 {
            locked(&self.histogram).saturating_record_n(ns.max(1) as u64, items);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_idle_or_ended_thread_recorded_is_counted() {
        let latency = Latency::new();
        let mut idle = latency.recorder(Stage::Score);
        idle.record(1_000, 3);
        assert_eq!(latency.summary(Stage::Score).count, 3);
        idle.record(2_000, 1);
        assert_eq!(latency.summary(Stage::Score).count, 4);
        latency.recorder(Stage::Score).record(1_000_000, 5);
        for _ in 0..2 {
            let summary = latency.summary(Stage::Score);
            assert_eq!(summary.count, 9);
            assert!((1_000_000..1_020_000).contains(&summary.latency_ns_max));
        }
        assert_eq!(latency.summary(Stage::Log).count, 0);
    }
}
