//! Onsets in the engine, against a plain account of every key's cells.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::{AlarmPlan, ModelPlan, OnsetPlan, Plan};
use eddy::engine::{Engine, Env, Outputs};
use eddy::judge::onset::{Found, Onset, Phase, Quiet, Records, Rule, step};
use eddy::ring::Slot;
use eddy::types::{AlertState, Decision, EventTime, PartitionId, Position, StreamId, Watched};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STREAM: StreamId = StreamId(0);

/// Key, first cell, revision, state, cell of the strongest, column, score bits.
type Told = (String, i64, u32, AlertState, i64, usize, u64);

fn engines(plan: &Plan) -> Vec<Engine> {
    (0..plan.shards).map(|_| plant::engine(plan)).collect()
}

/// What was told of rows that arrive in this order, how many alerts are open in the end and were opened that day.
fn run_counted(
    plan: &Plan,
    mut engines: Vec<Engine>,
    rows: &[Row],
    batch: usize,
) -> (Vec<Decision>, u64, u64) {
    let mut out = Outputs::default();
    for (i, chunk) in rows.chunks(batch).enumerate() {
        let mut slots: Vec<Slot> = (0..plan.shards).map(|_| Slot::default()).collect();
        for (j, row) in chunk.iter().enumerate() {
            let record = row.record((i * batch + j) as u64);
            slots[PartitionId::of(record.key_hash).shard(plan.shards)].push(record);
        }
        for (engine, slot) in engines.iter_mut().zip(&slots) {
            engine.step(slot, &Env::SIMULATED, &mut out);
        }
    }
    let (mut open, mut opened) = (0, 0);
    for engine in &mut engines {
        engine.end_of_input(STREAM, Position(u64::MAX), &Env::SIMULATED, &mut out);
        engine.changed(|_, _, counts, _| {
            open += counts.alerts_open;
            opened += counts.alerts_opened_day;
        });
    }
    let mut decisions: Vec<Decision> = out.raised.into_iter().map(|raised| raised.decision).collect();
    decisions.sort_by(|a, b| (&a.key, a.onset, &a.id, a.revision).cmp(&(&b.key, b.onset, &b.id, b.revision)));
    (decisions, open, opened)
}

fn run(plan: &Plan, engines: Vec<Engine>, rows: &[Row], batch: usize) -> (Vec<Decision>, u64) {
    let (decisions, open, _) = run_counted(plan, engines, rows, batch);
    (decisions, open)
}

fn onsets(decisions: &[Decision]) -> Vec<Told> {
    let of_rule = decisions.iter().filter_map(|decision| Some((decision, decision.set_in()?)));
    let cell = |time: EventTime| time.0.div_euclid(SECOND_NS);
    of_rule
        .map(|(decision, about)| {
            assert_eq!(decision.rule, "onset");
            assert_eq!(decision.state == AlertState::Resolved, about.ended.is_some());
            assert_eq!(about.cell_end.0 - about.cell_start.0, SECOND_NS);
            assert!(about.score >= about.score_threshold);
            assert!(!(about.range_low..=about.range_high).contains(&about.value), "{about:?}");
            let column = plant::COLUMNS.iter().position(|name| *name == about.column).expect("a column");
            (
                decision.key.clone(),
                cell(decision.onset),
                decision.revision,
                decision.state,
                cell(about.cell_start),
                column,
                about.score.to_bits(),
            )
        })
        .collect()
}

/// Cells of a key, each the means of its rows.
fn cells(rows: &[Row]) -> BTreeMap<String, BTreeMap<i64, [f32; 4]>> {
    let mut of_cells: BTreeMap<(String, i64), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        of_cells.entry((row.key.clone(), row.time_ns.div_euclid(SECOND_NS))).or_default().push(row);
    }
    let mut cells: BTreeMap<String, BTreeMap<i64, [f32; 4]>> = BTreeMap::new();
    for ((key, cell), mut rows) in of_cells {
        rows.sort_by_key(|row| row.time_ns);
        let mean = |column: usize| {
            let sum: f64 = rows.iter().map(|row| f64::from(row.values[column])).sum();
            (sum / rows.len() as f64) as f32
        };
        cells.entry(key).or_default().insert(cell, std::array::from_fn(mean));
    }
    cells
}

/// Cell by cell, with nothing of the engine's in it but the rule.
fn by_hand(rows: &[Row], plan: OnsetPlan) -> Vec<Told> {
    let mut told = Vec::new();
    for (key, cells) in cells(rows) {
        let first = *cells.keys().next().expect("a cell");
        let (mut records, mut quiet) = ([Records::default(); 4], Quiet::default());
        let (mut seen, mut warmup) = (0, None);
        let mut open: Option<(i64, u32, i64, Onset)> = None;
        for (cell, values) in cells {
            if warmup.is_none() && cell - first >= plan.span.as_secs() as i64 {
                warmup = Some(plan.cells.max(seen));
            }
            seen += 1;
            let rule = warmup.map_or(Rule::WARMING, Rule::new);
            let phase = Phase::of(EventTime(cell * SECOND_NS));
            let onset = match step(&rule, &mut records, &mut quiet, &values, phase) {
                Some(Found::SetsIn(onset)) => Some(onset),
                Some(Found::GoesOn(_)) | None => None,
            };
            let mut tell = |(since, revision, at, onset): (i64, u32, i64, Onset), state| {
                told.push((key.clone(), since, revision, state, at, onset.column, onset.score.to_bits()));
            };
            match (onset, open) {
                (Some(onset), None) => {
                    open = Some((cell, 1, cell, onset));
                    tell((cell, 1, cell, onset), AlertState::Raised);
                }
                (Some(onset), Some((since, revision, ..))) => {
                    open = Some((since, revision + 1, cell, onset));
                    tell((since, revision + 1, cell, onset), AlertState::Revised);
                }
                (None, Some((since, revision, at, onset))) if quiet.ends(&rule) => {
                    open = None;
                    tell((since, revision + 1, at, onset), AlertState::Resolved);
                }
                (None, _) => {}
            }
        }
    }
    told
}

/// Pumps that are dense or have gaps, with spikes that are among the odd things they do.
fn rows(seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = plant::dense(&plant::rows(6, 500, seed, 300..380));
    rows.retain(|row| row.key != "pump-1" || (row.time_ns / SECOND_NS) % 3 == 0);
    for _ in 0..6 {
        let at = rng.random_range(rows.len() / 4..rows.len());
        rows[at].values[rng.random_range(0..4)] *= rng.random_range(2.0..20.0);
    }
    rows
}

fn shuffled(rows: &[Row], delay_ns: i64, seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut keyed: Vec<(i64, &Row)> =
        rows.iter().map(|row| (row.time_ns + rng.random_range(0..delay_ns), row)).collect();
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, row)| row.clone()).collect()
}

#[test]
fn onsets_are_those_of_a_plain_account() {
    let mut revised = 0;
    let seeds = plant::seeds(12);
    for &seed in &seeds {
        let rows = rows(seed);
        let of_plan = |shards: usize, cells: u32, span_s: u64| {
            let mut plan = plant::plan_with_onsets(shards);
            let onsets = OnsetPlan { cells, span: Duration::from_secs(span_s) };
            plan.streams[0].onsets = Some(onsets);
            (plan, by_hand(&rows, onsets))
        };
        for (shards, batch, cells, span_s) in [(1, 1, 60, 90), (3, 77, 60, 90), (2, 4096, 120, 30)] {
            let (plan, expected) = of_plan(shards, cells, span_s);
            let count = |state: AlertState| expected.iter().filter(|told| told.3 == state).count();
            assert!(count(AlertState::Resolved) > 2, "EDDY_SEED={seed}: {expected:?}");
            revised += count(AlertState::Revised);
            let arrived = shuffled(&rows, 7 * SECOND_NS, seed);
            let (decisions, open) = run(&plan, engines(&plan), &arrived, batch);
            assert_eq!(
                onsets(&decisions),
                expected,
                "EDDY_SEED={seed}, {shards} shards, {batch} rows a batch"
            );
            let firing = |rule: &str| {
                let state =
                    |s: AlertState| decisions.iter().filter(|d| d.rule == rule && d.state == s).count();
                state(AlertState::Raised) - state(AlertState::Resolved)
            };
            let of_all = ["window", "onset", "no_data"].into_iter().map(firing).sum::<usize>();
            assert_eq!(open, of_all as u64, "EDDY_SEED={seed}");
        }
    }
    assert!(revised > 0 || seeds.len() == 1);
}

/// Whatever late rows hold, and however many cells they open again: ranges are as without them.
#[test]
fn late_rows_neither_teach_nor_tell() {
    for seed in plant::seeds(4) {
        let mut plan = plant::plan_with_onsets(2);
        plan.streams[0].window.disorder = Duration::from_secs(2);
        plan.streams[0].window.lateness = Duration::from_secs(60);
        let rows = rows(seed);
        let mut arrived = Vec::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for row in &rows {
            arrived.push(row.clone());
            if rng.random_range(0..20) == 0 {
                let back = rng.random_range(10..50) * SECOND_NS;
                let value = rng.random_range(-900.0..900.0);
                arrived.push(Row { time_ns: row.time_ns - back, values: [value; 4], ..row.clone() });
            }
        }
        let (without, _) = run(&plan, engines(&plan), &rows, 64);
        let (with, _) = run(&plan, engines(&plan), &arrived, 64);
        assert!(
            with.iter().filter(|d| d.rule == "window").count() > 0 && with != without,
            "they change nothing"
        );
        assert_eq!(onsets(&with), onsets(&without), "EDDY_SEED={seed}");
        assert!(!onsets(&with).is_empty());
    }
}

#[test]
fn what_sets_in_is_told_with_what_it_left() {
    let mut rows = plant::rows(1, 300, 5, 0..0);
    let vibration = rows.iter().map(|row| row.values[3]).fold(f32::MIN, f32::max);
    let at = rows.iter().position(|row| row.time_ns >= START_NS + 200 * SECOND_NS).expect("a row");
    rows[at].values[3] = 9.5;
    let mut plan = plant::plan_with_onsets(1);
    plan.streams[0].onsets = Some(OnsetPlan { cells: 100, span: Duration::from_secs(199) });
    let (decisions, _) = run(&plan, engines(&plan), &rows, 64);
    let raised = |d: &&Decision| d.event_type() == "onset.raised" && d.onset.0 == START_NS + 200 * SECOND_NS;
    let decision = decisions.iter().find(raised).expect("it is told");
    let about = decision.set_in().expect("an onset");
    assert_eq!((about.column.as_str(), about.watched, about.value), ("vibration", Watched::Value, 9.5));
    assert!(about.range_high <= f64::from(vibration) && about.range_high > 2.5, "{about:?}");
    assert_eq!((decision.happened(), about.epoch), (about.cell_end, about.cell_start.epoch()));
    let end = decisions.iter().find(|d| d.id == decision.id && d.event_type() == "onset.resolved");
    let end = end.expect("it ends");
    assert!(end.happened().0 >= START_NS + 279 * SECOND_NS, "the quiet time is 79 cells: {end:?}");
}

/// A command that was never given before is no measurement that went too far.
#[test]
fn flags_are_left_out_once_a_model_knows_them() {
    let told = |model: ModelPlan| {
        let mut plan = plant::plan_with_onsets(1);
        plan.streams[0].model = model;
        plan.streams[0].onsets = Some(OnsetPlan { cells: 100, span: Duration::from_secs(100) });
        let mut rows = plant::rows(1, 600, 5, 0..0);
        for row in &mut rows {
            row.values[3] = if row.time_ns < START_NS + 500 * SECOND_NS { 0.0 } else { 1.0 };
        }
        let (decisions, _) = run(&plan, vec![Engine::new(&plan)], &rows, 64);
        decisions.iter().filter_map(Decision::set_in).filter(|onset| onset.column == "vibration").count()
    };
    let none_yet = ModelPlan::Load { path: "unused".into(), refit: None, memory_bytes: 0 };
    assert!(told(none_yet) > 0, "nobody knows that it is a flag");
    assert_eq!(told(ModelPlan::Fit { warmup: Duration::from_secs(240) }), 0);
}

/// Openings are those of both rules; what they do to the threshold is `judge::budget`'s.
#[test]
fn onsets_are_openings_under_a_budget() {
    let mut plan = plant::plan_with_onsets(2);
    plan.streams[0].alarm = AlarmPlan::Budget { per_day: 5_000.0 };
    let rows = rows(3);
    let (decisions, _, opened) = run_counted(&plan, engines(&plan), &rows, 64);
    let raised = |rule: &str| {
        decisions.iter().filter(|d| d.state == AlertState::Raised && d.rule == rule).count() as u64
    };
    let (windows, onsets) = (raised("window"), raised("onset"));
    assert!(windows > 0 && onsets > 0, "{windows} and {onsets}");
    assert_eq!(opened, windows + onsets);
}

#[test]
fn switched_off_nothing_is_told() {
    let mut plan = plant::plan_with_onsets(1);
    plan.streams[0].onsets = None;
    let (decisions, _) = run(&plan, engines(&plan), &rows(1), 64);
    assert!(onsets(&decisions).is_empty() && !decisions.is_empty());
}
