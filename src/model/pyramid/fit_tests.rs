use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::super::synthetic::{normal_windows, series};
use super::super::{Pyramid, Scores, Work};
use super::*;

#[test]
fn what_cannot_be_fitted_is_said() {
    let windows = normal_windows(&series(120, 3, 1), 8, 3);
    let fit = |rows: usize, cells, columns, context: &[bool]| {
        Pyramid::fit(windows.slice(ndarray::s![..rows, ..]), cells, columns, context).err()
    };
    assert_eq!(fit(32, 8, 3, &[false; 3]), None);
    let missing = FitError::TooFewRows { rows: 31, usable: 31, needed: 32, missing: 1 };
    assert_eq!(fit(31, 8, 3, &[false; 3]), Some(missing));
    assert_eq!(
        fit(64, 8, 2, &[false; 2]),
        Some(FitError::Shape { found: 24, cells: 8, columns: 2, expected: 16 })
    );
    assert_eq!(fit(64, 8, 3, &[false; 2]), Some(FitError::Flags { found: 2, expected: 3 }));
    let wide = Array2::zeros((64, 641));
    let found = Pyramid::fit(wide.view(), 1, 641, &[false; 641]).err();
    assert_eq!(found, Some(FitError::TooManyColumns { found: 641, most: 640 }));
}

#[test]
fn windows_without_a_fifth_of_their_cells_are_left_out() {
    let mut windows = normal_windows(&series(120, 2, 1), 10, 2);
    // Of 20 cells, 16 are enough.
    (0..4).for_each(|at| windows[[0, at]] = f32::NAN);
    (0..5).for_each(|at| windows[[1, at]] = f32::NAN);
    let columns = Columns::new(10, 2, &[false; 2]);
    assert_eq!(usable(windows.view(), &columns).unwrap().0.nrows(), windows.nrows() - 1);
}

#[test]
fn flags_are_not_scored_unless_all_are() {
    let mut z = series(400, 3, 1);
    z.iter_mut().skip(1).step_by(3).enumerate().for_each(|(row, z)| *z = ((row / 7) % 2) as f32);
    let windows = normal_windows(&z, 6, 3);
    let pyramid = Pyramid::fit(windows.view(), 6, 3, &[false, true, false]).unwrap();
    assert_eq!(pyramid.columns.scored, [0, 2]);
    let (mut a, mut b) = (Scores::default(), Scores::default());
    pyramid.score(windows.as_slice().unwrap(), &mut a, &mut Work::new());
    let mut other = windows.clone();
    other.columns_mut().into_iter().skip(1).step_by(3).for_each(|mut flag| flag.fill(0.25));
    pyramid.score(other.as_slice().unwrap(), &mut b, &mut Work::new());
    assert_eq!(a, b);
    let all = Pyramid::fit(windows.view(), 6, 3, &[true; 3]).unwrap();
    assert_eq!(all.columns.scored, [0, 1, 2]);
}

#[test]
fn a_flag_that_is_neither_on_nor_off_is_as_odd_as_it_gets() {
    let mut z = series(400, 3, 1);
    z.iter_mut().skip(1).step_by(3).for_each(|z| *z = 0.0);
    let windows = normal_windows(&z, 6, 3);
    let pyramid = Pyramid::fit(windows.view(), 6, 3, &[false, true, false]).unwrap();
    let mut window = windows.row(200).to_vec();
    let surprise = |window: &[f32]| {
        let mut scores = Scores::default();
        pyramid.score(window, &mut scores, &mut Work::new());
        scores.surprise[0]
    };
    let before = surprise(&window);
    window[16] = 1.0;
    assert_eq!(surprise(&window), before, "on is no news of a flag");
    for value in [2.0, -1.0, 7.5] {
        window[16] = value;
        assert!(surprise(&window) >= 30.0, "{value}");
        let why = pyramid.explain(&window, &mut Work::new());
        let shares: Vec<f32> = why.iter().map(|of| of.map_or(0.0, |of| of.share)).collect();
        assert_eq!(shares, [0.0, 1.0, 0.0], "{value}");
        assert_eq!(why[1].unwrap().expected, if value > 0.0 { 1.0 } else { 0.0 });
    }
}

#[test]
fn the_same_windows_give_the_same_bits() {
    let windows = normal_windows(&series(600, 2, 1), 16, 2);
    let parts = || Pyramid::fit(windows.view(), 16, 2, &[false; 2]).unwrap().to_parts();
    assert!(parts() == parts());
}

/// Five readings a minute in cells of ten seconds: nothing is ever in the last one, and a clock may move that.
#[test]
fn sensors_that_never_speak_in_a_windows_last_cells_are_judged_by_the_others() {
    for (cells, columns, silent) in [(6, 2, 1), (6, 1, 1), (12, 6, 2), (20, 40, 4), (64, 3, 5), (5, 200, 1)] {
        let whole = normal_windows(&series(700 + cells, columns, 1), cells, columns);
        let mut windows = whole.clone();
        windows.rows_mut().into_iter().for_each(|mut row| {
            (0..silent * columns).for_each(|back| row[cells * columns - 1 - back] = f32::NAN);
        });
        let of = |what: &str| format!("{what}: {cells} cells of {columns}, {silent} silent");
        let pyramid = Pyramid::fit(windows.view(), cells, columns, &vec![false; columns])
            .unwrap_or_else(|error| panic!("{}: {error}", of("fit")));
        let mut odd = windows.clone();
        odd.rows_mut().into_iter().for_each(|mut row| {
            (0..cells)
                .for_each(|cell| row[cell * columns] += if row[cell * columns].is_nan() { 0.0 } else { 9.0 });
        });
        let surprises = |windows: &Array2<f32>| {
            let (mut scores, mut work) = (Scores::default(), Work::new());
            pyramid.score(windows.as_slice().unwrap(), &mut scores, &mut work);
            assert!(scores.state.iter().all(|s| s.is_finite()), "{}", of("state"));
            let n = scores.surprise.len() as f64;
            scores.surprise.iter().map(|s| f64::from(*s)).sum::<f64>() / n
        };
        let (calm, odd, moved) = (surprises(&windows), surprises(&odd), surprises(&whole));
        assert!(calm < 2.0 && moved.is_finite(), "{}: {calm} {moved}", of("calm"));
        assert!(odd > calm + 2.0, "{}: {odd} {calm}", of("odd"));
    }
}

/// Whatever is never there, constant or the same as another: a fit has an answer, and its scores are numbers.
#[test]
fn no_pattern_of_gaps_or_constants_breaks_a_fit() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (cells, columns) = (rng.random_range(1..24), rng.random_range(1..9));
        let mut windows = normal_windows(&series(200 + cells, columns, seed), cells, columns);
        let gone: Vec<bool> = (0..cells * columns).map(|_| rng.random_range(0..8) == 0).collect();
        let (never, constant) = (rng.random_range(0..2 * columns), rng.random_range(0..2 * columns));
        windows.rows_mut().into_iter().for_each(|mut row| {
            for (at, gone) in gone.iter().enumerate() {
                let column = at % columns;
                row[at] = match () {
                    () if *gone || column == never => f32::NAN,
                    () if column == constant => 0.0,
                    () if column == columns - 1 && seed % 3 == 0 => row[at - column],
                    () => row[at],
                };
            }
        });
        let pyramid = match Pyramid::fit(windows.view(), cells, columns, &vec![false; columns]) {
            Ok(pyramid) => pyramid,
            Err(FitError::TooFewRows { .. }) => continue,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let (mut scores, mut work) = (Scores::default(), Work::new());
        let whole = normal_windows(&series(100 + cells, columns, seed + 99), cells, columns);
        for windows in [windows, whole] {
            pyramid.score(windows.as_slice().unwrap(), &mut scores, &mut work);
            let all = scores.state.iter().chain(&scores.surprise).chain(&scores.column_surprise);
            assert!(all.into_iter().all(|s| s.is_finite()), "seed {seed}: {cells} cells of {columns}");
            let explained = pyramid.explain(&windows.row(0).to_vec(), &mut work);
            assert_eq!(explained.len(), columns, "seed {seed}");
        }
    }
}
