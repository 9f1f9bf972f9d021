//! Windows of four sensors with a known cause, and what goes wrong with one of them.
#![allow(dead_code)] // each test binary uses a part

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub const CELLS: usize = 30;
pub const COLUMNS: usize = 4;
pub const D: usize = CELLS * COLUMNS;
/// How strongly each column follows the load, and its noise sd.
pub const LOADING: [f64; COLUMNS] = [0.9, -0.8, 0.85, 0.95];
pub const NOISE: [f64; COLUMNS] = [0.2, 0.4, 0.3, 0.15];

pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Tumbling windows of four sensors driven by one slow load (an AR(1) of unit variance), each with
/// white noise of its own; and the load's mean in each window.
pub fn plant(rows: usize, seed: u64) -> (Array2<f32>, Vec<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (keep, mut load): (f64, f64) = (0.98, normal(&mut rng));
    let mut windows = Array2::zeros((rows, D));
    let mut loads = vec![0.0; rows];
    for row in 0..rows {
        for cell in 0..CELLS {
            load = keep * load + (1.0 - keep * keep).sqrt() * normal(&mut rng);
            loads[row] += load / CELLS as f64;
            for column in 0..COLUMNS {
                let value = LOADING[column] * load + NOISE[column] * normal(&mut rng);
                windows[[row, cell * COLUMNS + column]] = value as f32;
            }
        }
    }
    (windows, loads)
}

/// Breaks one column in each of 200 windows; `judge` is given the windows and their columns.
pub fn broken(
    break_column: impl Fn(&mut ChaCha8Rng, &mut [f32], usize),
    mut judge: impl FnMut(&[f32], usize),
) {
    let windows = plant(400, 31).0;
    let mut rng = ChaCha8Rng::seed_from_u64(32);
    for case in 0..200 {
        let column = case % COLUMNS;
        let mut window = windows.row(2 * case).to_vec();
        break_column(&mut rng, &mut window, column);
        judge(&window, column);
    }
}

/// The column's own values from another time: every one inside its marginal range.
pub fn from_another_time() -> impl Fn(&mut ChaCha8Rng, &mut [f32], usize) {
    let (others, loads) = plant(2000, 33);
    move |rng, window, column| {
        let load = (0..CELLS).map(|cell| f64::from(window[cell * COLUMNS])).sum::<f64>()
            / (CELLS as f64 * LOADING[0]);
        let other = loop {
            let other = rng.random_range(0..loads.len());
            if (loads[other] - load).abs() > 0.8 {
                break other;
            }
        };
        for at in (column..D).step_by(COLUMNS) {
            window[at] = others[[other, at]];
        }
    }
}

/// The column stays what it was.
pub fn stuck(_: &mut ChaCha8Rng, window: &mut [f32], column: usize) {
    for at in (column..D).step_by(COLUMNS) {
        window[at] = window[column];
    }
}

/// The column with the largest share.
pub fn named(share: impl Fn(usize) -> f32) -> usize {
    (0..COLUMNS).max_by(|a, b| share(*a).total_cmp(&share(*b))).expect("columns")
}
