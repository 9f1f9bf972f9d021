//! Snapshots of a full engine: how long saving one partition holds up its shard, how long the disk takes, and how
//! long a start takes to have all of them back. `cargo bench --bench snapshot [-- KEYS]`, a million unless told
//! otherwise; windows of 64 cells of one column, and of four.

#[path = "../tests/plant/mod.rs"]
mod plant;

use std::time::{Duration, Instant};

use eddy::config::plan::{ModelPlan, Plan};
use eddy::durable::{RealDisk, SnapshotName, Snapshots};
use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{PARTITIONS, PartitionId, Position, RecordRef, StreamId};
use hdrhistogram::Histogram;
use plant::{Row, SECOND_NS, START_NS};

const STREAM: StreamId = StreamId(0);
const FINGERPRINT: [u8; 32] = [7; 32];
const ROUNDS: u64 = 5;

fn plan(columns: usize) -> Plan {
    let mut plan = plant::plan(1);
    let stream = &mut plan.streams[0];
    stream.columns.truncate(columns);
    stream.window.size = Duration::from_secs(64);
    (stream.window.disorder, stream.window.lateness) = (Duration::from_secs(2), Duration::from_secs(2));
    stream.model = ModelPlan::Fit { warmup: Duration::from_secs(86_400) };
    plan
}

/// An engine in its warm-up, whose rings have all been filled, with rows waiting.
fn filled(plan: &Plan, keys: u64) -> Engine {
    let mut engine = Engine::new(plan);
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    let columns = plan.streams[0].columns.len();
    for second in 0..70 {
        for key in 0..keys {
            let value = (key * 31 + second * 17) as f32 % 97.0;
            let time_ns = START_NS + second as i64 * SECOND_NS;
            let row =
                Row { key: format!("device-{key:08}"), time_ns, values: [value, 1.0, 2.0, value * 0.5] };
            slot.push(RecordRef { values: &row.values[..columns], ..row.record(second * keys + key) });
            if slot.len() == 100_000 {
                engine.step(&slot, &Env::SIMULATED, &mut out);
                slot.clear();
                out.clear();
            }
        }
    }
    engine.step(&slot, &Env::SIMULATED, &mut out);
    engine
}

fn name(id: u8) -> SnapshotName {
    SnapshotName { of: format!("pumps-{id:02}"), position: Position(1) }
}

fn measure(columns: usize, keys: u64) {
    let plan = plan(columns);
    let engine = filled(&plan, keys);
    let folder = tempfile::tempdir_in(".").expect("a folder on the disk");
    let mut snapshots = Snapshots::open(Box::new(RealDisk::new()), folder.path()).expect("it opens");
    let (mut pauses, mut writes) =
        (Histogram::<u64>::new(3).expect("bounds"), Histogram::<u64>::new(3).expect("bounds"));
    let mut bytes = 0;
    // As the shards have it: one buffer for all saves, its pages there before the first.
    let largest = (0..PARTITIONS as u8).map(|id| engine.state_bytes(STREAM, PartitionId(id))).max();
    let mut file = vec![1; largest.unwrap_or_default() + Snapshots::HEADER_BYTES];
    for round in 0..ROUNDS {
        for id in 0..PARTITIONS as u8 {
            file.clear();
            let began = Instant::now();
            file.resize(Snapshots::HEADER_BYTES, 0);
            assert!(engine.save(STREAM, PartitionId(id), &mut file));
            pauses.record(began.elapsed().as_nanos() as u64).expect("it grows");
            if round == 0 {
                bytes += file.len();
                let began = Instant::now();
                snapshots.store(&name(id), FINGERPRINT, &mut file).expect("it is written");
                writes.record(began.elapsed().as_nanos() as u64).expect("it grows");
            }
        }
    }
    drop(engine);
    let mut fresh = Engine::new(&plan);
    let began = Instant::now();
    for id in 0..PARTITIONS as u8 {
        let state = snapshots.read(&name(id), Some(FINGERPRINT)).expect("it is whole");
        let restored = fresh.restore(
            STREAM,
            PartitionId(id),
            Position(1),
            StateReader::new(&state),
            &|_| None,
            &Env::SIMULATED,
        );
        assert_eq!(restored, Ok(()));
    }
    let ms = |ns: u64| ns as f64 / 1e6;
    println!(
        "| {keys} | {columns} | {:.0} | {:.1} | {:.1} | {:.1} | {:.0} | {:.2} |",
        bytes as f64 / 1e6,
        ms(pauses.value_at_quantile(0.5)),
        ms(pauses.value_at_quantile(0.99)),
        ms(pauses.max()),
        ms(writes.value_at_quantile(0.5)),
        began.elapsed().as_secs_f64(),
    );
}

fn main() {
    let keys = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1_000_000);
    println!(
        "| keys | columns | state, MB | pause p50, ms | p99 | most | write and fsync p50, ms | all restored, s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for columns in [1, 4] {
        measure(columns, keys);
    }
}
