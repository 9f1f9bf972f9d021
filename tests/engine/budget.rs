//! The alert budget in the engine: thresholds follow from a partition's own rows and the entries on the stream's
//! keys, and from nothing else.

use std::collections::BTreeMap;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::{AlarmPlan, Plan};
use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::{AlertState, Decision, PartitionId, Position, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STREAM: StreamId = StreamId(0);
const KEYS: usize = 20;
const PER_DAY: f64 = 50.0;

/// (seconds into the run, keys of the stream). Away from where epochs end, so that rows may come in any order.
type Entries<'a> = &'a [(i64, u64)];

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    decisions: Vec<Decision>,
    /// Partition to (windows, openings in a day, digest).
    partitions: BTreeMap<u8, (u64, u64, u64)>,
}

impl Outcome {
    fn raised(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.state == AlertState::Raised)
    }
}

fn plan(shards: usize) -> Plan {
    let mut plan = plant::plan(shards);
    plan.streams[0].alarm = AlarmPlan::Budget { per_day: PER_DAY };
    plan
}

/// Pumps that break one after the other, for longer than an epoch.
fn rows() -> Vec<Row> {
    let mut rows = plant::rows(KEYS, 500, 3, 70..190);
    for row in &mut rows {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        if row.key == "pump-1" && (190..380).contains(&second) || row.key == "pump-2" && second >= 380 {
            row.values[3] = 5.0 - row.values[3];
        }
    }
    rows
}

/// Runs rows `batch` a slot, and hands every partition over to new engines after each of `cuts` of them.
fn run(rows: &[Row], entries: Entries<'_>, batch: usize, shards: usize, cuts: &[usize]) -> Outcome {
    let plan = plan(shards);
    let start = || (0..shards).map(|_| plant::engine(&plan)).collect::<Vec<Engine>>();
    let (mut engines, mut out, mut noted) = (start(), Outputs::default(), 0);
    let mut slots: Vec<Slot> = (0..shards).map(|_| Slot::default()).collect();
    let mut step = |engines: &mut [Engine], slots: &mut [Slot]| {
        for (engine, slot) in engines.iter_mut().zip(slots) {
            engine.step(slot, &Env::SIMULATED, &mut out);
            slot.clear();
        }
    };
    // By the row at which an entry stands in the log: all before it are within 8 s.
    let at = |second: i64| rows.iter().position(|row| row.time_ns >= START_NS + second * SECOND_NS);
    for (i, row) in rows.iter().enumerate() {
        if entries.get(noted).is_some_and(|(second, _)| at(*second) == Some(i)) {
            step(&mut engines, &mut slots);
            engines.iter_mut().for_each(|engine| engine.set_keys(STREAM, entries[noted].1));
            noted += 1;
        }
        if cuts.contains(&i) {
            step(&mut engines, &mut slots);
            engines = plant::handed_over(&engines, start(), i as u64);
            let known = noted.checked_sub(1).map_or(0, |last| entries[last].1);
            engines.iter_mut().for_each(|engine| engine.set_keys(STREAM, known));
        }
        let record = row.record(i as u64);
        slots[PartitionId::of(record.key_hash).shard(shards)].push(record);
        if i % batch == batch - 1 {
            step(&mut engines, &mut slots);
        }
    }
    step(&mut engines, &mut slots);
    let mut outcome = Outcome::default();
    for engine in &mut engines {
        engine.end_of_input(STREAM, Position(u64::MAX), &Env::SIMULATED, &mut out);
        engine.changed(|_, partition, c, _| {
            outcome.partitions.insert(partition.0, (c.windows, c.alerts_opened_day, c.digest));
        });
    }
    outcome.decisions = out.raised.into_iter().map(|raised| raised.decision).collect();
    outcome.decisions.sort_by(|a, b| (&a.id, a.revision).cmp(&(&b.id, b.revision)));
    outcome
}

fn nats(decision: &Decision) -> f64 {
    -decision.window().expect("of the window rule").threshold.ln()
}

#[test]
fn batches_shards_order_and_restarts_change_no_threshold() {
    let (rows, entries) = (rows(), [(20, 12), (150, 20), (270, 40)]);
    let reference = run(&rows, &entries, 1, 1, &[]);
    let thresholds: std::collections::BTreeSet<u64> = reference.raised().map(|d| nats(d).to_bits()).collect();
    assert!(thresholds.len() >= 3, "they stand still: {:?}", reference.decisions);
    for (batch, shards) in [(1, 2), (7, 1), (4096, 2)] {
        assert_eq!(run(&rows, &entries, batch, shards, &[]), reference, "batch {batch}, {shards} shards");
    }
    for seed in plant::seeds(6) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let cuts: Vec<usize> = (0..3).map(|_| rng.random_range(0..rows.len())).collect();
        assert_eq!(run(&rows, &entries, 64, 2, &cuts), reference, "EDDY_SEED={seed}, cuts {cuts:?}");
        let mut late: Vec<(i64, &Row)> =
            rows.iter().map(|row| (row.time_ns + rng.random_range(0..7 * SECOND_NS), row)).collect();
        late.sort_by_key(|(at, _)| *at);
        let late: Vec<Row> = late.into_iter().map(|(_, row)| row.clone()).collect();
        assert_eq!(run(&late, &entries, 64, 2, &[]), reference, "EDDY_SEED={seed}, shuffled");
    }
}

#[test]
fn an_entry_on_the_keys_acts_from_the_next_epoch_on() {
    let rows = rows();
    let first = |entries| {
        let outcome = run(&rows, entries, 64, 1, &[]);
        nats(outcome.raised().min_by_key(|decision| decision.onset).expect("an alert"))
    };
    let few = first(&[(30, KEYS as u64)]);
    let many = first(&[(30, 100 * KEYS as u64)]);
    assert!((many - few - 100f64.ln()).abs() < 0.1, "a hundred times the keys: {few} and {many} nats");
    // A window every two seconds.
    let h0 = (43_200.0 * KEYS as f64 / PER_DAY).ln();
    assert!((few - h0).abs() < 0.3, "{few} nats, {h0} expected");
    assert_eq!(first(&[(30, KEYS as u64), (130, 1)]), few, "the alert is told before the entry could act");
}

#[test]
fn openings_are_counted_and_raise_the_threshold_of_their_partition_alone() {
    let outcome = run(&rows(), &[(20, KEYS as u64)], 64, 1, &[]);
    let opened: u64 = outcome.partitions.values().map(|(_, opened, _)| opened).sum();
    assert_eq!(opened, outcome.raised().count() as u64);
    let partition = |decision: &Decision| PartitionId::of(eddy::types::key_hash(decision.key.as_bytes()));
    let first = outcome.raised().min_by_key(|d| d.onset).expect("an alert");
    let later = outcome.decisions.iter().filter(|d| d.onset.0 > first.onset.0 + 60 * SECOND_NS);
    for decision in later.filter(|d| d.state == AlertState::Raised && partition(d) != partition(first)) {
        assert!((nats(decision) - nats(first)).abs() < 0.3, "{decision:?}");
    }
    let closing = outcome.decisions.iter().find(|d| d.id == first.id && d.state == AlertState::Resolved);
    let closing = closing.expect("it ends");
    assert!(nats(closing) > nats(first) + 0.9, "{} after {}", nats(closing), nats(first));
}

#[test]
fn an_engine_asks_for_an_entry_while_its_keys_grow() {
    let plan = plan(1);
    let mut engine = plant::engine(&plan);
    assert_eq!(engine.keys_due(STREAM), None);
    let mut slot = Slot::default();
    let rows = rows();
    rows[..KEYS].iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
    engine.step(&slot, &Env::SIMULATED, &mut Outputs::default());
    assert_eq!(engine.keys_due(STREAM), Some(KEYS as u64));
    engine.set_keys(STREAM, KEYS as u64);
    assert_eq!(engine.keys_due(STREAM), None);
    // Without a budget nobody asks.
    let mut engine = plant::engine(&plant::plan(1));
    engine.step(&slot, &Env::SIMULATED, &mut Outputs::default());
    assert_eq!(engine.keys_due(STREAM), None);
}
