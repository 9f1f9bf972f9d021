//! What lasts: an alert that stands gives way to the key's new level, and what many keys do together is drift.

mod late;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::Plan;
use eddy::engine::{Engine, Env, Judged, Outputs};
use eddy::ring::Slot;
use eddy::types::AlertState::{self, *};
use eddy::types::drift::Drift;
use eddy::types::{Arrival, Decision, PartitionId, Position, Resolution, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STREAM: StreamId = StreamId(0);
const STANDING_S: i64 = 300;
const TEMPERATURE: usize = 2;
/// About six sd of a pump's temperature.
const STEP: f32 = 30.0;

#[derive(Default)]
struct Outcome {
    decisions: Vec<Decision>,
    judged: Vec<Judged>,
    /// Over all partitions.
    drift: Drift,
    /// Partition to (alerts open, digest).
    partitions: BTreeMap<u8, (u64, u64)>,
    drifts: BTreeMap<u8, Drift>,
}

/// How rows reach the engine; nothing of it may matter.
#[derive(Clone, Copy)]
struct Way<'a> {
    batch: usize,
    shards: usize,
    disorder_s: u64,
    lateness_s: u64,
    /// After which rows every partition is handed over to new engines.
    cuts: &'a [usize],
    /// When rows arrive.
    arrival: fn(i64) -> i64,
    standing_s: Option<u64>,
}

const PLAIN: Way<'static> = Way {
    batch: 64,
    shards: 1,
    disorder_s: 8,
    lateness_s: 8,
    cuts: &[],
    arrival: |time| time,
    standing_s: Some(STANDING_S as u64),
};

fn plan(way: &Way<'_>) -> Plan {
    let mut plan = plant::plan(way.shards);
    plan.streams[0].standing = way.standing_s.map(Duration::from_secs);
    plan.streams[0].window.disorder = Duration::from_secs(way.disorder_s);
    plan.streams[0].window.lateness = Duration::from_secs(way.lateness_s);
    plan
}

fn run(rows: &[Row], way: Way<'_>) -> Outcome {
    let plan = plan(&way);
    let start = || (0..way.shards).map(|_| plant::engine(&plan)).collect::<Vec<Engine>>();
    let mut engines = start();
    let mut out = Outputs { judged: Some(Vec::new()), ..Outputs::default() };
    let mut slots: Vec<Slot> = (0..way.shards).map(|_| Slot::default()).collect();
    let mut step = |engines: &mut [Engine], slots: &mut [Slot]| {
        for (engine, slot) in engines.iter_mut().zip(slots) {
            engine.step(slot, &Env::SIMULATED, &mut out);
            slot.clear();
        }
    };
    for (i, row) in rows.iter().enumerate() {
        if way.cuts.contains(&i) {
            step(&mut engines, &mut slots);
            engines = plant::handed_over(&engines, start(), i as u64);
        }
        let mut record = row.record(i as u64);
        record.arrival = Arrival((way.arrival)(row.time_ns));
        slots[PartitionId::of(record.key_hash).shard(way.shards)].push(record);
        if i % way.batch == way.batch - 1 {
            step(&mut engines, &mut slots);
        }
    }
    step(&mut engines, &mut slots);
    let mut outcome = Outcome::default();
    for engine in &mut engines {
        engine.end_of_input(STREAM, Position(u64::MAX), &Env::SIMULATED, &mut out);
        engine.drifted(|_, partition, drift| {
            outcome.drift.add(drift);
            outcome.drifts.insert(partition.0, drift.clone());
        });
        engine.changed(|_, partition, c, _| {
            outcome.partitions.insert(partition.0, (c.alerts_open, c.digest));
        });
    }
    outcome.decisions = out.raised.into_iter().map(|raised| raised.decision).collect();
    outcome.decisions.sort_by_key(|decision| eddy::types::key_hash(decision.key.as_bytes()));
    outcome.judged = out.judged.unwrap_or_default();
    outcome
}

/// Three pumps; the first one's temperature takes a step up at each of these seconds, and stays there.
fn stepped(seconds: i64, steps: &[i64]) -> Vec<Row> {
    let mut rows = plant::rows(3, seconds, 5, 0..0);
    for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        row.values[TEMPERATURE] += STEP * steps.iter().filter(|step| **step <= second).count() as f32;
    }
    rows
}

fn second(ns: i64) -> i64 {
    (ns - START_NS) / SECOND_NS
}

/// Of each change of the first pump: state, resolution, second of its window's end. Nothing is told of the others.
fn story(outcome: &Outcome) -> Vec<(AlertState, Option<Resolution>, i64)> {
    let of = |decision: &Decision| {
        let window = decision.window().expect("of the window rule");
        assert_eq!(decision.key, "pump-0");
        (decision.state, window.resolution, second(window.window_end.0))
    };
    outcome.decisions.iter().map(of).collect()
}

#[test]
fn a_step_that_stays_is_told_once_learnt_and_a_further_one_is_told_anew() {
    let outcome = run(&stepped(1600, &[200, 1100]), PLAIN);
    let told = story(&outcome);
    let standing = Some(Resolution::Standing);
    let kinds: Vec<_> = told.iter().map(|(state, resolution, _)| (*state, *resolution)).collect();
    assert_eq!(
        kinds,
        [(Raised, None), (Resolved, standing), (Raised, None), (Resolved, standing)],
        "{told:?}"
    );
    let at: Vec<i64> = told.iter().map(|(_, _, second)| *second).collect();
    assert!((200..220).contains(&at[0]) && (1100..1120).contains(&at[2]), "{told:?}");
    assert_eq!([at[1] - at[0], at[3] - at[2]], [STANDING_S, STANDING_S]);
    let ids: Vec<&str> = outcome.decisions.iter().map(|decision| &decision.id[..]).collect();
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2]);
    let between = outcome.judged.iter().filter(|judged| {
        &judged.key[..] == b"pump-0"
            && (700..1100).contains(&second(judged.end.0))
            && judged.verdict.confident
    });
    let (mut windows, mut odd) = (0, 0);
    between.for_each(|judged| (windows, odd) = (windows + 1, odd + i32::from(judged.verdict.p_value < 0.01)));
    assert!(windows == 200 && odd < 20, "{odd} of {windows} windows are odd at the new level");
}

#[test]
fn batches_shards_arrivals_and_restarts_change_nothing_about_it() {
    let rows = stepped(1000, &[200]);
    let reference = run(&rows, PLAIN);
    assert_eq!(story(&reference).len(), 2);
    let same = |way: Way<'_>, what: &str| {
        let outcome = run(&rows, way);
        assert_eq!(outcome.decisions, reference.decisions, "{what}");
        assert_eq!(outcome.partitions, reference.partitions, "{what}");
        assert_eq!(outcome.drifts, reference.drifts, "{what}");
    };
    same(Way { batch: 1, ..PLAIN }, "one by one");
    same(Way { batch: 4096, shards: 2, ..PLAIN }, "at once");
    same(Way { arrival: |_| START_NS, ..PLAIN }, "all arrive at the same time");
    same(Way { arrival: |time| 5 * time - 4 * START_NS, ..PLAIN }, "arriving ever later");
    for seed in plant::seeds(4) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // One of them in the epoch in which it is resolved: the level is forgotten at its end.
        let mut cuts: Vec<usize> = (0..3).map(|_| rng.random_range(0..rows.len())).collect();
        cuts.push(3 * (525 + rng.random_range(0..14)));
        same(Way { cuts: &cuts, ..PLAIN }, &format!("EDDY_SEED={seed}, cuts {cuts:?}"));
    }
}

#[test]
fn a_relation_that_stays_broken_is_told_once_in_its_standing_time() {
    let outcome = run(&plant::rows(3, 1800, 5, 100..1800), PLAIN);
    let raised: Vec<i64> = story(&outcome)
        .into_iter()
        .filter(|(state, ..)| *state == Raised)
        .map(|(_, _, second)| second)
        .collect();
    assert!((3..=4).contains(&raised.len()), "{raised:?}");
    assert!(raised.windows(2).all(|pair| pair[1] - pair[0] > STANDING_S), "{raised:?}");
    assert!(raised.windows(2).all(|pair| pair[1] - pair[0] < 2 * STANDING_S), "{raised:?}");
}

/// Moves the second pump into the partition of the first, and gives its new name.
fn joined(rows: &mut [Row]) -> String {
    let partition = |key: &str| PartitionId::of(eddy::types::key_hash(key.as_bytes()));
    let mut names = (1..).map(|n| format!("pump-{n}"));
    let other = names.find(|name| partition(name) == partition("pump-0")).expect("one of them");
    rows.iter_mut().filter(|row| row.key == "pump-1").for_each(|row| row.key.clone_from(&other));
    other
}

#[test]
fn what_is_learnt_anew_does_not_reach_the_calibration_of_other_keys() {
    let mut rows = plant::rows(2, 1000, 5, 100..1000);
    let other = joined(&mut rows);
    let p_values = |standing_s| {
        let judged = run(&rows, Way { standing_s, ..PLAIN }).judged.into_iter();
        let others = judged.filter(|judged| &judged.key[..] == other.as_bytes());
        others.map(|judged| (judged.end.0, judged.verdict.p_value)).collect::<Vec<_>>()
    };
    let (stands, never) = (p_values(PLAIN.standing_s), p_values(None));
    assert!(stands.len() > 400);
    let differ = stands.iter().zip(&never).find(|(one, other)| one != other);
    assert_eq!(differ, None, "the other key is judged alike");
}

/// Pumps of which some run hotter by four sd.
fn hotter(pumps: usize, hot: usize) -> Vec<Row> {
    let mut rows = plant::rows(pumps, 280, 8, 0..0);
    let is_hot = |row: &Row| row.key[5..].parse::<usize>().expect("a number") < hot;
    rows.iter_mut().filter(|row| is_hot(row)).for_each(|row| row.values[TEMPERATURE] += 20.0);
    rows
}

#[test]
fn what_most_keys_do_is_drift_and_what_one_does_is_not() {
    let all = run(&hotter(20, 16), PLAIN);
    let shift = all.drift.shift_sd(TEMPERATURE).expect("it was seen");
    assert!((3.0..=4.0).contains(&shift), "{shift}");
    assert!((0.6..0.9).contains(&all.drift.moved(TEMPERATURE)), "{}", all.drift.moved(TEMPERATURE));
    let open: u64 = all.partitions.values().map(|(open, _)| open).sum();
    assert!(open > 10, "{open} are in alert, which is no matter");
    for hot in [0, 1] {
        let few = run(&hotter(20, hot), PLAIN).drift;
        for column in 0..4 {
            let shift = few.shift_sd(column).expect("it was seen");
            assert!(shift.abs() < 0.7, "{hot} hot, column {column}: {shift}");
        }
        let low = few.low_share().expect("windows were judged");
        assert!((0.03..0.25).contains(&low), "{hot} hot: {low}");
    }
}
