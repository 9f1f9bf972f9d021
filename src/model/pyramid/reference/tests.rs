use ndarray::Array2;

use super::super::synthetic::{normal_windows, rhythmic, series};
use super::super::{Scores, Settings, Work};
use super::*;

const CELLS: usize = 40;

/// A pyramid of a series with a rhythm, which codes fit, and windows it has not seen; more than three columns have a flag.
fn case(columns: usize, tune: Option<u64>) -> (Pyramid, Array2<f32>) {
    let mut context = vec![false; columns];
    context[columns / 2] = columns > 3;
    let fresh = |rows: usize, seed: u64| {
        let mut windows = normal_windows(&rhythmic(rows, columns, seed), CELLS, columns);
        if tune.is_some() {
            // Windows that are far out as a whole, now and then: what the closed form is not right for.
            let noise = normal_windows(&series(rows, columns, seed + 10), CELLS, columns);
            for ((row, mut window), noise) in windows.rows_mut().into_iter().enumerate().zip(noise.rows()) {
                window.scaled_add(if row % 19 == 0 { 3.0 } else { 0.2 }, &noise);
            }
        }
        windows.rows_mut().into_iter().step_by(7).for_each(|mut row| {
            row.iter_mut().skip(columns / 3).step_by(columns).for_each(|z| *z = 0.3 * *z + 1.5);
        });
        windows
    };
    let settings = Settings { knots: 300, tune, ..Settings::default() };
    let rows = if tune.is_some() { 4000 } else { 1500 };
    let pyramid = Pyramid::fit_with(fresh(rows, 1).view(), CELLS, columns, &context, &settings).unwrap();
    assert!(pyramid.levels.iter().any(|level| level.codes.is_some()));
    let kept = |density: usize| {
        let tuned = pyramid.levels.iter().filter_map(|level| level.tuned.get(density));
        tuned.filter(|of| of.kept).count()
    };
    assert!(tune.is_none() || kept(0) > 0 && kept(1) > 0, "nothing tuned");
    let mut windows = fresh(400, 2);
    // A column that is stuck: stiller than what stillness may add to a state.
    for mut row in windows.rows_mut().into_iter().step_by(11) {
        row.iter_mut().skip(columns / 3).step_by(columns).for_each(|z| *z = 0.5);
    }
    (pyramid, windows)
}

fn values(of: &Tensor) -> Vec<f64> {
    of.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// All but a few to a thousandth. The few: where an energy is as close to one of the references, or to a tail's beginning, as
/// f32 rounds, a count is one off or a tail has begun.
fn agree(what: &str, fast: &[f32], of: &Tensor) {
    let of = values(of);
    assert_eq!(fast.len(), of.len(), "{what}");
    let pairs = || fast.iter().zip(&of).map(|(fast, of)| (f64::from(*fast), *of));
    let off = pairs().filter(|(fast, of)| (fast - of).abs() > 1e-3 * of.max(1.0)).count();
    assert!(100 * off <= fast.len(), "{what}: {off} of {}", fast.len());
}

#[test]
fn the_fast_scorer_gives_the_whole_of_the_reference() {
    for (columns, tune) in [(1, None), (3, None), (6, None), (19, None), (1, Some(1)), (6, Some(1))] {
        let (pyramid, windows) = case(columns, tune);
        let z: Vec<f32> = windows.iter().copied().collect();
        let (mut scores, mut work) = (Scores::default(), Work::new());
        pyramid.score(&z, &mut scores, &mut work);
        for dtype in [DType::F64, DType::F32] {
            let z = Tensor::from_slice(&z, windows.dim(), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let found = Reference::new(&pyramid, dtype).unwrap().score(&z).unwrap();
            let Found { state, surprise, log_likelihood, still, joint, column_surprise, levels } = found;
            let what = |of: &str| format!("{of} of {columns} columns, {dtype:?}");
            agree(&what("levels"), &scores.levels, &levels);
            agree(&what("still"), &scores.still, &still);
            agree(&what("joint"), &scores.joint, &joint);
            agree(&what("column surprise"), &scores.column_surprise, &column_surprise);
            agree(&what("state"), &scores.state, &state);
            agree(&what("surprise"), &scores.surprise, &surprise);
            for (fast, of) in scores.log_likelihood.iter().zip(values(&log_likelihood)) {
                assert!((fast - of).abs() < 1e-4 * of.abs().max(1.0), "{columns} {fast} {of}");
            }
        }
        let some = |of: &[f32], least: f32| of.iter().filter(|s| **s > least).count();
        assert!(some(&scores.state, 1.0) > 5, "nothing odd: {columns}");
        assert!(some(&scores.still, STILL_MAX as f32) > 5, "nothing stuck: {columns}");
        assert!(columns == 1 || some(&scores.joint, 1.0) > 5, "nothing apart: {columns}");
    }
}
