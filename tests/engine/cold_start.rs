//! A stream that fits its own models: verdicts from the first minutes, models that grow with what was seen, and what
//! goes wrong meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::{ModelPlan, Plan};
use eddy::engine::{Counts, Engine, Env, Judged, Outputs};
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{Decision, PARTITIONS, PartitionId, Position, StreamId};

fn plan(warmup_s: u64, shards: usize) -> Plan {
    let mut plan = plant::plan(shards);
    plan.streams[0].model = ModelPlan::Fit { warmup: Duration::from_secs(warmup_s) };
    plan.streams[0].no_data = eddy::config::plan::NoDataPlan::Off;
    plan
}

#[derive(Default)]
struct Told {
    decisions: Vec<Decision>,
    judged: Vec<Judged>,
    /// By partition.
    counts: BTreeMap<u8, Counts>,
}

impl Told {
    fn take(&mut self, mut out: Outputs) {
        self.decisions.extend(out.raised.drain(..).map(|raised| raised.decision));
        self.judged.extend(out.judged.into_iter().flatten());
    }

    /// Alerts of a key whose episode opened in these seconds.
    fn alerts(&self, key: &str, seconds: Range<i64>) -> usize {
        let of = |d: &&Decision| d.revision == 1 && (key.is_empty() || d.key == key);
        let window = |d: &&Decision| seconds.contains(&((d.happened().0 - START_NS) / SECOND_NS));
        self.decisions.iter().filter(of).filter(window).count()
    }

    /// Share of the sure verdicts of these seconds with a p-value below `p`, and how many these are.
    fn share(&self, p: f64, seconds: Range<i64>) -> (f64, usize) {
        let sure: Vec<f64> = (self.judged.iter())
            .filter(|j| j.verdict.confident && seconds.contains(&((j.end.0 - START_NS) / SECOND_NS)))
            .map(|j| j.verdict.p_value)
            .collect();
        (sure.iter().filter(|found| **found < p).count() as f64 / sure.len().max(1) as f64, sure.len())
    }
}

fn run_batched(plan: &Plan, rows: &[Row], batch: usize) -> Told {
    let shards = plan.shards;
    let mut engines: Vec<Engine> = (0..shards).map(|_| Engine::new(plan)).collect();
    let mut told = Told::default();
    for (b, chunk) in rows.chunks(batch).enumerate() {
        let slots = plant::slots(chunk, b * batch, shards);
        for (engine, slot) in engines.iter_mut().zip(&slots) {
            let mut out = Outputs { judged: Some(Vec::new()), ..Outputs::default() };
            engine.step(slot, &Env::SIMULATED, &mut out);
            told.take(out);
        }
    }
    for mut engine in engines {
        let mut out = Outputs { judged: Some(Vec::new()), ..Outputs::default() };
        engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut out);
        told.take(out);
        engine.changed(|_, partition, counts, _| {
            told.counts.insert(partition.0, *counts);
        });
    }
    told
}

fn run(plan: &Plan, rows: &[Row]) -> Told {
    run_batched(plan, rows, 4096)
}

/// Of normal rows alone, from the first verdict on: windows of several overlaps, few keys a partition.
#[test]
fn early_verdicts_keep_the_promise() {
    let (mut sure, mut alerts) = (0, 0);
    for (size, every, keys) in [(16, 2, 40), (64, 1, 40), (8, 8, 40), (32, 1, 120)] {
        let mut plan = plan(600, 1);
        plan.streams[0].window.size = Duration::from_secs(size);
        plan.streams[0].window.every = Duration::from_secs(every);
        let told = run(&plan, &plant::rows(keys, 960, 17, 0..0));
        let first = told.judged.iter().filter(|j| j.verdict.confident).map(|j| j.end.0).min();
        let first_s = (first.expect("verdicts") - START_NS) / SECOND_NS;
        println!("window {size} s every {every} s, {keys} keys: sure after {first_s} s");
        for seconds in [0..240, 240..480, 480..960] {
            let below = [1e-2, 1e-3, 1e-4].map(|p| told.share(p, seconds.clone()).0);
            let of = told.share(0.0, seconds.clone()).1;
            let here = told.alerts("", seconds.clone());
            println!("  {seconds:?} s: {of} sure, p < 1e-2, 1e-3, 1e-4 in {below:.5?}; {here} alerts");
        }
        assert!(first_s <= 330, "verdicts in the first minutes");
        sure += told.share(0.0, 0..960).1;
        alerts += told.alerts("", 0..960);
    }
    println!("{alerts} alerts, {:.1} promised", sure as f64 * 1e-4);
    assert!(alerts as f64 <= sure as f64 * 1e-4, "{alerts}");
}

fn digests(told: &Told) -> Vec<(u8, u64, u64, u64, u64)> {
    let of = |(partition, c): (&u8, &Counts)| (*partition, c.windows, c.fits, c.model_windows, c.digest);
    told.counts.iter().map(of).collect()
}

/// Of two keys of a partition the second sends for so long and never again.
fn with_a_stray(seconds: i64, lasts_s: i64) -> Counts {
    let home = |key: &str| PartitionId::of(eddy::types::key_hash(key.as_bytes()));
    let stray = (1..).map(|i| format!("stray-{i}")).find(|key| home(key) == home("pump-0")).unwrap();
    let mut rows = plant::rows(1, seconds, 3, 0..0);
    let until = START_NS + lasts_s * SECOND_NS;
    let mut strays: Vec<Row> = rows.iter().filter(|row| row.time_ns < until).cloned().collect();
    strays.iter_mut().for_each(|row| row.key.clone_from(&stray));
    rows.extend(strays);
    rows.sort_by_key(|row| row.time_ns);
    let mut plan = plan(300, 1);
    plan.streams[0].window.size = Duration::from_secs(16);
    run(&plan, &rows).counts.into_values().find(|counts| counts.keys > 0).unwrap()
}

#[test]
fn a_key_is_alive_for_ten_minutes_after_its_last_reading_and_then_counted_no_more_among_those_that_are() {
    let of = |counts: Counts| (counts.keys, counts.keys_alive, counts.keys_alive_warm, counts.keys_warm);
    assert_eq!(of(with_a_stray(590, 1)), (2, 2, 1, 1), "a single reading makes no key warm");
    assert_eq!(of(with_a_stray(690, 1)), (2, 1, 1, 1));
    assert_eq!(of(with_a_stray(690, 120)), (2, 2, 2, 2), "its last reading was later");
    assert_eq!(of(with_a_stray(750, 60)), (2, 1, 1, 2), "it stays warm");
}

#[test]
fn models_grow_with_what_was_seen_and_stop_nothing() {
    let told = run(&plan(600, 1), &plant::rows(6, 3000, 3, 0..0));
    for (partition, counts) in &told.counts {
        let seen = counts.windows + counts.windows_unscored;
        println!(
            "partition {partition}: {seen} windows, {} fits, the last on {}",
            counts.fits, counts.model_windows
        );
        assert!(counts.windows_unscored <= 60 * counts.keys, "verdicts come in the first minutes");
        // A quarter at most is left out, and thinning keeps half of the room at least.
        assert!(counts.model_windows * 8 > seen.min(2048) * 3, "{counts:?}");
        assert!((4..=7).contains(&counts.fits), "one a doubling: {counts:?}");
        assert_eq!(counts.warm_milli, 1000);
    }
}

/// Whatever the batches, the shards, and the places at which the state is saved and put back.
#[test]
fn growing_models_are_a_function_of_the_log() {
    let rows = plant::rows(6, 1500, 4, 900..960);
    let mut plan = plan(300, 1);
    // Late rows may want what earlier models said.
    plan.streams[0].window.disorder = Duration::from_secs(1);
    plan.streams[0].window.lateness = Duration::from_secs(240);
    let mut late = rows.clone();
    for at in (0..late.len()).step_by(37) {
        late[at].time_ns -= (at as i64 % 200) * SECOND_NS / 2;
        late[at].time_ns = late[at].time_ns.max(START_NS);
    }
    let reference = run(&plan, &late);
    assert!(reference.counts.values().all(|c| c.fits >= 3), "{:?}", reference.counts);
    let json = |told: &Told| -> Vec<String> {
        let mut all: Vec<String> =
            told.decisions.iter().map(|d| serde_json::to_string(d).expect("a decision")).collect();
        all.sort();
        all
    };
    assert!(!reference.decisions.is_empty());
    for batch in [1, 97] {
        for shards in [1, 2] {
            let mut plan = plan.clone();
            plan.shards = shards;
            let told = run_batched(&plan, &late, batch);
            assert_eq!(
                (digests(&told), json(&told)),
                (digests(&reference), json(&reference)),
                "{batch} {shards}"
            );
        }
    }
    let mut told = Told::default();
    let mut engine = Engine::new(&plan);
    for (at, row) in late.iter().enumerate() {
        let (mut slot, mut out) = (Slot::default(), Outputs::default());
        slot.push(row.record(at as u64));
        engine.step(&slot, &Env::SIMULATED, &mut out);
        told.take(out);
        if at % 701 == 700 {
            engine = put_back(&plan, &engine, at as u64 + 1);
        }
    }
    let mut out = Outputs::default();
    engine.end_of_input(StreamId(0), Position(u64::MAX), &Env::SIMULATED, &mut out);
    told.take(out);
    engine.changed(|_, partition, counts, _| {
        told.counts.insert(partition.0, *counts);
    });
    assert_eq!((digests(&told), json(&told)), (digests(&reference), json(&reference)));
}

fn put_back(plan: &Plan, engine: &Engine, position: u64) -> Engine {
    let mut fresh = Engine::new(plan);
    for id in (0..PARTITIONS as u8).map(PartitionId) {
        let mut state = Vec::new();
        if engine.save(StreamId(0), id, &mut state) {
            let reader = StateReader::new(&state);
            let restored =
                fresh.restore(StreamId(0), id, Position(position), reader, &|_| None, &Env::SIMULATED);
            assert_eq!(restored, Ok(()));
            let mut again = Vec::new();
            assert!(fresh.save(StreamId(0), id, &mut again) && again == state);
        }
    }
    fresh
}

/// Each model that late rows may still want is in the state once, not once an epoch.
#[test]
fn a_state_holds_each_model_once() {
    let mut plan = plan(300, 1);
    plan.streams[0].window.disorder = Duration::from_secs(1);
    plan.streams[0].window.lateness = Duration::from_secs(1200);
    let mut engine = Engine::new(&plan);
    let (mut slot, mut out) = (Slot::default(), Outputs::default());
    for (at, row) in plant::rows(1, 1500, 4, 0..0).iter().enumerate() {
        slot.push(row.record(at as u64));
    }
    engine.step(&slot, &Env::SIMULATED, &mut out);
    let mut fits = 0;
    engine.changed(|_, _, counts, _| fits = counts.fits as usize);
    let states = (0..PARTITIONS as u8).map(|id| {
        let mut state = Vec::new();
        engine.save(StreamId(0), PartitionId(id), &mut state);
        state
    });
    let state = states.max_by_key(Vec::len).expect("partitions");
    let models = state.windows(12).filter(|bytes| bytes == b"__metadata__").count();
    println!("{fits} fits, {models} models in {} bytes", state.len());
    assert!(fits >= 4 && models <= fits && models >= 3, "{models} models of {fits} fits in 20 epochs");
}

/// From the epoch on that begins after the warm-up, not from the one behind it.
#[test]
fn the_threshold_of_early_verdicts_ends_with_the_warm_up() {
    // The first window ends in the second second, so that the warm-up is over in the eleventh minute.
    let threshold = |broken: Range<i64>| {
        let told = run(&plan(600, 1), &plant::rows(1, 780, 3, broken));
        let raised = told.decisions.iter().find(|decision| decision.revision == 1).expect("a fault is told");
        let window = raised.window().expect("of the window rule");
        ((window.window_end.0 - START_NS) / SECOND_NS, window.threshold)
    };
    let (before, after) = (threshold(610..655), threshold(665..715));
    println!("at {} s below {:e}, at {} s below {:e}", before.0, before.1, after.0, after.1);
    assert!((610..660).contains(&before.0) && (before.1 - 1e-8).abs() < 1e-12, "{before:?}");
    assert!((665..720).contains(&after.0) && (after.1 - 1e-4).abs() < 1e-9, "{after:?}");
}

/// Half of the first model's windows are odd, and nothing can know; what is odd about them is told later all the same.
#[test]
fn what_went_wrong_in_the_first_minutes_is_not_normal_for_ever() {
    for seed in 1..4 {
        let mut rows = plant::rows(1, 4200, seed, 30..90);
        let again = plant::rows(1, 4200, seed, 3900..3980);
        rows.splice(3600.., again[3600..].iter().cloned());
        let told = run(&plan(600, 1), &rows);
        let (before, then) = (told.alerts("", 300..3880), told.alerts("", 3900..4000));
        println!("seed {seed}: {before} before, {then} then; {:?}", told.counts);
        assert!(before <= 2 && then == 1, "seed {seed}");
    }
}

/// A fault makes up a sixth of what was seen when a model is fitted anew.
#[test]
fn what_was_told_as_odd_is_not_learnt() {
    for seed in 1..4 {
        let (first, second) = (700..850, 3900..3980);
        let mut rows = plant::rows(1, 4200, seed, first.clone());
        let again = plant::rows(1, 4200, seed, second);
        rows.splice(3600.., again[3600..].iter().cloned());
        let told = run(&plan(120, 1), &rows);
        let (during, then) = (told.alerts("", 700..870), told.alerts("", 3900..4000));
        println!("seed {seed}: {during} during, {then} then; {:?}", told.counts);
        assert!(during >= 1 && then == 1, "seed {seed}");
        let confidence: Vec<f64> =
            told.decisions.iter().filter_map(|d| d.window().and_then(|window| window.confidence)).collect();
        let (first, last) = (confidence[0], confidence[confidence.len() - 1]);
        println!("  confidence {first:.2}, then {last:.2}");
        assert!(first < last - 0.05 && first > 0.3 && last < 1.0, "it grows with what was seen");
    }
}

/// A machine that was rebuilt: told once, and normal when it is a quarter of what is known.
#[test]
fn a_step_that_stays_is_told_once_and_becomes_normal() {
    let mut rows = plant::rows(2, 9000, 5, 0..0);
    for row in rows.iter_mut().filter(|row| row.time_ns >= START_NS + 1800 * SECOND_NS) {
        row.values[3] += 3.0;
    }
    let fitted = run(&plan(600, 1), &rows);
    let open: u64 = fitted.counts.values().map(|counts| counts.alerts_open).sum();
    println!("fits: {} told, {open} open", fitted.decisions.len());
    for key in ["pump-0", "pump-1"] {
        assert_eq!(fitted.alerts(key, 1800..9000), 1, "{key}");
    }
    assert_eq!(open, 0);
}

fn loaded(rows: &[Row], plan: &Plan) -> Told {
    let mut engine = plant::engine(plan);
    let (mut slot, mut out) = (Slot::default(), Outputs { judged: Some(Vec::new()), ..Outputs::default() });
    rows.iter().enumerate().for_each(|(at, row)| slot.push(row.record(at as u64)));
    engine.step(&slot, &Env::SIMULATED, &mut out);
    let mut told = Told::default();
    told.take(out);
    told
}

#[test]
fn a_step_that_stays_is_told_once_a_key_by_a_loaded_model() {
    let mut rows = plant::rows(4, 3000, 5, 0..0);
    for row in rows.iter_mut().filter(|row| row.time_ns >= START_NS + 900 * SECOND_NS) {
        row.values[3] += 3.0;
    }
    let told = loaded(&rows, &plant::plan(1));
    for key in 0..4 {
        assert_eq!(told.alerts(&format!("pump-{key}"), 900..3000), 1, "pump-{key}");
    }
}

/// Three sd in thirty days, a cell a minute: no more is told than the threshold promises.
#[test]
fn a_slow_drift_raises_no_storm() {
    const KEYS: usize = 3;
    let minute = |seconds: u64| Duration::from_secs(60 * seconds);
    let slow = |mut plan: Plan| {
        let window = &mut plan.streams[0].window;
        (window.size, window.every, window.grid) = (minute(16), minute(2), minute(1));
        (window.disorder, window.lateness) = (minute(1), minute(1));
        plan
    };
    let days = 30;
    let mut rows = plant::rows(KEYS, days * 1440, 6, 0..0);
    let end = days as f32 * 1440.0;
    for row in &mut rows {
        let at = (row.time_ns - START_NS) / SECOND_NS;
        row.values[3] += 1.5 * at as f32 / end;
        row.time_ns = START_NS + (row.time_ns - START_NS) * 60;
    }
    let promised = (days * 720 * KEYS as i64) as f64 * 1e-4;
    for (name, told) in
        [("fits", run(&slow(plan(86_400, 1)), &rows)), ("loaded", loaded(&rows, &slow(plant::plan(1))))]
    {
        let alerts = told.alerts("", 86_400..i64::MAX);
        println!(
            "{name}: {alerts} alerts in {days} days, {promised:.1} promised; p < 1e-4 in {:.6}",
            told.share(1e-4, 86_400..i64::MAX).0
        );
        assert!(alerts as f64 <= 2.0 * promised, "{name}");
    }
}

/// Its column gone for good, a key is judged by what it still sends.
#[test]
fn a_column_that_is_gone_silences_no_other() {
    for column in 0..3 {
        let mut rows = plant::rows(4, 2400, 7, 2200..2280);
        for row in rows.iter_mut().filter(|row| row.time_ns >= START_NS + 600 * SECOND_NS) {
            row.values[column] = f32::NAN;
        }
        let told = loaded(&rows, &plant::plan(1));
        let (of, sure) = told.share(1e-2, 700..2190);
        println!("column {column}: p < 0.01 in {of:.4} of {sure} sure windows without it");
        assert!(sure > 4 * 700 && of < 0.02, "column {column}");
        assert_eq!(told.alerts("", 0..2190), 0, "missing data is no anomaly");
        assert_eq!(told.alerts("pump-0", 2200..2300), 1, "the fault of another column is told");
        let decision = told.decisions.iter().find(|d| d.key == "pump-0").and_then(|d| d.window());
        let window = decision.expect("it was told");
        assert!(window.coverage < 0.8 && window.confidence.is_some_and(|c| c < 0.8 && c > 0.3), "{window:?}");
    }
}
