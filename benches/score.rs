//! Nanoseconds a window of the scorer beside candle, in one run, alternating. With `RAYON_NUM_THREADS=1` candle has one
//! core as well. The scorer does more than its peer: tails, stillness and surprise come on top of the energies that both
//! compute; what both compute is compared first.

use std::hint::black_box;
use std::time::Instant;

use eddy::backend::CpuBackend;
use eddy::model::pyramid::{Pyramid, Scores, Work, reference};
use eddy::model::{Cohort, Model, ScalerPrior, Settings, Showing};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ROWS: usize = 1024;
const ROUNDS: usize = 15;

/// Columns that share a slow random walk in [-1, 1] and have uniform noise of their own.
fn windows(rows: usize, cells: usize, columns: usize) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut load = 0.0f32;
    let mut next_load = || {
        load = (load + rng.random_range(-0.1..0.1f32)).clamp(-1.0, 1.0);
        (load, rng.random_range(-1.0..1.0f32))
    };
    Array2::from_shape_fn((rows, cells * columns), |_| {
        let (load, noise) = next_load();
        load + 0.3 * noise
    })
}

/// Least time a window of each of these in turn, ns: what else the machine does can only add to it.
fn in_turn(mut runs: [&mut dyn FnMut(); 3]) -> [f64; 3] {
    let mut times = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for (run, time) in runs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            *time = time.min(start.elapsed().as_nanos() as f64 / ROWS as f64);
        }
    }
    times
}

fn print(what: &str, [complete, gaps, candle]: [f64; 3], error: f64) {
    println!(
        "{what}: complete {complete:>6.0} ns, with gaps {gaps:>7.0} ns, candle {candle:>7.0} ns ({:.1}x), error {error:.0e}",
        candle / complete
    );
}

/// Windows, and the same with every 37th value missing.
fn made(cells: usize, columns: usize) -> (Array2<f32>, Vec<f32>, Vec<f32>) {
    let all = windows(ROWS, cells, columns);
    let complete: Vec<f32> = all.iter().copied().collect();
    let mut gappy = complete.clone();
    gappy.iter_mut().step_by(37).for_each(|z| *z = f32::NAN);
    (all, complete, gappy)
}

/// Beside candle's energies of vectors that are laid out beforehand.
fn beside_candle(cells: usize, columns: usize) {
    let (all, complete, gappy) = made(cells, columns);
    let pyramid = Pyramid::fit(all.view(), cells, columns, &vec![false; columns]);
    let pyramid = pyramid.expect("the windows are complete and many");
    let (mut work, mut scores) = (Work::new(), Scores::default());
    pyramid.score(&complete, &mut scores, &mut work);
    let levels = &pyramid.levels;
    let vectors: Vec<Vec<f32>> = levels.iter().map(|level| pyramid.vectors(level.shape, &complete)).collect();
    let mut error: f64 = 0.0;
    for (at, (level, w)) in levels.iter().zip(&vectors).enumerate() {
        for (row, mean) in reference::surprises(level, w).expect("shapes agree").into_iter().enumerate() {
            let fast = f64::from(scores.levels[row * levels.len() + at]);
            error = error.max((fast - mean).abs() / mean.max(1.0));
        }
    }
    assert!(error < 1e-2, "the two disagree by {error}");
    let (mut work_with_gaps, mut scores_with_gaps) = (Work::new(), Scores::default());
    let times = in_turn([
        &mut || pyramid.score(black_box(&complete), &mut scores, &mut work),
        &mut || pyramid.score(black_box(&gappy), &mut scores_with_gaps, &mut work_with_gaps),
        &mut || {
            for (level, w) in levels.iter().zip(&vectors) {
                drop(black_box(reference::energies(level, black_box(w)).expect("shapes agree")));
            }
        },
    ]);
    print(
        &format!("pyramid, {cells:>3} cells x {columns:>2} columns, {} levels", levels.len()),
        times,
        error,
    );
}

/// Of 100,000 keys, those of one of 64 partitions: scored by one density, and each by that of its cohort, in no order.
fn by_cohorts(cells: usize, columns: usize) {
    const KEYS: usize = 1563;
    let all = windows(KEYS, cells, columns);
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let prior = ScalerPrior::from_keys(columns, Default::default());
    let fitted = || Model::fit(all.view(), cells, &names, prior.clone(), &Settings::default());
    let model = fitted().expect("the windows are complete and many");
    let cohort = || Cohort { pyramid: fitted().expect("as before").pyramid, prior: prior.clone() };
    let z: Vec<f32> = all.iter().copied().collect();
    let [mut one, mut eight, mut more] = [1, 8, 32].map(|count: u32| {
        let cohorts =
            (0..if count > 1 { count } else { 0 }).map(|_| (cohort(), 0, Showing::default())).collect();
        let model = model.clone().with_cohorts(cohorts, std::iter::empty());
        let of_rows: Vec<u32> =
            (0..KEYS as u32).map(|row| 1 + row.wrapping_mul(2_654_435_761) % count).collect();
        let (mut backend, mut scores) = (CpuBackend::new(), Scores::default());
        let (z, of_rows) = (z.clone(), if count > 1 { of_rows } else { Vec::new() });
        move || backend.score_cohorts(&model, black_box(&of_rows), black_box(&z), &mut scores)
    });
    // Times are for ROWS windows a run.
    let [one, eight, more] =
        in_turn([&mut one, &mut eight, &mut more]).map(|ns| ns * ROWS as f64 / KEYS as f64);
    println!(
        "cohorts, {cells:>3} cells x {columns:>2} columns: one density {one:>6.0} ns, 8 cohorts {eight:>6.0} ns ({:.2}x), \
         32 cohorts {more:>6.0} ns ({:.2}x)",
        eight / one,
        more / one
    );
}

fn main() {
    for (cells, columns) in [(16, 1), (30, 4), (60, 4), (10, 19), (8, 38)] {
        beside_candle(cells, columns);
    }
    for (cells, columns) in [(64, 1), (60, 4), (16, 19)] {
        by_cohorts(cells, columns);
    }
}
