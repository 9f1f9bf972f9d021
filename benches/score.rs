//! Nanoseconds a window of the CPU scorer beside the candle reference, in one run, alternating.
//! The scorer does more than its peer: energies of every column and the surprise come on top of the
//! log-likelihood both compute; the two log-likelihoods are compared first.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use eddy::backend::{CpuBackend, Scores};
use eddy::model::ppca::reference_log_likelihood;
use eddy::model::{Model, ScalerPrior};
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

fn median_ns(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn compare(cells: usize, columns: usize) {
    let names: Vec<String> = (0..columns).map(|c| format!("c{c}")).collect();
    let prior = ScalerPrior::from_keys(columns, BTreeMap::new());
    let all = windows(ROWS, cells, columns);
    let model = Model::fit(all.view(), cells, &names, prior).expect("the windows are complete and many");
    let z: Vec<f32> = all.iter().copied().collect();
    let mut gappy = z.clone();
    gappy.iter_mut().step_by(37).for_each(|z| *z = f32::NAN);

    let (mut backend, mut scores) = (CpuBackend::new(), Scores::default());
    backend.score(&model, &z, &mut scores);
    let reference = reference_log_likelihood(&model.ppca, &z).expect("shapes agree");
    let error =
        scores.log_likelihood.iter().zip(&reference).map(|(a, b)| ((a - b) / b).abs()).fold(0.0, f64::max);
    assert!(error < 1e-5, "the two disagree by {error}");

    let (mut fast, mut gaps, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (z, times) in [(&z, &mut fast), (&gappy, &mut gaps)] {
            let start = Instant::now();
            backend.score(&model, black_box(z), &mut scores);
            times.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
        }
        let start = Instant::now();
        black_box(reference_log_likelihood(&model.ppca, black_box(&z)).expect("shapes agree"));
        slow.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
    }
    let (fast, gaps, slow) = (median_ns(fast), median_ns(gaps), median_ns(slow));
    println!(
        "{cells:>3} cells x {columns:>2} columns, q {:>2}: complete {fast:>6.0} ns, with gaps {gaps:>7.0} ns, \
         candle log-likelihood alone {slow:>7.0} ns ({:.1}x), error {error:.0e}",
        model.ppca.rank,
        slow / fast
    );
}

fn main() {
    for (cells, columns) in [(16, 1), (30, 4), (60, 4), (10, 19), (8, 38)] {
        compare(cells, columns);
    }
}
