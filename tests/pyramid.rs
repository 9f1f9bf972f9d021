//! The pyramid of window densities against candle, and against a plant with a known cause.

use eddy::model::pyramid::{Explained, Pyramid, Scores, Work, reference};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CELLS: usize = 30;
const COLUMNS: usize = 4;
const D: usize = CELLS * COLUMNS;
/// How strongly each column follows the load, and its noise sd.
const LOADING: [f64; COLUMNS] = [0.9, -0.8, 0.85, 0.95];
const NOISE: [f64; COLUMNS] = [0.2, 0.4, 0.3, 0.15];

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Tumbling windows of four sensors driven by one slow load (an AR(1) of unit variance), each with
/// white noise of its own; and the load's mean in each window.
fn plant(rows: usize, seed: u64) -> (Array2<f32>, Vec<f64>) {
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

/// Windows, flattened.
fn flat(windows: &Array2<f32>) -> Vec<f32> {
    windows.iter().copied().collect()
}

fn fit(windows: &Array2<f32>) -> Pyramid {
    Pyramid::fit(windows.view(), CELLS, COLUMNS, &[false; COLUMNS]).expect("enough windows")
}

fn score(pyramid: &Pyramid, windows: &[f32]) -> Scores {
    let mut scores = Scores::default();
    pyramid.score(windows, &mut scores, &mut Work::new());
    scores
}

/// Every level's surprise, from energies computed in candle.
#[test]
fn levels_agree_with_the_candle_reference() {
    // Two ways to run, so that there are codes.
    let two_ways = |rows: usize, seed: u64| {
        let mut windows = plant(rows, seed).0;
        windows.rows_mut().into_iter().step_by(2).for_each(|mut row| row += 3.0);
        windows
    };
    let (pyramid, windows) = (fit(&two_ways(2000, 1)), two_ways(200, 2));
    let scores = score(&pyramid, &flat(&windows));
    let levels = &pyramid.levels;
    assert!(levels.len() == 3 && levels.iter().any(|level| level.codes.is_some()), "{} levels", levels.len());
    for (at, level) in levels.iter().enumerate() {
        let w = pyramid.vectors(level.shape, &flat(&windows));
        let energies = reference::energies(level, &w).unwrap();
        for row in 0..windows.nrows() {
            let of = level.tails.iter().zip(&energies).map(|(tail, e)| tail.surprise(e[row] as f32));
            let mean = of.sum::<f64>() / level.tails.len() as f64;
            let fast = f64::from(scores.levels[row * levels.len() + at]);
            assert!((fast - mean).abs() <= 1e-3 * mean.max(1.0), "level {at}, row {row}: {fast} {mean}");
        }
    }
}

/// Breaks one column in each of 200 windows: in how many the window is as surprising as no reference is, and in how many
/// of these the column has the largest share.
fn found_and_named(break_column: impl Fn(&mut ChaCha8Rng, &mut [f32], usize)) -> (usize, usize) {
    let pyramid = fit(&plant(3000, 1).0);
    let limit = *pyramid.references().last().expect("references");
    let windows = plant(400, 31).0;
    let mut rng = ChaCha8Rng::seed_from_u64(32);
    let (mut work, mut found, mut right) = (Work::new(), 0, 0);
    for case in 0..200 {
        let column = case % COLUMNS;
        let mut window = windows.row(2 * case).to_vec();
        break_column(&mut rng, &mut window, column);
        if score(&pyramid, &window).surprise[0] <= limit {
            continue;
        }
        let why: Vec<Explained> = pyramid.explain(&window, &mut work).into_iter().flatten().collect();
        assert!((why.iter().map(|of| of.share).sum::<f32>() - 1.0).abs() < 1e-5);
        let top = (0..COLUMNS).max_by(|a, b| why[*a].share.total_cmp(&why[*b].share));
        found += 1;
        right += usize::from(top == Some(column));
    }
    (found, right)
}

/// The column's own values from another time: every one inside its marginal range. The load of a whole window differs, and
/// the last half of it, which is looked at, need not.
#[test]
fn a_column_off_its_joint_law_is_found_and_named() {
    let (others, loads) = plant(2000, 33);
    let (found, right) = found_and_named(|rng, window, column| {
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
    });
    assert!(found >= 160 && 20 * right >= 19 * found, "{right} of {found} of 200");
}

#[test]
fn a_stuck_column_is_found_and_named() {
    let (found, right) = found_and_named(|_, window, column| {
        for at in (column..D).step_by(COLUMNS) {
            window[at] = window[column];
        }
    });
    assert!(found >= 190 && 20 * right >= 19 * found, "{right} of {found} of 200");
}

/// Commands are context: what they do is not odd by itself.
#[test]
fn a_flag_is_not_scored() {
    let mut windows = plant(500, 3).0;
    let flags = [false, true, false, false];
    windows.slice_mut(ndarray::s![.., 1..;COLUMNS]).fill(0.0);
    let pyramid = Pyramid::fit(windows.view(), CELLS, COLUMNS, &flags).expect("enough windows");
    let before = score(&pyramid, &flat(&windows));
    windows.slice_mut(ndarray::s![.., 1..;COLUMNS]).fill(1.0);
    assert_eq!(score(&pyramid, &flat(&windows)), before);
    assert_eq!(pyramid.explain(&windows.row(0).to_vec(), &mut Work::new())[1], None);
}
