//! Nanoseconds a window of the scorer beside candle's own forward of the same model, in one run, alternating: what both
//! make of the same windows is compared first, then energies are timed beside energies and whole scores beside whole
//! scores. With `RAYON_NUM_THREADS=1` candle has one core as well.

use std::hint::black_box;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use eddy::backend::CpuBackend;
use eddy::model::pyramid::reference::Reference;
use eddy::model::pyramid::{Pyramid, Scores, Shape, Work};
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
fn in_turn<const N: usize>(mut runs: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut times = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (run, time) in runs.iter_mut().zip(&mut times) {
            let start = Instant::now();
            run();
            *time = time.min(start.elapsed().as_nanos() as f64 / ROWS as f64);
        }
    }
    times
}

/// Windows, and the same with every 37th value missing.
fn made(cells: usize, columns: usize) -> (Array2<f32>, Vec<f32>, Vec<f32>) {
    let all = windows(ROWS, cells, columns);
    let complete: Vec<f32> = all.iter().copied().collect();
    let mut gappy = complete.clone();
    gappy.iter_mut().step_by(37).for_each(|z| *z = f32::NAN);
    (all, complete, gappy)
}

/// Root mean square of what the two make of a row, of the reference's.
fn error(fast: &[f32], reference: &Tensor) -> f64 {
    let reference = reference.to_vec1::<f32>().expect("a value a row");
    let square = |of: f32| f64::from(of).powi(2);
    let off: f64 = fast.iter().zip(&reference).map(|(fast, of)| square(fast - of)).sum();
    (off / reference.iter().map(|of| square(*of)).sum::<f64>()).sqrt()
}

fn beside_candle(cells: usize, columns: usize) {
    let (all, complete, gappy) = made(cells, columns);
    let pyramid = Pyramid::fit(all.view(), cells, columns, &vec![false; columns]);
    let pyramid = pyramid.expect("the windows are complete and many");
    let reference = Reference::new(&pyramid, DType::F32).expect("weights are finite");
    let windows = Tensor::from_slice(&complete, all.dim(), &Device::Cpu).expect("rows of one length");
    let (mut work, mut scores) = (Work::new(), Scores::default());
    pyramid.score(&complete, &mut scores, &mut work);
    let error = error(&scores.state, &reference.score(&windows).expect("shapes agree").state);
    assert!(error < 1e-2, "the two disagree by {error}");
    let shapes: Vec<Shape> = pyramid.levels.iter().map(|level| level.shape).collect();
    let (mut work_with_gaps, mut scores_with_gaps) = (Work::new(), Scores::default());
    let [energies, candle_energies, whole, candle_whole, gaps] = in_turn([
        &mut || drop(black_box(pyramid.log_likelihoods(black_box(&complete), &shapes))),
        &mut || drop(black_box(reference.energies(black_box(&windows)).expect("shapes agree"))),
        &mut || pyramid.score(black_box(&complete), &mut scores, &mut work),
        &mut || drop(black_box(reference.score(black_box(&windows)).expect("shapes agree"))),
        &mut || pyramid.score(black_box(&gappy), &mut scores_with_gaps, &mut work_with_gaps),
    ]);
    println!(
        "pyramid, {cells:>3} cells x {columns:>2} columns, {} levels: energies {energies:>5.0} ns, candle \
         {candle_energies:>5.0} ns ({:.1}x); whole {whole:>5.0} ns, candle {candle_whole:>5.0} ns ({:.1}x); with gaps \
         {gaps:>6.0} ns; error {error:.0e}",
        shapes.len(),
        candle_energies / energies,
        candle_whole / whole,
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
