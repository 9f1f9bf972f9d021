//! Rows behind the watermark: within the allowed lateness they put right what was decided and told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS, rows};
use eddy::config::plan::Plan;
use eddy::engine::{Counts, Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::types::AlertState::{self, *};
use eddy::types::{Decision, Point, Position, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LATENESS_S: i64 = 12;

#[derive(Debug, Default)]
struct Outcome {
    decisions: Vec<Decision>,
    points: Vec<Point>,
    counts: BTreeMap<u8, Counts>,
}

fn plan(shards: usize, disorder_s: i64) -> Plan {
    let mut plan = plant::plan(shards);
    plan.streams[0].window.disorder = Duration::from_secs(disorder_s as u64);
    plan.streams[0].window.lateness = Duration::from_secs(LATENESS_S as u64);
    plan
}

/// Runs rows through `shards` engines, `batch` rows a slot, and ends the input.
fn run(rows: &[Row], batch: usize, shards: usize, disorder_s: i64) -> Outcome {
    let plan = plan(shards, disorder_s);
    let mut engines: Vec<Engine> = (0..shards).map(|_| plant::engine(&plan)).collect();
    let env = Env { follows: &|_, _| true, follows_version: 1, ..Env::SIMULATED };
    let (mut out, mut outcome) = (Outputs::default(), Outcome::default());
    for (b, chunk) in rows.chunks(batch).enumerate() {
        let slots = plant::slots(chunk, b * batch, shards);
        engines.iter_mut().zip(&slots).for_each(|(engine, slot)| engine.step(slot, &env, &mut out));
    }
    for engine in &mut engines {
        engine.end_of_input(StreamId(0), Position(u64::MAX), &env, &mut out);
        engine.changed(|_, partition, counts, _| {
            outcome.counts.insert(partition.0, *counts);
        });
    }
    assert_eq!(out.late, [], "within the lateness");
    outcome.decisions = out.raised.into_iter().map(|raised| raised.decision).collect();
    outcome.points = out.points;
    // Partitions run side by side; inside one the order is fixed, and the sorts keep it.
    outcome.decisions.sort_by_key(|decision| eddy::types::key_hash(decision.key.as_bytes()));
    outcome.points.sort_by(|a, b| a.key.cmp(&b.key));
    outcome
}

/// Shuffles without moving any row by as much as the lateness.
fn shuffled(rows: &[Row], seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bound_ns = LATENESS_S * SECOND_NS - 1;
    let mut keyed: Vec<(i64, Row)> =
        rows.iter().map(|row| (row.time_ns + rng.random_range(0..bound_ns), row.clone())).collect();
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// The last p-value given to each window that ends by `until_s`: key and end to the bits.
fn verdicts(outcome: &Outcome, until_s: i64) -> BTreeMap<(Vec<u8>, i64), (u64, bool)> {
    let until_ns = START_NS + until_s * SECOND_NS;
    let in_time = outcome.points.iter().filter(|point| point.time.0 <= until_ns);
    in_time.map(|p| ((p.key.to_vec(), p.time.0), (p.p_value.to_bits(), p.confident))).collect()
}

/// What stands at the end: the state of each alert that was not retracted, in order of its key and onset.
fn standing(outcome: &Outcome) -> Vec<(String, bool)> {
    let mut last: BTreeMap<(&str, i64), &Decision> = BTreeMap::new();
    for decision in &outcome.decisions {
        let before = last.insert((&decision.key, decision.onset.0), decision);
        assert_eq!(before.map_or(0, |before| before.revision) + 1, decision.revision, "{decision:?}");
    }
    let stands = last.into_values().filter(|decision| decision.state != Retracted);
    stands.map(|decision| (decision.key.clone(), decision.state.is_firing())).collect()
}

#[test]
fn late_rows_lead_to_the_verdicts_and_alerts_of_rows_in_time() {
    let (mut reopened, mut changed) = (0, 0);
    for seed in plant::seeds(12) {
        // Epochs end at the full minute. What a window taught was learnt when the watermark passed it, so
        // it is up to there that both runs know the same.
        let rows = rows(5, 75, seed, 20..45);
        let in_time = run(&rows, 64, 1, LATENESS_S);
        let late = run(&shuffled(&rows, seed), 64, 1, 2);
        assert_eq!(verdicts(&late, 60), verdicts(&in_time, 60), "EDDY_SEED={seed}");
        assert!(verdicts(&late, 60).len() > 100);
        reopened += late.counts.values().map(|counts| counts.windows_again).sum::<u64>();
        changed += late.decisions.iter().filter(|d| !matches!(d.state, Raised)).count();
    }
    assert!(reopened > 0 && changed > 0, "{reopened} windows opened again, {changed} changes told");
}

#[test]
fn what_stands_at_the_end_is_what_rows_in_time_would_have_told() {
    let mut told = 0;
    for seed in plant::seeds(20) {
        let rows = rows(5, 59, seed, 20..45);
        let in_time = standing(&run(&rows, 64, 1, LATENESS_S));
        let late = run(&shuffled(&rows, seed), 64, 1, 2);
        assert_eq!(standing(&late), in_time, "EDDY_SEED={seed}");
        let open: u64 = late.counts.values().map(|counts| counts.alerts_open).sum();
        assert_eq!(open as usize, in_time.iter().filter(|(_, firing)| *firing).count(), "EDDY_SEED={seed}");
        told += in_time.len();
    }
    assert!(told > 0, "some of the runs raise alerts");
}

#[test]
fn decisions_are_a_function_of_the_log_alone() {
    for seed in plant::seeds(3) {
        let rows = shuffled(&plant::dense(&rows(20, 200, seed, 60..120)), seed);
        let reference = run(&rows, 1, 1, 2);
        assert!(reference.counts.values().any(|counts| counts.reopening > 0));
        for batch in [1, 7, 4096] {
            for shards in [1, 2, 4] {
                let outcome = run(&rows, batch, shards, 2);
                assert_eq!(outcome.decisions, reference.decisions, "{batch}, {shards}, EDDY_SEED={seed}");
                assert_eq!(outcome.counts, reference.counts, "{batch}, {shards}, EDDY_SEED={seed}");
            }
        }
    }
}

/// States told of the first pump.
fn story(rows: &[Row]) -> Vec<(u32, AlertState)> {
    let outcome = run(rows, 16, 1, 2);
    let first = outcome.decisions.iter().filter(|decision| decision.key == "pump-0");
    first.map(|decision| (decision.revision, decision.state)).collect()
}

/// Rows that make up for what was wrong with the first pump in `seconds`, so many that the mean of a cell
/// is that of the right ones; they come `after_s` later.
fn corrections(right: &[Row], seconds: std::ops::Range<i64>, after_s: i64) -> Vec<(i64, Row)> {
    let of_first = right.iter().filter(|row| row.key == "pump-0");
    let wanted = of_first.filter(|row| seconds.contains(&((row.time_ns - START_NS) / SECOND_NS)));
    let copies = |row: &Row| {
        let at = row.time_ns + after_s * SECOND_NS;
        let copy = |i: i64| (at, Row { time_ns: row.time_ns + 1 + i, ..row.clone() });
        (0..200).map(copy).collect::<Vec<_>>()
    };
    wanted.flat_map(copies).collect()
}

#[test]
fn an_alert_that_late_rows_explain_away_is_retracted() {
    let seed = 7;
    let (broken, right) = (rows(2, 50, seed, 24..32), rows(2, 50, seed, 0..0));
    assert_eq!(story(&right), []);
    let told = story(&broken);
    assert_eq!(told[0], (1, Raised), "{told:?}");
    let mut keyed: Vec<(i64, Row)> = broken.into_iter().map(|row| (row.time_ns, row)).collect();
    keyed.extend(corrections(&right, 24..32, 10));
    keyed.sort_by_key(|(at, _)| *at);
    let rows: Vec<Row> = keyed.into_iter().map(|(_, row)| row).collect();
    let told = story(&rows);
    assert_eq!(told[0], (1, Raised), "{told:?}");
    assert_eq!(told.last().map(|(_, state)| *state), Some(Retracted), "{told:?}");
    assert!(told.iter().zip(1..).all(|((revision, _), nth)| *revision == nth), "one alert: {told:?}");
    assert!(told.iter().any(|(_, state)| *state == Revised), "less odd on the way: {told:?}");
}

#[test]
fn a_row_later_than_the_lateness_changes_nothing_and_is_put_out() {
    let plan = plan(1, 2);
    let mut engine = plant::engine(&plan);
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    let rows = rows(1, 60, 3, 0..0);
    rows.iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
    let late = Row { time_ns: START_NS + (59 - LATENESS_S) * SECOND_NS - 1, ..rows[0].clone() };
    let just_in_time = Row { time_ns: late.time_ns + 1, ..rows[0].clone() };
    slot.push(late.record(60));
    slot.push(just_in_time.record(61));
    slot.push(just_in_time.record(62));
    engine.step(&slot, &Env::SIMULATED, &mut out);
    assert_eq!(out.late.iter().map(|late| late.position.0).collect::<Vec<_>>(), [60]);
    engine.changed(|_, _, counts, _| {
        assert_eq!((counts.late, counts.reopening, counts.duplicates), (1, 1, 1));
    });
}
