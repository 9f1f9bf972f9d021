//! Windows that events make, through the engine, against plain lists: sliding, session, count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::{Aggregate, Plan, Shape};
use eddy::engine::train::Trainer;
use eddy::engine::{Engine, Env, Outputs};
use eddy::model::Model;
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{AlertState, Decision, PARTITIONS, PartitionId, Point, Position, StreamId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LATENESS_S: u64 = 6;
const SIZE_NS: i64 = 20 * SECOND_NS;
const GAP_NS: i64 = 4 * SECOND_NS;
const SHAPES: [Shape; 3] = [
    Shape::Sliding,
    Shape::Session { gap: Duration::from_nanos(GAP_NS as u64) },
    Shape::Count { events: 5, every: 2 },
];
/// What a plain list can say.
const PLAIN: [Aggregate; 4] = [Aggregate::Count, Aggregate::Sum, Aggregate::SinceLast, Aggregate::Max];
/// Two of these depend on what the key did in the epochs before.
const LEARNT: [Aggregate; 4] = [Aggregate::Mean, Aggregate::Ratio, Aggregate::Rarity, Aggregate::Last];

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: Shape,
    aggregates: [Aggregate; 4],
    /// Of a sliding window.
    cells: u32,
}

const SLIDING: Case = Case { shape: Shape::Sliding, aggregates: PLAIN, cells: 1 };

fn plan(case: Case, shards: usize) -> Plan {
    let mut plan = plant::plan(shards);
    let stream = &mut plan.streams[0];
    let window = &mut stream.window;
    let size = Duration::from_nanos(SIZE_NS as u64);
    (window.shape, window.size, window.every) = (case.shape, size, Duration::ZERO);
    window.grid = size / case.cells;
    (window.disorder, window.lateness) = (Duration::from_secs(LATENESS_S), Duration::from_secs(LATENESS_S));
    for (column, aggregate) in stream.columns.iter_mut().zip(case.aggregates) {
        column.aggregate = aggregate;
    }
    plan
}

/// Rows of three keys at times of their own, now and then with a pause.
fn rows(seed: u64, steps: usize) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Vec::new();
    for key in 0..3 {
        let mut time_ns = START_NS;
        for _ in 0..steps {
            let pause = if rng.random_bool(0.12) { rng.random_range(0..9_000) } else { 0 };
            time_ns += (rng.random_range(400..1_600) + pause) * 1_000_000;
            let mut values: [f32; 4] = std::array::from_fn(|_| rng.random_range(0.0..10.0f32));
            // A category.
            values[2] = values[2].floor();
            rows.push(Row { key: format!("card-{key}"), time_ns, values });
        }
    }
    rows.sort_by_key(|row| row.time_ns);
    rows
}

fn model(case: Case) -> Arc<Model> {
    let mut plan = plan(case, 1);
    plan.streams[0].model = eddy::config::plan::ModelPlan::Fit { warmup: Duration::from_secs(1) };
    let mut trainer = Trainer::new(&plan.streams[0]);
    for (i, row) in rows(999, 600).iter().enumerate() {
        trainer.push(&row.record(i as u64));
    }
    Arc::new(trainer.finish().expect("enough windows"))
}

fn engine(plan: &Plan, model: &Arc<Model>) -> Engine {
    let mut engine = Engine::new(plan);
    engine.activate(StreamId(0), model.clone()).expect("fits");
    engine
}

/// In an order in which no row is as late as the lateness, some of them twice.
fn disordered(rows: &[Row], seed: u64) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 77);
    let bound_ns = LATENESS_S as i64 * SECOND_NS - 1;
    let mut keyed: Vec<(i64, &Row)> = Vec::new();
    for row in rows {
        for _ in 0..1 + usize::from(rng.random_bool(0.1)) {
            keyed.push((row.time_ns + rng.random_range(0..bound_ns), row));
        }
    }
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, row)| row.clone()).collect()
}

#[derive(Default)]
struct Outcome {
    points: Vec<Point>,
    decisions: Vec<Decision>,
    digests: BTreeMap<u8, u64>,
}

const WATCHED: Env<'static> = Env { follows: &|_, _| true, follows_version: 1, ..Env::SIMULATED };

fn run(case: Case, model: &Arc<Model>, rows: &[Row], batch: usize, shards: usize, restart: bool) -> Outcome {
    let plan = plan(case, shards);
    let mut engines: Vec<Engine> = (0..shards).map(|_| engine(&plan, model)).collect();
    let mut out = Outputs::default();
    for (b, chunk) in rows.chunks(batch).enumerate() {
        let mut slots: Vec<Slot> = (0..shards).map(|_| Slot::default()).collect();
        for (i, row) in chunk.iter().enumerate() {
            let record = row.record((b * batch + i) as u64);
            slots[PartitionId::of(record.key_hash).shard(shards)].push(record);
        }
        engines.iter_mut().zip(&slots).for_each(|(engine, slot)| engine.step(slot, &WATCHED, &mut out));
        if restart && b % 5 == 0 {
            let next = Position(((b + 1) * batch) as u64);
            engines = engines.iter().map(|before| restored(before, &plan, model, next)).collect();
        }
    }
    let mut outcome = Outcome::default();
    for engine in &mut engines {
        engine.end_of_input(StreamId(0), Position(u64::MAX), &WATCHED, &mut out);
        engine.changed(|_, partition, counts, _| {
            outcome.digests.insert(partition.0, counts.digest);
        });
    }
    assert_eq!(out.late, [], "within the lateness");
    outcome.points = out.points;
    outcome.points.sort_by(|a, b| a.key.cmp(&b.key).then(a.time.0.cmp(&b.time.0)));
    outcome.decisions = out.raised.into_iter().map(|raised| raised.decision).collect();
    outcome.decisions.sort_by(|a, b| a.key.cmp(&b.key));
    outcome
}

fn restored(before: &Engine, plan: &Plan, model: &Arc<Model>, next: Position) -> Engine {
    let mut after = engine(plan, model);
    for id in 0..PARTITIONS as u8 {
        let mut state = Vec::new();
        if before.save(StreamId(0), PartitionId(id), &mut state) {
            let models = |_: &str| Some(model.clone());
            let back = after.restore(
                StreamId(0),
                PartitionId(id),
                next,
                StateReader::new(&state),
                &models,
                &WATCHED,
            );
            back.expect("its own state");
        }
    }
    after
}

/// Key, end of the window, and what its columns come to, from all rows of a key in order of time.
fn expected(shape: Shape, rows: &[Row]) -> BTreeMap<(String, i64), [f32; 4]> {
    let mut all = BTreeMap::new();
    for key in rows.iter().map(|row| &row.key).collect::<BTreeSet<_>>() {
        let own: Vec<&Row> = rows.iter().filter(|row| row.key == *key).collect();
        let mut put = |from: usize, last: usize, end: i64| {
            all.insert((key.clone(), end), columns(&own, from, last, shape));
        };
        match shape {
            Shape::Sliding | Shape::Grid => {
                for last in 0..own.len() {
                    let time = own[last].time_ns;
                    let from = own.iter().position(|row| row.time_ns > time - SIZE_NS).expect("itself");
                    put(from, last, time + 1);
                }
            }
            Shape::Count { events, every } => {
                for last in (events as usize - 1..own.len()).filter(|last| (last + 1) % every as usize == 0) {
                    put(last, last, own[last].time_ns + 1);
                }
            }
            Shape::Session { .. } => {
                let mut from = 0;
                for last in 0..own.len() {
                    let end = (own[last].time_ns + GAP_NS).min(own[from].time_ns + SIZE_NS);
                    if own.get(last + 1).is_none_or(|next| next.time_ns >= end) {
                        put(from, last, end);
                        from = last + 1;
                    }
                }
            }
        }
    }
    all
}

fn columns(own: &[&Row], from: usize, last: usize, shape: Shape) -> [f32; 4] {
    let of = &own[from..=last];
    let since = |at: usize| match at.checked_sub(1) {
        Some(before) => ((own[at].time_ns - own[before].time_ns) as f64 / 1e9) as f32,
        None => f32::NAN,
    };
    assert!(
        matches!(shape, Shape::Sliding | Shape::Session { .. }) || from == last,
        "cells of counted windows"
    );
    [
        of.len() as f32,
        of.iter().map(|row| f64::from(row.values[1])).sum::<f64>() as f32,
        since(last),
        of.iter().map(|row| row.values[3]).fold(f32::NEG_INFINITY, f32::max),
    ]
}

#[test]
fn windows_hold_what_plain_lists_say_whatever_the_order_of_arrival() {
    for shape in SHAPES {
        let case = Case { shape, ..SLIDING };
        let model = model(case);
        for seed in plant::seeds(8) {
            let rows = rows(seed, 80);
            let found = run(case, &model, &disordered(&rows, seed), 37, 1, false);
            let found: BTreeMap<_, _> = found
                .points
                .iter()
                .map(|p| ((String::from_utf8_lossy(&p.key).into_owned(), p.time.0), bits(&p.values)))
                .collect();
            let expected: BTreeMap<_, _> =
                expected(shape, &rows).into_iter().map(|(window, values)| (window, bits(&values))).collect();
            assert!(expected.len() > 20);
            assert_eq!(found, expected, "{shape:?}, EDDY_SEED={seed}");
        }
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| if value.is_nan() { u32::MAX } else { value.to_bits() }).collect()
}

#[test]
fn batches_shards_and_restarts_do_not_matter() {
    let cases = SHAPES.into_iter().flat_map(|shape| {
        let cells = if matches!(shape, Shape::Sliding) { 4 } else { 1 };
        [Case { shape, ..SLIDING }, Case { shape, aggregates: LEARNT, cells }]
    });
    for case in cases {
        let model = model(case);
        for seed in plant::seeds(4) {
            let mut rows = rows(seed, 160);
            // Something to tell of.
            rows.iter_mut().skip(250).step_by(7).for_each(|row| row.values[1] *= 60.0);
            let rows = disordered(&rows, seed);
            let one = run(case, &model, &rows, 1, 1, false);
            assert!(!one.decisions.is_empty(), "{case:?}, EDDY_SEED={seed}");
            for (batch, shards, restart) in [(64, 1, false), (7, 2, false), (500, 4, false), (13, 2, true)] {
                let other = run(case, &model, &rows, batch, shards, restart);
                let how =
                    format!("{case:?}, EDDY_SEED={seed}, batch {batch}, {shards} shards, restart {restart}");
                assert_eq!(other.decisions, one.decisions, "{how}");
                assert_eq!(other.digests, one.digests, "{how}");
            }
        }
    }
}

#[test]
fn an_event_is_judged_on_arrival_and_put_right_at_the_watermark() {
    let model = model(SLIDING);
    let mut plan = plan(SLIDING, 1);
    let lateness = Duration::from_secs(60);
    (plan.streams[0].window.disorder, plan.streams[0].window.lateness) = (lateness, lateness);
    let mut engine = engine(&plan, &model);
    let row = |ms: i64| Row {
        key: "card-0".to_owned(),
        time_ns: START_NS + ms * 1_000_000,
        values: [1.0, 3.0 + (ms / 1_500 % 5) as f32, 1.0, 9.0],
    };
    let mut position = 0;
    let mut step = |ms: i64| {
        let mut slot = Slot::default();
        let mut out = Outputs::default();
        slot.push(row(ms).record(position));
        position += 1;
        engine.step(&slot, &WATCHED, &mut out);
        out.raised.into_iter().map(|raised| raised.decision).collect::<Vec<_>>()
    };
    let told: Vec<Decision> = (0..150_000).step_by(1_500).flat_map(&mut step).collect();
    assert_eq!(told, [], "an event every 1.5 s is nothing new");
    // One whose forerunners of half a minute come behind it.
    let alone = step(180_000);
    assert_eq!(alone.len(), 1, "at once, without waiting for the watermark");
    assert_eq!((alone[0].state, alone[0].revision), (AlertState::Raised, 1));
    let forerunners = (150_000..180_000).step_by(1_500);
    let waiting: Vec<Decision> =
        forerunners.chain((181_500..240_000).step_by(1_500)).flat_map(&mut step).collect();
    assert!(waiting.iter().all(|decision| decision.state != AlertState::Retracted), "not final yet");
    let passed: Vec<Decision> = (240_000..250_000).step_by(1_500).flat_map(&mut step).collect();
    let told: Vec<_> = passed.iter().map(|decision| (&decision.id, decision.state)).collect();
    assert_eq!(told, [(&alone[0].id, AlertState::Retracted)], "with all of them, it was nothing odd");
}

/// Nothing comes out of order, so what was said on arrival is final, whatever the keys learn before the watermark passes.
#[test]
fn what_nothing_has_come_behind_is_not_put_right() {
    let case = Case { aggregates: LEARNT, ..SLIDING };
    let model = model(case);
    let mut plan = plan(case, 1);
    // Some epochs end before a verdict is final.
    let long = Duration::from_secs(200);
    (plan.streams[0].window.disorder, plan.streams[0].window.lateness) = (long, long);
    let mut told = 0;
    for seed in plant::seeds(8) {
        let mut rows = rows(seed, 400);
        // Amounts grow, so that what is usual changes; some are odd and some nearly so.
        rows.iter_mut().enumerate().for_each(|(i, row)| row.values[1] *= 1.0 + i as f32 / 200.0);
        rows.iter_mut()
            .skip(250)
            .step_by(9)
            .zip(0..)
            .for_each(|(row, i)| row.values[1] *= (2 + i % 9) as f32);
        let (mut engine, mut out) = (engine(&plan, &model), Outputs::default());
        for (i, row) in rows.iter().enumerate() {
            let mut slot = Slot::default();
            slot.push(row.record(i as u64));
            engine.step(&slot, &WATCHED, &mut out);
        }
        engine.end_of_input(StreamId(0), Position(u64::MAX), &WATCHED, &mut out);
        let states: Vec<AlertState> = out.raised.iter().map(|raised| raised.decision.state).collect();
        told += states.len();
        let put_right = |state: &AlertState| matches!(state, AlertState::Retracted | AlertState::Revised);
        assert!(!states.iter().any(put_right), "{states:?}, EDDY_SEED={seed}");
    }
    assert!(told > 20, "only {told}");
}

/// A key so busy that not all of its verdicts can be kept until they are final.
#[test]
fn what_was_told_of_a_wild_key_stands() {
    let model = model(SLIDING);
    let mut plan = plan(SLIDING, 1);
    let long = Duration::from_secs(600);
    (plan.streams[0].window.disorder, plan.streams[0].window.lateness) = (long, long);
    let calm: Vec<Row> = rows(8, 6000).into_iter().filter(|row| row.key == "card-0").collect();
    // As many in a minute as else in an hour or two.
    let at = |i: usize| START_NS + i as i64 * 50_000_000;
    let wild: Vec<Row> = (0..).map(at).zip(calm).map(|(time_ns, row)| Row { time_ns, ..row }).collect();
    let runs = [1, 6000].map(|batch| {
        let mut engine = engine(&plan, &model);
        let mut decisions = Vec::new();
        let mut tell = |out: &mut Outputs| {
            decisions
                .extend(out.raised.drain(..).map(|raised| (raised.decision.message_id(), raised.decision)));
        };
        let mut out = Outputs::default();
        for (b, chunk) in wild.chunks(batch).enumerate() {
            let mut slot = Slot::default();
            let rows = chunk.iter().enumerate();
            rows.for_each(|(i, row)| slot.push(row.record((b * batch + i) as u64)));
            engine.step(&slot, &WATCHED, &mut out);
            tell(&mut out);
        }
        engine.end_of_input(StreamId(0), Position(u64::MAX), &WATCHED, &mut out);
        tell(&mut out);
        decisions
    });
    assert_eq!(runs[0], runs[1], "whatever the batches");
    let states: Vec<AlertState> = runs[0].iter().map(|(_, decision)| decision.state).collect();
    assert!(states.contains(&AlertState::Raised), "such a rate is out of the ordinary: {states:?}");
    let ids: BTreeSet<&String> = runs[0].iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), runs[0].len(), "each revision once");
}

/// The chart shows what was judged, when it was: not what the key would look like by the time its partition has passed.
#[test]
fn an_event_is_on_the_chart_when_it_comes_and_as_it_was_judged() {
    let case = Case { aggregates: LEARNT, ..SLIDING };
    let model = model(case);
    let mut plan = plan(case, 1);
    let long = Duration::from_secs(200);
    (plan.streams[0].window.disorder, plan.streams[0].window.lateness) = (long, long);
    let mut rows = rows(3, 400);
    rows.iter_mut().enumerate().for_each(|(i, row)| row.values[1] *= 1.0 + i as f32 / 200.0);
    let (mut engine, mut out) = (engine(&plan, &model), Outputs::default());
    for (i, row) in rows.iter().enumerate() {
        let mut slot = Slot::default();
        slot.push(row.record(i as u64));
        out.points.clear();
        engine.step(&slot, &WATCHED, &mut out);
        let shown: Vec<_> = out.points.iter().map(|p| (p.key.to_vec(), p.time.0)).collect();
        assert_eq!(
            shown,
            [(row.key.clone().into_bytes(), row.time_ns + 1)],
            "event {i}: at once, and no other"
        );
    }
    out.points.clear();
    engine.end_of_input(StreamId(0), Position(u64::MAX), &WATCHED, &mut out);
    assert_eq!(out.points, [], "nothing has come behind another");
}
