use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::super::basis::least;
use super::super::codes::fixed_starts;
use super::super::synthetic::{normal, normal_windows};
use super::super::trim::trimmed;
use super::super::{Level, Pyramid, Settings};
use super::*;

const SEED: u64 = 3;
/// Numbers of a row: windows of one cell, whose densities see no row twice.
const COLUMNS: usize = 4;
/// As many as a fit uses.
const ROWS: usize = 6000;

/// A level of four dimensions.
fn fit(rows: &Array2<f32>, tune: Option<u64>) -> Level {
    let settings = Settings { tune, ..Settings::default() };
    let columns = rows.ncols();
    let pyramid = Pyramid::fit_with(rows.view(), 1, columns, &vec![false; columns], &settings).unwrap();
    assert_eq!(pyramid.levels.len(), 1);
    pyramid.levels[0].clone()
}

/// Normal values, in one row of nineteen eight times as far out: on every axis then, however axes are turned.
fn contaminated(rows: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_fn((rows, COLUMNS), |(row, _)| {
        (if row % 19 == 0 { 4.0 } else { 0.5 } * normal(&mut rng)) as f32
    })
}

/// The same about six places in turn, which are codes.
fn contaminated_places(rows: usize, seed: u64) -> Array2<f32> {
    let mut found = contaminated(rows, seed) * 0.4;
    for (row, mut values) in found.rows_mut().into_iter().enumerate() {
        let to = |at: usize| if (row % 6 * 7 + at * 5) % 11 < 5 { 2.0 } else { -2.0 };
        values.iter_mut().enumerate().for_each(|(at, value)| *value += to(at));
    }
    found
}

/// What the single density says it is along its one axis: t with eight degrees of freedom.
fn as_assumed(rows: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, 1), || {
        let chi_square: f64 = (0..8).map(|_| normal(&mut rng).powi(2)).sum();
        (normal(&mut rng) * (0.75 * 8.0 / chi_square).sqrt()) as f32
    })
}

/// Mean log-likelihood of rows, nats a dimension.
fn likelihood(basis: &Basis, codes: Option<&Codes>, rows: &Array2<f32>) -> f64 {
    mean(&log_likelihoods(basis, codes, rows.mapv(f64::from).view()))
}

#[test]
fn variances_that_far_values_widened_are_brought_down_and_kept() {
    let (train, fresh) = (contaminated(ROWS, 1), contaminated(ROWS, 2));
    let (closed, tuned) = (fit(&train, None), fit(&train, Some(SEED)));
    let single = tuned.tuned[0];
    assert!(single.kept && single.steps > 0, "{single:?}");
    assert!(tuned.basis.l.sum() < 0.8 * closed.basis.l.sum(), "{} {}", tuned.basis.l, closed.basis.l);
    assert_eq!(tuned.basis.v, closed.basis.v);
    let gain = likelihood(&tuned.basis, None, &fresh) - likelihood(&closed.basis, None, &fresh);
    let promised = single.held_back_tuned - single.held_back_closed_form;
    assert!(gain > 0.02 && (gain - promised).abs() < 0.5 * promised, "{gain} {promised}");
}

/// There are steps that the choosing windows liked, and the others did not: the gate says no, and nothing has moved.
#[test]
fn where_there_is_nothing_to_gain_the_closed_form_stays_to_the_bit() {
    let settings = |tune| Settings { tune, ..Settings::default() };
    let windows = normal_windows(as_assumed(1500, 1).as_slice().unwrap(), 8, 1);
    let fit = |tune| Pyramid::fit_with(windows.view(), 8, 1, &[false], &settings(tune)).unwrap();
    let (head, tensors) = fit(None).to_parts();
    let tuned = fit(Some(SEED));
    for level in &tuned.levels {
        assert!(level.tuned[0].steps > 0, "nothing was refused: {:?}", level.tuned);
        assert!(level.tuned.iter().all(|of| !of.kept), "{:?}", level.tuned);
    }
    let (mut found, found_tensors) = tuned.to_parts();
    assert!(found_tensors == tensors);
    assert!(found != head, "the card says what was tried");
    found.levels.iter_mut().for_each(|level| level.tuned.clear());
    assert_eq!(found, head);
}

#[test]
fn codes_are_moved_with_their_spread() {
    let (train, fresh) = (contaminated_places(ROWS, 1), contaminated_places(ROWS, 2));
    let tuned = fit(&train, Some(SEED));
    let codes = tuned.codes.as_ref().unwrap();
    assert!(tuned.tuned.len() == 2 && tuned.tuned[1].kept, "{:?}", tuned.tuned);
    let shares: f64 = codes.ln_share.iter().map(|share| share.exp()).sum();
    assert!((shares - 1.0).abs() < 1e-5, "{shares}");
    // About the same basis: what the codes alone gain.
    let all = trimmed(train.mapv(f64::from), 0.01).unwrap();
    let single = &tuned.tuned[..1];
    let (basis, closed) = densities(&all, (codes.len(), 64), (single, SEED), &fixed_starts).unwrap();
    let gain = likelihood(&tuned.basis, Some(codes), &fresh) - likelihood(&basis, closed.as_ref(), &fresh);
    assert!(gain > 0.01, "{gain}");
}

#[test]
fn an_axis_without_variance_keeps_the_floor() {
    let mut train = contaminated(ROWS, 1);
    train.column_mut(2).fill(0.25);
    let (closed, tuned) = (fit(&train, None), fit(&train, Some(SEED)));
    let (l, floor) = (&tuned.basis.l, least(&closed.basis.l));
    assert!(tuned.tuned[0].kept, "{:?}", tuned.tuned);
    assert!((l[0] - floor).abs() < 1e-6, "{l} {floor}");
}

#[test]
fn the_seed_decides_the_bits() {
    let train = contaminated(ROWS, 1);
    let of = |seed| fit(&train, Some(seed));
    assert!(of(1).tuned[0].kept && of(1) == of(1));
    assert!(of(1).basis != of(2).basis);
}

#[test]
fn parts_come_back_with_what_was_tuned() {
    let settings = Settings { tune: Some(SEED), ..Settings::default() };
    let train = contaminated(ROWS, 1);
    let pyramid = Pyramid::fit_with(train.view(), 1, COLUMNS, &[false; COLUMNS], &settings).unwrap();
    let (head, tensors) = pyramid.to_parts();
    let text = serde_json::to_string(&head).unwrap();
    let back = Pyramid::from_parts(&serde_json::from_str(&text).unwrap(), &tensors).unwrap();
    assert!(back.levels[0].tuned[0].kept);
    assert!(back.to_parts() == (head, tensors));
}

#[test]
fn windows_with_gaps_have_no_part_in_it() {
    let mut windows: Array2<f32> = normal_windows(contaminated(250, 1).as_slice().unwrap(), 8, 1);
    let settings = Settings { tune: Some(SEED), ..Settings::default() };
    let tuned = |windows: &Array2<f32>| {
        let pyramid = Pyramid::fit_with(windows.view(), 8, 1, &[false], &settings).unwrap();
        pyramid.levels[0].tuned.len()
    };
    assert!(tuned(&windows) > 0);
    windows.column_mut(3).fill(f32::NAN);
    assert_eq!(tuned(&windows), 0);
}

#[test]
fn a_gain_counts_beyond_its_error_and_beyond_what_matters() {
    let kept = |steps, gain, error| {
        let of = Tuned { steps, held_back_closed_form: 1.0, held_back_tuned: 1.0 + gain, error, kept: false };
        of.decided().kept
    };
    assert!(kept(20, 0.0501, 0.0167));
    assert!(!kept(20, 0.0501, 0.0168), "three errors");
    assert!(!kept(20, 0.004, 0.0001), "next to nothing");
    assert!(!kept(0, 0.1, 0.001) && !kept(20, f64::NAN, 0.001) && !kept(20, 0.1, f64::NAN));
}
