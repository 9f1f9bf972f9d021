//! Nanoseconds a window of the pyramid's scorer beside the candle reference, in one run, alternating. The scorer does more
//! than its peer: tails, states and stillness come on top of the energies both compute; these are compared first.

use std::hint::black_box;
use std::time::Instant;

use eddy::model::pyramid::{Pyramid, Scores, Work, reference};
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
    let all = windows(ROWS, cells, columns);
    let pyramid = Pyramid::fit(all.view(), cells, columns, &vec![false; columns]);
    let pyramid = pyramid.expect("the windows are complete and many");
    let z: Vec<f32> = all.iter().copied().collect();
    let mut gappy = z.clone();
    gappy.iter_mut().step_by(37).for_each(|z| *z = f32::NAN);

    let (mut work, mut scores) = (Work::new(), Scores::default());
    pyramid.score(&z, &mut scores, &mut work);
    let levels = &pyramid.levels;
    // What every level looks at, laid out beforehand: the peer does the sums only.
    let vectors: Vec<Vec<f32>> = levels.iter().map(|level| pyramid.vectors(level.shape, &z)).collect();
    let slowly = || -> Vec<Vec<Vec<f64>>> {
        let of = levels.iter().zip(&vectors);
        of.map(|(level, w)| reference::energies(level, w).expect("shapes agree")).collect()
    };
    let mut error: f64 = 0.0;
    for (at, (level, energies)) in levels.iter().zip(slowly()).enumerate() {
        for row in 0..ROWS {
            let surprises = level.tails.iter().zip(&energies).map(|(tail, e)| tail.surprise(e[row] as f32));
            let mean = surprises.sum::<f64>() / level.tails.len() as f64;
            let fast = f64::from(scores.levels[row * levels.len() + at]);
            error = error.max((fast - mean).abs() / mean.max(1.0));
        }
    }
    assert!(error < 1e-2, "the two disagree by {error}");

    let (mut fast, mut gaps, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (z, times) in [(&z, &mut fast), (&gappy, &mut gaps)] {
            let start = Instant::now();
            pyramid.score(black_box(z), &mut scores, &mut work);
            times.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
        }
        let start = Instant::now();
        black_box(slowly());
        slow.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
    }
    let (fast, gaps, slow) = (median_ns(fast), median_ns(gaps), median_ns(slow));
    println!(
        "{cells:>3} cells x {columns:>2} columns, {} levels: complete {fast:>6.0} ns, with gaps {gaps:>7.0} ns, \
         candle energies alone {slow:>7.0} ns ({:.1}x), error {error:.0e}",
        levels.len(),
        slow / fast
    );
}

fn main() {
    for (cells, columns) in [(16, 1), (30, 4), (60, 4), (10, 19), (8, 38)] {
        compare(cells, columns);
    }
}
