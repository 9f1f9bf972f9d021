//! Series for tests: correlated columns with memory, about unit variance.

use ndarray::Array2;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// In (0, 1).
fn uniform(rng: &mut impl Rng) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (-2.0 * uniform(rng).ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform(rng)).cos()
}

/// rows × columns, row-major: each column follows two slow causes, with noise of its own.
pub(super) fn series(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut cause = [0.0f64; 2];
    let mut own = vec![0.0f64; columns];
    let mut z = Vec::with_capacity(rows * columns);
    for _ in 0..rows {
        for c in &mut cause {
            *c = 0.9 * *c + (1.0f64 - 0.81).sqrt() * normal(&mut rng);
        }
        for (column, own) in own.iter_mut().enumerate() {
            *own = 0.5 * *own + 0.75f64.sqrt() * normal(&mut rng);
            let angle = column as f64 * 0.9;
            z.push((0.8 * (angle.cos() * cause[0] + angle.sin() * cause[1]) + 0.6 * *own) as f32);
        }
    }
    z
}

/// A series with a rhythm of twelve cells on top, a square wave whose edges every column shares: codes
/// fit it far better than one density.
pub(super) fn rhythmic(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
    let mut z = series(rows, columns, seed);
    for (at, z) in z.iter_mut().enumerate() {
        let up = if (at / columns) % 12 < 4 { 2.0 } else { -1.0 };
        *z = 0.25 * *z + 0.7 * up;
    }
    z
}

/// Every full window of a series, hop 1.
pub(super) fn normal_windows(z: &[f32], cells: usize, columns: usize) -> Array2<f32> {
    let rows = z.len() / columns + 1 - cells;
    Array2::from_shape_fn((rows, cells * columns), |(row, at)| z[row * columns + at])
}
