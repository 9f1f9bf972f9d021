//! Snapshots of a full engine: how long saving holds up a shard, by partition, and how long restoring all
//! of them takes. `cargo bench --bench snapshot [-- KEYS]`; 100,000 keys of 4 columns and 64 cells unless
//! told otherwise.

#[path = "../tests/plant/mod.rs"]
mod plant;

use std::time::{Duration, Instant};

use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{PARTITIONS, PartitionId, Position, StreamId};
use plant::{Row, SECOND_NS, START_NS};

const STREAM: StreamId = StreamId(0);

/// An engine in its warm-up, whose rings have all been filled, with rows waiting.
fn filled(plan: &eddy::config::plan::Plan, keys: u64) -> Engine {
    let mut engine = Engine::new(plan);
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    for second in 0..80 {
        for key in 0..keys {
            let value = (key * 31 + second * 17) as f32 % 97.0;
            let time_ns = START_NS + second as i64 * SECOND_NS;
            let row =
                Row { key: format!("device-{key:08}"), time_ns, values: [value, 1.0, 2.0, value * 0.5] };
            slot.push(row.record(second * keys + key));
        }
        engine.step(&slot, &Env::SIMULATED, &mut out);
        slot.clear();
        out.clear();
    }
    engine
}

fn quantile(sorted: &[Duration], q: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

fn main() {
    let keys = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(100_000);
    let mut plan = plant::plan(1);
    plan.streams[0].window.size = Duration::from_secs(64);
    plan.streams[0].model = eddy::config::plan::ModelPlan::Fit { warmup: Duration::from_secs(86_400) };
    let engine = filled(&plan, keys);
    let mut states = Vec::new();
    let mut pauses = Vec::new();
    let mut state = Vec::new();
    for round in 0..5 {
        for id in 0..PARTITIONS as u8 {
            let began = Instant::now();
            state.clear();
            assert!(engine.save(STREAM, PartitionId(id), &mut state));
            pauses.push(began.elapsed());
            if round == 0 {
                states.push(state.clone());
            }
        }
    }
    pauses.sort_unstable();
    drop(engine);
    let bytes: usize = states.iter().map(Vec::len).sum();
    let mut fresh = Engine::new(&plan);
    let began = Instant::now();
    for (id, state) in states.iter().enumerate() {
        let id = PartitionId(id as u8);
        let restored = fresh.restore(STREAM, id, Position(1), state, &|_| None, &Env::SIMULATED);
        assert_eq!(restored, Ok(()));
    }
    let restore = began.elapsed();
    println!("{keys} keys in {PARTITIONS} partitions, {:.1} MB of state", bytes as f64 / 1e6);
    println!(
        "save, a partition: p50 {:?}, p99 {:?}, most {:?}",
        quantile(&pauses, 0.5),
        quantile(&pauses, 0.99),
        pauses[pauses.len() - 1]
    );
    println!("restore, all: {restore:?}");
}
