//! The pyramid of window densities against candle, and against a plant with a known cause.

use crate::sensors::{self, CELLS, COLUMNS, plant};
use candle_core::{DType, Device, Tensor};
use eddy::model::pyramid::reference::Reference;
use eddy::model::pyramid::{Explained, Pyramid, Scores, Work};
use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

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
    let z = Tensor::from_slice(&flat(&windows), windows.dim(), &Device::Cpu).unwrap();
    let reference = Reference::new(&pyramid, DType::F64).unwrap();
    let found = reference.score(&z.to_dtype(DType::F64).unwrap()).unwrap();
    for (row, means) in found.levels.to_vec2::<f64>().unwrap().into_iter().enumerate() {
        for (at, mean) in means.into_iter().enumerate() {
            let fast = f64::from(scores.levels[row * levels.len() + at]);
            assert!((fast - mean).abs() <= 1e-3 * mean.max(1.0), "level {at}, row {row}: {fast} {mean}");
        }
    }
}

/// Breaks one column in each of 200 windows: in how many the window is as surprising as no reference is, and in how many
/// of these the column has the largest share.
fn found_and_named(break_column: impl Fn(&mut ChaCha8Rng, &mut [f32], usize)) -> (usize, usize) {
    let pyramid = fit(&plant(3000, 1).0);
    let last = |of: &[f32]| *of.last().expect("references");
    let limits = [last(pyramid.references()), last(pyramid.column_references())];
    let (mut work, mut found, mut right) = (Work::new(), 0, 0);
    sensors::broken(break_column, |window, column| {
        let scores = score(&pyramid, window);
        if scores.surprise[0] <= limits[0] && scores.column_surprise[0] <= limits[1] {
            return;
        }
        let why: Vec<Explained> = pyramid.explain(window, &mut work).into_iter().flatten().collect();
        assert!((why.iter().map(|of| of.share).sum::<f32>() - 1.0).abs() < 1e-5);
        found += 1;
        right += usize::from(sensors::named(|c| why[c].share) == column);
    });
    (found, right)
}

/// The load of a whole window differs, and the last half of it, which is looked at, need not.
#[test]
fn a_column_off_its_joint_law_is_found_and_named() {
    let (found, right) = found_and_named(sensors::from_another_time());
    assert!(found >= 160 && 20 * right >= 19 * found, "{right} of {found} of 200");
}

#[test]
fn a_stuck_column_is_found_and_named() {
    let (found, right) = found_and_named(sensors::stuck);
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
