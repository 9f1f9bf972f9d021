//! Keys of several kinds in one stream: found in training, each scored and judged by its own kind.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::backend::{CpuBackend, Scores};
use eddy::config::plan::{ModelPlan, Plan};
use eddy::engine::refit::refit;
use eddy::engine::reservoir::Windows;
use eddy::engine::train::Trainer;
use eddy::engine::{Engine, Env, Judged, Outputs};
use eddy::judge::calibration::Calibration;
use eddy::model::{EVERYONE, Model, Pyramid};
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{Decision, PARTITIONS, PartitionId, Position, StreamId};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KINDS: usize = 4;
const KEYS: usize = 24;
const TRAINED_S: i64 = 600;
/// What one kind never does, and another always.
const BROKEN: Range<i64> = 200..260;

fn plan(memory_bytes: u64) -> Plan {
    let mut plan = plant::plan(1);
    let refit = Some(Duration::from_secs(120));
    plan.streams[0].model = ModelPlan::Load { path: "unused".into(), refit, memory_bytes };
    plan
}

fn normal(rng: &mut impl Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

fn kind(key: usize) -> usize {
    key % KINDS
}

/// Pumps whose columns follow their load with or against each other, and one kind whose load changes fast. In the
/// seconds of `broken` the first behaves as the second kind does.
fn rows(keys: usize, seconds: i64, seed: u64, broken: Range<i64>) -> Vec<Row> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut loads = vec![0.0f32; keys];
    let mut rows = Vec::new();
    for second in 0..seconds {
        for (key, load) in loads.iter_mut().enumerate() {
            let shown = if key == 0 && broken.contains(&second) { 1 } else { kind(key) };
            let stays: f32 = if shown == 3 { 0.2 } else { 0.95 };
            *load = stays * *load + (1.0 - stays * stays).sqrt() * normal(&mut rng);
            let signs =
                [[1.0, -1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, 1.0], [1.0; 4]][shown];
            let mut felt = |column: usize| signs[column] * *load + 0.15 * normal(&mut rng);
            let values = [20.0 + 4.0 * felt(0), 5.0 + felt(1), 60.0 + 5.0 * felt(2), 2.5 + 0.5 * felt(3)];
            let time_ns = START_NS + second * SECOND_NS + key as i64 * 1_000;
            rows.push(Row { key: format!("pump-{key}"), time_ns, values });
        }
    }
    rows
}

fn trained(keys: usize, seconds: i64, memory_bytes: u64) -> Model {
    let mut trainer = Trainer::new(&plan(memory_bytes).streams[0]);
    for (i, row) in rows(keys, seconds, 7, 0..0).iter().enumerate() {
        trainer.push(&row.record(i as u64));
    }
    trainer.finish().expect("the training rows suffice")
}

fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    // As it reads back: what the file does not keep must not matter.
    let read =
        || Arc::new(Model::from_bytes(&trained(KEYS, TRAINED_S, 64_000_000).to_bytes()).expect("a model"));
    MODEL.get_or_init(read).clone()
}

fn cohort(model: &Model, key: usize) -> u32 {
    model.cohort_of(format!("pump-{key}").as_bytes())
}

/// The kinds of each cohort's keys.
fn kinds(model: &Model, keys: usize) -> BTreeMap<u32, Vec<usize>> {
    let mut found: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    (0..keys).for_each(|key| found.entry(cohort(model, key)).or_default().push(kind(key)));
    found.values_mut().for_each(|kinds| {
        kinds.sort_unstable();
        kinds.dedup();
    });
    found
}

struct Run {
    engine: Engine,
    position: u64,
    judged: Vec<Judged>,
    decisions: Vec<Decision>,
}

impl Run {
    fn of(model: &Arc<Model>) -> Run {
        let mut engine = Engine::new(&plan(0));
        engine.activate(StreamId(0), model.clone()).expect("made for this stream");
        Run { engine, position: 0, judged: Vec::new(), decisions: Vec::new() }
    }

    fn push(&mut self, rows: &[Row], batch: usize) {
        for rows in rows.chunks(batch) {
            let (mut slot, mut out) =
                (Slot::default(), Outputs { judged: Some(Vec::new()), ..Outputs::default() });
            for row in rows {
                slot.push(row.record(self.position));
                self.position += 1;
            }
            self.engine.step(&slot, &Env::SIMULATED, &mut out);
            self.judged.extend(out.judged.into_iter().flatten());
            self.decisions.extend(out.raised.into_iter().map(|raised| raised.decision));
        }
    }

    fn alerts(&self, seconds: Range<i64>) -> usize {
        let seconds = START_NS + seconds.start * SECOND_NS..START_NS + seconds.end * SECOND_NS;
        self.decisions.iter().filter(|d| d.revision == 1 && seconds.contains(&d.onset.0)).count()
    }

    /// A new engine with this one's state.
    fn restored(self, model: &Arc<Model>) -> Run {
        let mut run =
            Run { position: self.position, judged: self.judged, decisions: self.decisions, ..Run::of(model) };
        for partition in (0..PARTITIONS).map(|at| PartitionId(at as u8)) {
            let (mut state, mut again) = (Vec::new(), Vec::new());
            if self.engine.save(StreamId(0), partition, &mut state) {
                let known = |_: &str| Some(model.clone());
                let from = StateReader::new(&state);
                let (at, env) = (Position(self.position), &Env::SIMULATED);
                run.engine.restore(StreamId(0), partition, at, from, &known, env).expect("its own state");
                run.engine.save(StreamId(0), partition, &mut again);
                assert!(state == again, "a state reads back as it was");
            }
        }
        run
    }
}

#[test]
fn kinds_are_told_apart_and_few_keys_of_one_kind_are_not() {
    let found = kinds(&model(), KEYS);
    assert!(!found.contains_key(&EVERYONE), "every key has windows enough: {found:?}");
    assert!(found.values().all(|kinds| kinds.len() == 1), "{found:?}");
    assert!(found.len() <= 2 * KINDS, "{found:?}");
    assert_eq!(cohort(&model(), KEYS), EVERYONE, "one that training has not seen");
    let card = model().card().clone();
    assert_eq!(card.cohorts.iter().map(|cohort| cohort.keys).sum::<usize>(), KEYS);
    assert!(card.cohorts.iter().all(|cohort| cohort.held_back_gain > 0.05), "{:?}", card.cohorts.len());
    let mut trainer = Trainer::new(&plan(64_000_000).streams[0]);
    for (i, row) in plant::rows(12, TRAINED_S, 3, 0..0).iter().enumerate() {
        trainer.push(&row.record(i as u64));
    }
    assert_eq!(trainer.finish().expect("enough").cohorts.len(), 0, "pumps of one kind share one density");
}

#[test]
fn memory_bounds_the_cohorts_and_none_is_one_model_for_all() {
    let one = trained(KEYS, TRAINED_S, 0);
    assert!(one.cohorts.is_empty() && one.pyramid.to_parts() == model().pyramid.to_parts());
    let room = 2 * Pyramid::bytes_max(16, 4) as u64;
    let two = trained(KEYS, TRAINED_S, room);
    assert_eq!(two.cohorts.len(), 2);
    assert!(two.heap_bytes()[1] as u64 <= room, "{:?}", two.heap_bytes());
}

#[test]
fn what_another_kind_does_is_found_by_cohorts_and_hardly_by_one_density() {
    let rows = rows(KEYS, 300, 8, BROKEN);
    // The first 16 s hold readings of both kinds.
    let broken = START_NS + (BROKEN.start + 16) * SECOND_NS..START_NS + BROKEN.end * SECOND_NS;
    let odd = |model: Arc<Model>| {
        let mut run = Run::of(&model);
        run.push(&rows, 1000);
        let broken = run.judged.iter().filter(|j| &*j.key == b"pump-0" && broken.contains(&j.end.0));
        let odd = broken.filter(|judged| judged.verdict.anomalous && judged.verdict.confident).count();
        (odd, run.alerts(0..BROKEN.start - 16) + run.alerts(BROKEN.end..300))
    };
    let (by_cohorts, false_alerts) = odd(model());
    let (by_one, _) = odd(Arc::new(trained(KEYS, TRAINED_S, 0)));
    println!("odd windows: {by_cohorts} by cohorts, {by_one} by one density; {false_alerts} false alerts");
    assert!(by_cohorts >= 16 && by_one * 4 <= by_cohorts && false_alerts <= 1);
}

/// Until the first epoch has taught, p-values are those of the references of each key's own cohort.
#[test]
fn every_key_is_scored_and_calibrated_by_its_own_cohort() {
    let model = model();
    let mut run = Run::of(&model);
    run.push(&rows(KEYS + 2, 50, 9, 0..0), 1000);
    assert!(run.judged.len() > 100);
    let calibrations: Vec<Calibration> =
        model.pyramids().map(|of| Calibration::new([of.references(), of.column_references()])).collect();
    let mut differ = 0;
    for judged in &run.judged {
        let own = &calibrations[model.cohort_of(&judged.key) as usize];
        assert_eq!(judged.verdict.p_value, own.p_value(judged.surprise));
        differ += usize::from(calibrations[0].p_value(judged.surprise) != judged.verdict.p_value);
    }
    assert!(differ > 100, "{differ} of {}: the cohorts' differ", run.judged.len());
}

#[test]
fn rows_are_scored_alike_together_and_alone() {
    let model = model();
    let width = model.dimension();
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let count = 400;
    let mut z: Vec<f32> = (0..count * width).map(|_| normal(&mut rng)).collect();
    z.iter_mut().step_by(41).for_each(|z| *z = f32::NAN);
    let cohorts: Vec<u32> = (0..count).map(|_| rng.random_range(0..=model.cohorts.len() as u32)).collect();
    let (mut backend, mut all, mut one) = (CpuBackend::new(), Scores::default(), Scores::default());
    // Twice: what is left in the buffers must not matter.
    for _ in 0..2 {
        backend.score_cohorts(&model, &cohorts, &z, &mut all);
        let mut differ = 0;
        for row in 0..count {
            let z = &z[row * width..][..width];
            backend.score_cohorts(&model, &cohorts[row..=row], z, &mut one);
            let of = |scores: &Scores, row: usize| {
                let figures = [scores.state[row], scores.surprise[row], scores.still[row], scores.joint[row]];
                let columns = scores.column_observed[row * 4..][..4].to_vec();
                (
                    figures,
                    scores.column_surprise[row],
                    scores.log_likelihood[row],
                    scores.observed[row],
                    columns,
                )
            };
            assert_eq!(of(&all, row), of(&one, 0), "row {row}");
            backend.score(&model, z, &mut one);
            differ += usize::from(all.state[row] != one.state[0]);
        }
        assert!(differ > count / 2, "{differ} of {count} are not scored as everyone's");
    }
}

/// Batches and a restart, with rows that come late.
#[test]
fn a_run_is_the_same_however_it_is_cut() {
    let mut rows = rows(KEYS + 1, 300, 10, BROKEN);
    for at in (5_000..rows.len() - 200).step_by(97) {
        rows.swap(at, at + 150);
    }
    let model = model();
    let mut whole = Run::of(&model);
    whole.push(&rows, rows.len());
    let mut cut = Run::of(&model);
    let (first, rest) = rows.split_at(rows.len() / 2 + 3);
    cut.push(first, 7);
    let mut cut = cut.restored(&model);
    cut.push(rest, 61);
    let by_window = |run: &Run| -> BTreeMap<(Box<[u8]>, i64), u64> {
        run.judged.iter().map(|j| ((j.key.clone(), j.end.0), j.verdict.p_value.to_bits())).collect()
    };
    assert!(whole.judged.len() > 3000 && !whole.decisions.is_empty());
    assert!(by_window(&whole) == by_window(&cut), "verdicts");
    let mut told = [whole.decisions, cut.decisions];
    told.iter_mut().for_each(|told| told.sort_by(|a, b| (&a.id, a.revision).cmp(&(&b.id, b.revision))));
    assert!(told[0] == told[1], "decisions, with what was expected");
}

#[test]
fn a_file_keeps_the_cohorts() {
    let model = trained(KEYS, TRAINED_S, 64_000_000);
    let read = Model::from_bytes(&model.to_bytes()).expect("its own bytes");
    assert_eq!(read.checksum(), model.checksum());
    assert!(read.card() == model.card());
    assert!(read.scales_like(&model) && read.cohorts.len() == model.cohorts.len());
    assert!((0..KEYS).all(|key| cohort(&read, key) == cohort(&model, key) && cohort(&read, key) != EVERYONE));
    for (read, written) in read.pyramids().zip(model.pyramids()) {
        assert_eq!(read.to_parts(), written.to_parts());
    }
    let other = Model::from_bytes(&trained(KEYS, TRAINED_S, 0).to_bytes()).expect("a model");
    assert!(!read.scales_like(&other));
}

#[test]
fn a_refit_keeps_to_the_cohorts() {
    let model = model();
    let held = |noise: f32| {
        let mut rows = rows(KEYS, 900, 11, 0..0);
        plant::aged(&mut rows, 0, noise, 12);
        let mut run = Run::of(&model);
        run.push(&rows, 1000);
        let mut windows = Windows::default();
        run.engine.reservoir(StreamId(0), &mut windows);
        windows
    };
    let against = |windows: Windows| refit(&model, windows, 480 * SECOND_NS, 16 * SECOND_NS).expect("enough");
    let (contest, better) = against(held(0.0));
    assert!(better.is_none() && contest.champion.odd < 0.03, "nothing has changed: {contest:?}");
    let windows = held(0.12);
    let few = windows.drawn.iter().map(|drawn| drawn.cohort).min().expect("windows");
    let (contest, better) = against(windows.clone());
    let better = better.expect("the challenger knows the noise");
    assert!(contest.challenger.odd < 0.02 && contest.champion.odd > 0.05, "{contest:?}");
    assert!(better.scales_like(&model), "a key's numbers stay what they were");
    assert!(
        better.pyramids().zip(model.pyramids()).skip(1).any(|(new, old)| new.to_parts() != old.to_parts())
    );
    // A cohort of which hardly any windows are there stays as it is.
    let mut fewer = windows;
    let limit = START_NS + 860 * SECOND_NS;
    fewer.retain(|drawn| drawn.cohort != few || drawn.end_ns > limit);
    if let (_, Some(better)) = against(fewer) {
        assert_eq!(better.pyramid_of(few).to_parts(), model.pyramid_of(few).to_parts());
    }
}

/// `EDDY_KEYS` keys, or 200: as good as if the kinds had been known, at what time.
#[test]
fn many_keys_come_to_few_cohorts_as_good_as_the_kinds() {
    let keys = std::env::var("EDDY_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(200);
    let start = Instant::now();
    let one = trained(keys, 160, 0);
    let alone = start.elapsed();
    let start = Instant::now();
    let model = trained(keys, 160, 64_000_000);
    println!("{keys} keys: {:?} with one density, {:?} with cohorts", alone, start.elapsed());
    let found = kinds(&model, keys);
    println!("{} cohorts: {found:?}", model.cohorts.len());
    assert!((KINDS..=2 * KINDS).contains(&model.cohorts.len()), "{}", model.cohorts.len());
    let pure = (0..keys).filter(|key| found[&cohort(&model, *key)].len() == 1).count();
    assert!(pure * 100 >= keys * 99, "{pure} of {keys} keys are among their kind alone");
    assert!(!one.pyramid.references().is_empty());
}
