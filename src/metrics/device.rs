//! Families of the GPU, for all shards together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::metrics::MetricType;

use super::{Family, one};
use crate::backend::cuda::counters;

pub(super) fn families() -> Vec<Family> {
    use MetricType::{Counter, Gauge};
    let counters = counters();
    let count = |count: &AtomicU64| count.load(Relaxed) as f64;
    let seconds = |ns: &AtomicU64| count(ns) / 1e9;
    let by_phase = [("up", &counters.up_ns), ("kernel", &counters.kernel_ns), ("down", &counters.down_ns)];
    let by_direction = [("up", &counters.up_bytes), ("down", &counters.down_bytes)];
    vec![
        one("device_shards", "Shards that score on the GPU", Gauge, count(&counters.shards)),
        one("device_windows", "Windows scored on the GPU", Counter, count(&counters.rows)),
        one(
            "device_resident_windows",
            "Windows of which only new cells crossed the bus",
            Counter,
            count(&counters.resident_rows),
        ),
        one("device_explained_windows", "Windows explained on the GPU", Counter, count(&counters.explained)),
        one("device_launches", "Kernels launched one by one", Counter, count(&counters.launches)),
        one("device_graphs", "Batches launched as a graph", Counter, count(&counters.graphs)),
        one(
            "device_failures",
            "Batches that the GPU failed and the CPU scored",
            Counter,
            count(&counters.failures),
        ),
        Family {
            name: "device_bytes",
            help: "Bytes over the bus",
            kind: Counter,
            samples: by_direction
                .map(|(direction, bytes)| (vec![("direction", direction.to_owned())], count(bytes)))
                .into(),
        },
        Family {
            name: "device_seconds",
            help: "Time of the GPU by its own events",
            kind: Counter,
            samples: by_phase.map(|(phase, ns)| (vec![("phase", phase.to_owned())], seconds(ns))).into(),
        },
    ]
}
