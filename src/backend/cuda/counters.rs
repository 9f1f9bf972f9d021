//! What the device was given to do, in this process.

use std::sync::atomic::AtomicU64;

/// Monotonic, but for `shards`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Shards that have a device now.
    pub shards: AtomicU64,
    pub rows: AtomicU64,
    /// Kernels launched one by one.
    pub launches: AtomicU64,
    /// Graphs launched: a batch's copies and kernels in one.
    pub graphs: AtomicU64,
    /// Of `rows`, those that lay on the device.
    pub resident_rows: AtomicU64,
    /// Windows explained.
    pub explained: AtomicU64,
    pub up_bytes: AtomicU64,
    pub down_bytes: AtomicU64,
    /// By the device's own events.
    pub up_ns: AtomicU64,
    pub kernel_ns: AtomicU64,
    pub down_ns: AtomicU64,
    /// Batches that the CPU scored again.
    pub failures: AtomicU64,
}

static COUNTERS: Counters = Counters {
    shards: AtomicU64::new(0),
    rows: AtomicU64::new(0),
    launches: AtomicU64::new(0),
    graphs: AtomicU64::new(0),
    resident_rows: AtomicU64::new(0),
    explained: AtomicU64::new(0),
    up_bytes: AtomicU64::new(0),
    down_bytes: AtomicU64::new(0),
    up_ns: AtomicU64::new(0),
    kernel_ns: AtomicU64::new(0),
    down_ns: AtomicU64::new(0),
    failures: AtomicU64::new(0),
};

/// Of all shards together.
pub fn counters() -> &'static Counters {
    &COUNTERS
}
