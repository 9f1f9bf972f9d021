//! The engine is a pure step: what it decides depends on the rows of a partition alone.

use std::collections::BTreeMap;

use crate::plant::{self, Row, SECOND_NS, START_NS, rows};
use eddy::backend::{CpuBackend, Scores};
use eddy::engine::{Engine, Env, Outputs};
use eddy::judge::calibration::Calibration;
use eddy::model::ScalerPrior;
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{Decision, PartitionId, Point, Position, StreamId};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Debug, Default, PartialEq)]
struct Outcome {
    decisions: Vec<String>,
    /// Partition to (windows, events, duplicates, late, digest over all verdicts).
    digests: BTreeMap<u8, (u64, u64, u64, u64, u64)>,
}

/// Runs rows through `shards` engines, `batch` rows a slot, and ends the input.
fn run(rows: &[Row], batch: usize, shards: usize) -> Outcome {
    let plan = plant::plan_with_onsets(shards);
    let mut engines: Vec<Engine> = (0..shards).map(|_| plant::engine(&plan)).collect();
    let mut outcome = Outcome::default();
    let mut out = Outputs::default();
    let mut decisions: Vec<Decision> = Vec::new();
    for (b, chunk) in rows.chunks(batch).enumerate() {
        let slots = plant::slots(chunk, b * batch, shards);
        for (engine, slot) in engines.iter_mut().zip(&slots) {
            engine.step(slot, &Env::SIMULATED, &mut out);
        }
    }
    for engine in &mut engines {
        engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut out);
        engine.changed(|_, partition, c, _| {
            outcome.digests.insert(partition.0, (c.windows, c.events, c.duplicates, c.late, c.digest));
        });
    }
    decisions.extend(out.raised.into_iter().map(|r| r.decision));
    // Partitions run side by side; inside one the order is fixed, and the sort keeps it.
    decisions.sort_by(|a, b| (PartitionId::of(hash(a)).0).cmp(&PartitionId::of(hash(b)).0));
    outcome.decisions = decisions.iter().map(|d| serde_json::to_string(d).unwrap()).collect();
    outcome
}

fn hash(decision: &Decision) -> u64 {
    eddy::types::key_hash(decision.key.as_bytes())
}

/// Shuffles without moving any row by more than `bound_ns` of event time.
fn shuffled(rows: &[Row], bound_ns: i64, seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keyed: Vec<(i64, Row)> =
        rows.iter().map(|row| (row.time_ns + rng.random_range(0..bound_ns), row.clone())).collect();
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, row)| row).collect()
}

#[test]
fn batches_shards_and_order_within_the_lateness_change_nothing() {
    let rows = plant::dense(&rows(40, 400, 3, 120..200));
    let reference = run(&rows, 1, 1);
    assert!(reference.decisions.len() >= 2, "{:?}", reference.decisions);
    assert!(reference.digests.values().map(|d| d.0).sum::<u64>() > 5000);
    for batch in [1, 7, 4096] {
        for shards in [1, 2] {
            assert_eq!(run(&rows, batch, shards), reference, "batch {batch}, {shards} shards");
            for seed in plant::seeds(5) {
                let shuffled = shuffled(&rows, 8 * SECOND_NS, seed);
                let outcome = run(&shuffled, batch, shards);
                assert_eq!(outcome, reference, "batch {batch}, {shards} shards, EDDY_SEED={seed}");
            }
        }
    }
}

#[test]
fn redelivered_rows_are_one_event() {
    let rows = plant::dense(&rows(5, 200, 4, 100..150));
    let mut reference = run(&rows, 64, 1);
    let mut doubled = rows.clone();
    // Redelivered at once, within the lateness, and just after their cell became final.
    doubled.extend(rows.iter().filter(|r| r.time_ns % 3 == 0).cloned());
    doubled.sort_by_key(|r| r.time_ns);
    let mut again = Vec::new();
    for (i, row) in doubled.iter().enumerate() {
        again.push(row.clone());
        if i % 11 == 0 && i > 50 {
            again.push(doubled[i - 50].clone());
        }
    }
    let mut outcome = run(&again, 64, 1);
    let duplicates: u64 = outcome.digests.values().map(|d| d.2).sum();
    assert_eq!(duplicates as usize, again.len() - rows.len());
    for digests in [&mut outcome.digests, &mut reference.digests] {
        digests.values_mut().for_each(|d| d.2 = 0);
    }
    assert_eq!(outcome, reference);
}

#[test]
fn truncating_a_series_changes_no_earlier_score() {
    let rows = rows(6, 300, 5, 100..200);
    let whole = points(&rows);
    for cut in [250, 600, 601, 1300, 1799] {
        let truncated = points(&rows[..cut]);
        assert!(!truncated.is_empty());
        for (key, series) in &truncated {
            assert_eq!(series, &whole[key][..series.len()], "cut at row {cut}, key {key}");
        }
    }
}

/// (window end, p-value bits, expected bits) of each key's final windows.
fn points(rows: &[Row]) -> BTreeMap<String, Vec<(i64, u64, Vec<u32>)>> {
    let mut series: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for point in step_all(rows) {
        let key = String::from_utf8_lossy(&point.key).into_owned();
        let expected = point.expected.iter().map(|e| e.to_bits()).collect();
        series.entry(key).or_default().push((point.time.0, point.p_value.to_bits(), expected));
    }
    series
}

fn step_all(rows: &[Row]) -> Vec<Point> {
    let mut engine = plant::engine(&plant::plan(1));
    let env = Env { now: &|| 0, meets: &|_, _, _| {}, follows: &|_, _| true, follows_version: 1 };
    let mut slot = Slot::default();
    rows.iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
    let mut out = Outputs::default();
    engine.step(&slot, &env, &mut out);
    out.points
}

/// While some of a column is missing nobody knows; what is told without it, once it is gone, is of the others.
#[test]
fn a_column_that_drops_out_gives_no_sure_verdict_and_no_alert() {
    for column in 0..4 {
        let mut rows = rows(3, 400, 6, 0..0);
        for row in rows.iter_mut().filter(|r| r.time_ns >= START_NS + 150 * SECOND_NS) {
            row.values[column] = f32::NAN;
        }
        let gone_for = |p: &Point| (p.time.0 - START_NS) / SECOND_NS - 150;
        let points = step_all(&rows);
        let sure = |seconds: std::ops::Range<i64>| {
            let points: Vec<_> = points.iter().filter(|p| seconds.contains(&gone_for(p))).collect();
            (points.iter().filter(|p| p.confident).count(), points.len())
        };
        assert!(sure(-150..0).0 > 100);
        let (partly, without) = (sure(9..16), sure(16..250));
        assert!(partly.1 > 5 && partly.0 == 0, "column {column} is going and a verdict is sure");
        assert!(
            without.1 > 100 && without.0 == without.1,
            "column {column} is gone and the others are not judged"
        );
        let decisions = run(&rows, 100, 1).decisions;
        let odd = decisions.iter().filter(|d| d.contains("\"rule\":\"window\"")).count();
        assert_eq!(odd, 0, "column {column}: missing data is no anomaly");
    }
}

/// A model may hold keys it has never met: they are judged only when their own scale is known.
#[test]
fn a_new_key_is_not_judged_before_it_has_a_window_of_its_own() {
    let mut rows = rows(2, 300, 8, 0..0);
    rows.iter_mut().for_each(|r| r.key = format!("new-{}", r.key));
    let points = step_all(&rows);
    let first_sure = points.iter().filter(|p| p.confident).map(|p| p.time.0).min().expect("warm at last");
    assert!(first_sure >= START_NS + 60 * SECOND_NS, "sure {} s in", (first_sure - START_NS) / SECOND_NS);
}

/// The plainest reading of the rules: all rows sorted, cells averaged, windows cut, scored one by one.
fn oracle(rows: &[Row]) -> BTreeMap<(String, i64), u64> {
    let model = plant::model();
    let references = [model.pyramid.references(), model.pyramid.column_references()];
    let calibration = Calibration::new(references);
    let mut cells: BTreeMap<(String, i64), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        cells.entry((row.key.clone(), row.time_ns.div_euclid(SECOND_NS))).or_default().push(row);
    }
    let mut verdicts = BTreeMap::new();
    let (mut backend, mut scores) = (CpuBackend::new(), Scores::default());
    let newest = rows.iter().map(|r| r.time_ns.div_euclid(SECOND_NS)).max().unwrap_or(0);
    let keys: std::collections::BTreeSet<&String> = rows.iter().map(|r| &r.key).collect();
    for key in keys {
        for end in (newest - 80..=newest + 1).filter(|end| end % 2 == 0) {
            let window: Vec<Option<[f32; 4]>> =
                (end - 16..end).map(|c| cells.get(&(key.clone(), c)).map(|rows| mean(rows))).collect();
            if window.iter().all(Option::is_none) {
                continue;
            }
            let z: Vec<f32> = window.iter().flat_map(|cell| standardised(&model.prior, key, *cell)).collect();
            backend.score(&model, &z, &mut scores);
            let p_value = calibration.p_value([scores.surprise[0], scores.column_surprise[0]]);
            verdicts.insert((key.clone(), end * SECOND_NS), p_value.to_bits());
        }
    }
    verdicts
}

fn mean(rows: &[&Row]) -> [f32; 4] {
    let mut distinct: Vec<&&Row> = rows.iter().collect();
    let identity = |r: &Row| (r.time_ns, r.record(0).content_hash);
    distinct.sort_by_key(|r| identity(r));
    distinct.dedup_by_key(|r| identity(r));
    std::array::from_fn(|c| {
        let seen: Vec<f64> =
            distinct.iter().map(|r| f64::from(r.values[c])).filter(|v| !v.is_nan()).collect();
        if seen.is_empty() { f32::NAN } else { (seen.iter().sum::<f64>() / seen.len() as f64) as f32 }
    })
}

fn standardised(prior: &ScalerPrior, key: &str, cell: Option<[f32; 4]>) -> [f32; 4] {
    let known = &prior.keys[key.as_bytes()];
    std::array::from_fn(|c| {
        let variance = known.sd[c].powi(2);
        let (mean, sd) = prior.posterior(c, known.count[c], known.mean[c], variance);
        let x = cell.map_or(f32::NAN, |cell| cell[c]);
        ((x - mean as f32) / sd as f32).clamp(-20.0, 20.0)
    })
}

fn cases(n: u32) -> ProptestConfig {
    let cases = std::env::var("EDDY_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(n);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(200))]

    /// Gaps, several rows a cell, missing columns, duplicates and disorder, against the oracle.
    /// All inside one epoch, so that nothing adaptive moves.
    #[test]
    fn windows_equal_the_naive_oracle(seed in any::<u64>(), keep in 20u32..100, disorder in 1i64..8) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = rows(4, 59, seed, 0..0);
        rows.retain(|_| rng.random_range(0..100) < keep);
        prop_assume!(!rows.is_empty());
        for i in 0..rows.len() {
            if rng.random_range(0..10) == 0 {
                rows[i].values[rng.random_range(0..4)] = f32::NAN;
            }
            if rng.random_range(0..5) == 0 {
                let mut more = rows[i].clone();
                more.time_ns += rng.random_range(0..2) * 1_000_000;
                more.values[0] += rng.random_range(0..2) as f32;
                rows.push(more);
            }
        }
        let arrived = shuffled(&rows, disorder * SECOND_NS, seed);
        let plan = plant::plan(1);
        let mut engine = plant::engine(&plan);
        let env = Env { now: &|| 0, meets: &|_, _, _| {}, follows: &|_, _| true, follows_version: 1 };
        let mut slot = Slot::default();
        arrived.iter().enumerate().for_each(|(i, row)| slot.push(row.record(i as u64)));
        let mut out = Outputs::default();
        engine.step(&slot, &env, &mut out);
        prop_assert!(out.late.is_empty());
        engine.end_of_input(StreamId(0), Position(u64::MAX), &env, &mut out);
        let expected = oracle(&rows);
        for point in &out.points {
            let key = (String::from_utf8_lossy(&point.key).into_owned(), point.time.0);
            prop_assert_eq!(Some(&point.p_value.to_bits()), expected.get(&key), "{:?}", key);
        }
        // Every window up to the newest row of its partition was judged, none twice.
        let mut judged: Vec<_> = out.points.iter().map(|p| (p.key.clone(), p.time.0)).collect();
        judged.sort();
        let all = judged.len();
        judged.dedup();
        prop_assert_eq!(judged.len(), all);
        for (key, end) in expected.keys() {
            let newest = rows.iter().filter(|r| r.key == *key).map(|r| r.time_ns).max().unwrap_or(0);
            let due = *end <= newest.div_euclid(SECOND_NS) * SECOND_NS + SECOND_NS;
            let found = judged.iter().any(|(k, e)| **k == *key.as_bytes() && e == end);
            prop_assert!(found || !due, "window of {} ending {} is missing", key, end);
        }
    }

    /// Rows beyond the lateness are counted and handed out, whatever else happens.
    #[test]
    fn nothing_vanishes(seed in any::<u64>(), disorder in 1i64..40) {
        let mut rows = rows(4, 120, seed, 0..0);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rows = shuffled(&rows, disorder * SECOND_NS, seed);
        let again: Vec<Row> = rows.iter().filter(|_| rng.random_range(0..8) == 0).cloned().collect();
        rows.extend(again);
        if disorder > 30 {
            rows.shuffle(&mut rng);
        }
        let outcome = run(&rows, 50, 1);
        let accounted: u64 = outcome.digests.values().map(|d| d.1 + d.2 + d.3).sum();
        prop_assert_eq!(accounted, rows.len() as u64);
    }

    /// Saved and restored into a fresh engine at random places of a run, with rows before the place given
    /// again, as a replay does: the same decisions, counts and digests. With and without a loaded model, so
    /// that a place may lie in the warm-up, with rows waiting, episodes open and duplicates to come; judged
    /// `early`, with verdicts that late rows will change.
    #[test]
    fn a_restored_engine_goes_on_as_if_nothing_had_been(
        seed in any::<u64>(),
        fits in proptest::bool::weighted(0.05),
        early in any::<bool>(),
        mut cuts in proptest::collection::vec(0usize..4000, 1..5),
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows = shuffled(&rows(6, 500, seed % 5, 300..380), 7 * SECOND_NS, seed);
        // One falls silent and comes back, so that a place may lie in the silence and at its ends.
        let silent = START_NS + 150 * SECOND_NS..START_NS + 250 * SECOND_NS;
        rows.retain(|row| row.key != "pump-1" || !silent.contains(&row.time_ns));
        for at in (20..rows.len()).rev().step_by(9) {
            rows.insert(at, rows[at - rng.random_range(1..20)].clone());
        }
        cuts.sort_unstable();
        let plan = saving_plan(fits, early);
        let whole = run_on(started(&plan), &rows, 0, &mut Vec::new());
        let mut decisions = Vec::new();
        let mut engine = started(&plan);
        let mut from = 0;
        for cut in cuts.into_iter().map(|cut| cut.min(rows.len())) {
            step(&mut engine, &rows[..cut], from, &mut decisions);
            engine = handed_over(&plan, &engine, cut as u64);
            // Some rows come again that were part of the state.
            from = cut.saturating_sub(rng.random_range(0..30));
        }
        let resumed = run_on(engine, &rows, from, &mut decisions);
        prop_assert!(whole.digests.values().any(|d| d.0 > 50), "nothing was judged: {:?}", whole.digests);
        let silences = whole.decisions.iter().filter(|d| d.contains("\"rule\":\"no_data\"")).count();
        prop_assert_eq!(silences, 2, "raised and resolved");
        let onsets = whole.decisions.iter().filter(|d| d.contains("\"rule\":\"onset\"")).count();
        prop_assert!(onsets > 5, "{} decisions on onsets", onsets);
        prop_assert_eq!(resumed, whole);
    }
}

fn saving_plan(fits: bool, early: bool) -> eddy::config::plan::Plan {
    let mut plan = plant::plan_with_onsets(1);
    if early {
        plan.streams[0].window.disorder = std::time::Duration::from_secs(2);
    }
    if fits {
        let warmup = std::time::Duration::from_secs(240);
        plan.streams[0].model = eddy::config::plan::ModelPlan::Fit { warmup };
    }
    plan
}

fn started(plan: &eddy::config::plan::Plan) -> Engine {
    match plan.streams[0].model {
        eddy::config::plan::ModelPlan::Fit { .. } | eddy::config::plan::ModelPlan::Transactions { .. } => {
            Engine::new(plan)
        }
        eddy::config::plan::ModelPlan::Load { .. } => plant::engine(plan),
    }
}

/// Gives `rows[from..]` to the engine, each at its place in the log.
fn step(engine: &mut Engine, rows: &[Row], from: usize, decisions: &mut Vec<String>) {
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    for (i, row) in rows.iter().enumerate().skip(from) {
        slot.push(row.record(i as u64));
    }
    engine.step(&slot, &Env::SIMULATED, &mut out);
    decisions.extend(out.raised.iter().map(|r| serde_json::to_string(&r.decision).unwrap()));
}

fn run_on(mut engine: Engine, rows: &[Row], from: usize, decisions: &mut Vec<String>) -> Outcome {
    step(&mut engine, rows, from, decisions);
    let mut out = Outputs::default();
    engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut out);
    decisions.extend(out.raised.iter().map(|r| serde_json::to_string(&r.decision).unwrap()));
    decisions.sort();
    let mut outcome = Outcome { decisions: std::mem::take(decisions), ..Outcome::default() };
    engine.changed(|_, partition, c, _| {
        outcome.digests.insert(partition.0, (c.windows, c.events, c.duplicates, c.late, c.digest));
    });
    outcome
}

/// Every partition of `engine`, by way of its bytes, in a new one.
fn handed_over(plan: &eddy::config::plan::Plan, engine: &Engine, position: u64) -> Engine {
    let mut fresh = started(plan);
    let models = |checksum: &str| (plant::model().checksum() == checksum).then(plant::model);
    for id in 0..eddy::types::PARTITIONS as u8 {
        let mut state = Vec::new();
        if engine.save(StreamId(0), PartitionId(id), &mut state) {
            let at = Position(position);
            let restored = fresh.restore(
                StreamId(0),
                PartitionId(id),
                at,
                StateReader::new(&state),
                &models,
                &Env::SIMULATED,
            );
            assert_eq!(restored, Ok(()));
            let mut again = Vec::new();
            assert!(fresh.save(StreamId(0), PartitionId(id), &mut again));
            assert!(again == state, "what was restored is saved as it was");
            let cut = &state[..state.len() - 1];
            let cut = fresh.restore(
                StreamId(0),
                PartitionId(id),
                at,
                StateReader::new(cut),
                &models,
                &Env::SIMULATED,
            );
            assert!(cut.is_err(), "a state that ends early is refused");
        }
    }
    fresh
}
