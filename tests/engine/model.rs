//! The model against independent mathematics and against a plant with a known cause.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::sensors::{self, CELLS, COLUMNS, D, normal, plant};
use eddy::backend::{CpuBackend, Explanation, Scores};
use eddy::judge::calibration::Calibration;
use eddy::model::{Description, FitError, KeyScale, MIN_ROWS, Model, ModelError, ScalerPrior, Settings};
use ndarray::{Array2, ArrayView2, s};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn names(columns: usize) -> Vec<String> {
    (0..columns).map(|c| format!("column_{c}")).collect()
}

fn prior(columns: usize) -> ScalerPrior {
    let scale = |mean| KeyScale {
        mean: vec![mean; columns],
        sd: vec![2.0; columns],
        count: vec![500; columns],
        cohort: 0,
    };
    let keys = BTreeMap::from([(b"pump-1".to_vec(), scale(10.0)), (b"pump-22".to_vec(), scale(14.0))]);
    ScalerPrior::from_keys(columns, keys)
}

fn fit(windows: ArrayView2<'_, f32>) -> Model {
    Model::fit(windows, CELLS, &names(COLUMNS), prior(COLUMNS), &Settings::default()).unwrap()
}

/// One model for all tests, fitted on 3,000 windows.
fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| fit(plant(3000, 1).0.view()))
}

fn score(model: &Model, windows: &Array2<f32>) -> Scores {
    let mut scores = Scores::default();
    CpuBackend::new().score(model, windows.as_slice().unwrap(), &mut scores);
    scores
}

/// Of every window.
fn p_values(model: &Model, scores: &Scores) -> Vec<f64> {
    let references = [model.pyramid.references(), model.pyramid.column_references()];
    let calibration = Calibration::new(references);
    let surprises = scores.surprise.iter().zip(&scores.column_surprise);
    surprises.map(|(state, column)| calibration.p_value([*state, *column])).collect()
}

/// Share of `surprises` above the references' 99 % quantile.
fn above_99(model: &Model, surprises: &[f32]) -> f64 {
    let reference = model.pyramid.references();
    let limit = reference[reference.len() * 99 / 100];
    surprises.iter().filter(|s| **s > limit).count() as f64 / surprises.len() as f64
}

/// Knocks out each cell with probability `share`.
fn with_gaps(mut windows: Array2<f32>, share: f64, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    windows.mapv_inplace(|z| if rng.random::<f64>() < share { f32::NAN } else { z });
    windows
}

fn assert_same_bits(a: &Scores, b: &Scores) {
    let bits = |s: &Scores| -> (Vec<u32>, Vec<u64>) {
        (
            s.surprise.iter().map(|x| x.to_bits()).collect(),
            s.log_likelihood.iter().map(|x| x.to_bits()).collect(),
        )
    };
    assert_eq!(bits(a), bits(b));
    assert_eq!((&a.observed, &a.column_observed), (&b.observed, &b.column_observed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn scores_do_not_depend_on_the_batch(seed in any::<u64>(), share in 0.0..0.05f64, cut in 1usize..4500) {
        let windows = with_gaps(plant(4500, seed).0, share, seed);
        let whole = score(model(), &windows);
        for size in [1, 7, 4096] {
            let (mut joined, mut part) = (Scores::default(), Scores::default());
            for batch in windows.as_slice().unwrap().chunks(size * D) {
                // A fresh one each time: what it keeps between rows must not matter either.
                CpuBackend::new().score(model(), batch, &mut part);
                joined.surprise.extend(&part.surprise);
                joined.log_likelihood.extend(&part.log_likelihood);
                joined.observed.extend(&part.observed);
                joined.column_observed.extend(&part.column_observed);
            }
            assert_same_bits(&joined, &whole);
        }
        let first = score(model(), &windows.slice(s![..cut, ..]).to_owned());
        prop_assert_eq!(&first.surprise[..], &whole.surprise[..cut]);
        prop_assert_eq!(&first.log_likelihood[..], &whole.log_likelihood[..cut]);
        let last = score(model(), &windows.slice(s![cut.., ..]).to_owned());
        prop_assert_eq!(&last.surprise[..], &whole.surprise[cut..]);
        prop_assert_eq!(&last.log_likelihood[..], &whole.log_likelihood[cut..]);
    }
}

#[test]
fn clean_windows_are_as_surprising_as_the_references() {
    let model = model();
    let share = above_99(model, &score(model, &plant(6000, 7).0).surprise);
    assert!((0.005..=0.02).contains(&share), "{share}");
}

#[test]
fn a_warm_up_of_400_windows_is_calibrated() {
    let fresh = plant(4000, 91).0;
    let mut below = [0; 2];
    for seed in 100..104 {
        let model = fit(plant(400, seed).0.view());
        let p_values = p_values(&model, &score(&model, &fresh));
        below[0] += p_values.iter().filter(|p| **p < 1e-2).count();
        below[1] += p_values.iter().filter(|p| **p < 1e-3).count();
    }
    // Two figures a window, each paid for: rather fewer than 160 and 16.
    assert!((50..=200).contains(&below[0]) && below[1] <= 20, "{below:?} of 16,000 below 1e-2 and 1e-3");
}

#[test]
fn a_missing_column_or_scattered_gaps_do_not_raise_surprise() {
    let model = model();
    for column in 0..COLUMNS {
        let mut windows = plant(4000, 8).0;
        windows.slice_mut(s![.., column..;COLUMNS]).fill(f32::NAN);
        let scores = score(model, &windows);
        let share = above_99(model, &scores.surprise);
        assert!(share <= 0.02, "column {column}: {share}");
        assert_eq!(scores.column_observed[column], 0);
        assert_eq!(usize::from(scores.observed[0]), D - CELLS);
    }
    let share = above_99(model, &score(model, &with_gaps(plant(4000, 9).0, 0.4, 9)).surprise);
    assert!(share <= 0.02, "scattered: {share}");
}

#[test]
fn a_window_with_nothing_observed_says_nothing() {
    let scores = score(model(), &Array2::from_elem((2, D), f32::NAN));
    assert_eq!(
        (scores.surprise, scores.log_likelihood, scores.observed),
        (vec![0.0; 2], vec![0.0; 2], vec![0; 2])
    );
    let mut explanation = Explanation::default();
    CpuBackend::new().explain(model(), &[f32::NAN; D], &mut explanation);
    assert_eq!(explanation.share, vec![0.25; COLUMNS]);
    assert!(
        explanation
            .expected
            .iter()
            .zip(&explanation.sd)
            .all(|(m, s)| m.abs() < 0.3 && (0.5..1.5).contains(s))
    );
}

/// Breaks one column in each of 200 windows and returns how many were both named and found at
/// p < 1e-3, and the median p.
fn found_and_named(break_column: impl Fn(&mut ChaCha8Rng, &mut [f32], usize)) -> (usize, f64) {
    let model = model();
    let (mut backend, mut scores, mut why) = (CpuBackend::new(), Scores::default(), Explanation::default());
    let mut p_values = Vec::new();
    let mut hits = 0;
    sensors::broken(break_column, |window, column| {
        backend.score(model, window, &mut scores);
        backend.explain(model, window, &mut why);
        assert!((why.share.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let p = self::p_values(model, &scores)[0];
        hits += usize::from(sensors::named(|c| why.share[c]) == column && p < 1e-3);
        p_values.push(p);
    });
    p_values.sort_by(f64::total_cmp);
    (hits, p_values[100])
}

/// The load of a whole window differs, and the last half of it, which is looked at, need not.
#[test]
fn a_column_off_its_joint_law_is_found_and_named() {
    let (hits, median) = found_and_named(sensors::from_another_time());
    assert!(hits >= 180 && median < 1e-6, "{hits} of 200, median p {median:e}");
}

#[test]
fn a_stuck_column_is_found_and_named() {
    let (hits, median) = found_and_named(sensors::stuck);
    assert!(hits >= 190 && median < 1e-6, "{hits} of 200, median p {median:e}");
}

#[test]
fn gaps_in_training_cost_little() {
    let (windows, fresh) = (plant(1200, 41).0, plant(500, 42).0);
    let mean = |model: &Model| score(model, &fresh).log_likelihood.iter().sum::<f64>() / 500.0;
    let whole = mean(&fit(windows.view()));
    let gappy = mean(&fit(with_gaps(windows, 0.1, 43).view()));
    assert!(whole - gappy < 0.01 * D as f64, "{whole} {gappy}");
}

#[test]
fn too_few_windows_say_how_many_more() {
    let mut windows = plant(MIN_ROWS, 51).0;
    windows.slice_mut(s![..10, ..]).fill(f32::NAN);
    let error =
        Model::fit(windows.view(), CELLS, &names(COLUMNS), prior(COLUMNS), &Settings::default()).unwrap_err();
    assert_eq!(
        error,
        FitError::TooFewRows { rows: MIN_ROWS, usable: MIN_ROWS - 10, needed: MIN_ROWS, missing: 10 }
    );
    assert!(error.to_string().contains("give 10 more"));
    let error = Model::fit(windows.view(), CELLS, &names(3), prior(3), &Settings::default()).unwrap_err();
    assert!(matches!(error, FitError::Shape { .. }));
}

#[test]
fn constant_columns_stay_scoreable_and_their_move_is_news() {
    for rows in [2 * MIN_ROWS, 1000] {
        let mut windows = plant(rows, 61).0;
        windows.slice_mut(s![.., 2..;COLUMNS]).fill(0.0);
        let model = fit(windows.view());
        let scores = score(&model, &windows);
        assert!(
            scores.surprise.iter().all(|s| s.is_finite())
                && scores.log_likelihood.iter().all(|l| l.is_finite())
        );
        let mut rounded = windows.clone();
        rounded.slice_mut(s![.., 2..;COLUMNS]).fill(1e-4);
        let news = above_99(&model, &score(&model, &rounded).surprise);
        assert!(news <= 0.05, "rounding is no news, {news}");
        let mut moved = windows.slice(s![..1, ..]).to_owned();
        moved.slice_mut(s![.., 2..;COLUMNS]).fill(1.0);
        let p_value = p_values(&model, &score(&model, &moved))[0];
        assert!(p_value < 1e-6, "{p_value}");
    }
    let all_constant = Array2::zeros((100, D));
    let scores = score(&fit(all_constant.view()), &all_constant);
    assert!(scores.log_likelihood.iter().all(|l| l.is_finite()), "{scores:?}");
}

#[test]
fn narrow_windows_are_modelled() {
    for (cells, columns) in [(1, 1), (2, 1), (1, 2)] {
        let windows = plant(500, 71).0.slice(s![.., ..cells * columns]).to_owned();
        let model =
            Model::fit(windows.view(), cells, &names(columns), prior(columns), &Settings::default()).unwrap();
        let scores = score(&model, &windows);
        let share = above_99(&model, &scores.surprise);
        assert!((0.002..0.03).contains(&share), "{cells} x {columns}: {share}");
    }
}

fn described() -> Model {
    let mut model = fit(plant(300, 81).0.view());
    model.describe(Description {
        stream: "pumps \"north\"".to_owned(),
        units: vec![Some("mm/s".to_owned()), None, None, Some("°C".to_owned())],
        grid_ns: 1_000_000_000,
        window_ns: 30_000_000_000,
        date: "2026-01-02".to_owned(),
    });
    model
}

#[test]
fn the_same_windows_give_the_same_file() {
    assert_eq!(described().to_bytes(), described().to_bytes());
}

#[test]
fn a_file_gives_its_model_back() {
    let model = described();
    let bytes = model.to_bytes();
    let read = Model::from_bytes(&bytes).unwrap();
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!((read.checksum(), read.card()), (model.checksum(), model.card()));
    assert_eq!(read.prior, model.prior);
    assert_eq!(read.card().description.stream, "pumps \"north\"");
    let windows = with_gaps(plant(50, 82).0, 0.01, 83);
    assert_same_bits(&score(&read, &windows), &score(&model, &windows));
    assert!(read.check_schema(CELLS, &names(COLUMNS)).is_ok());
    let error = read.check_schema(CELLS, &names(3)).unwrap_err();
    assert!(error.to_string().contains("fit it anew"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pumps.safetensors");
    model.save(&path).unwrap();
    assert_eq!(Model::load(&path).unwrap().checksum(), model.checksum());
    assert!(std::fs::read_to_string(path.with_extension("json")).unwrap().contains("\"stream\": \"pumps"));
    let unknown = Model::load(&folder.path().join("no.safetensors")).unwrap_err();
    assert!(matches!(unknown, ModelError::Io { .. }));
}

#[test]
fn a_damaged_file_is_an_error_with_a_remedy() {
    let bytes = described().to_bytes();
    let refused = |bytes: &[u8], what: &str| {
        let error = Model::from_bytes(bytes).err().unwrap_or_else(|| panic!("{what} was taken"));
        assert!(error.to_string().contains("fit it anew"), "{what}: {error}");
    };
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in (0..header).chain((header..bytes.len()).step_by(97)) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        refused(&flipped, &format!("bit flip at {at}"));
    }
    for length in (0..header).step_by(41).chain([header, bytes.len() - 1]) {
        refused(&bytes[..length], &format!("first {length} bytes"));
    }
    refused(&[&bytes[..], b"more"].concat(), "longer file");
    refused(b"{}", "something else");
}

/// Overlapping windows of one signal beside flags, most of which never change: blocks of zeros in the
/// covariance, on which an eigen-decomposition may not settle.
#[test]
fn columns_that_never_change_do_not_stop_a_fit() {
    const CELLS: usize = 16;
    const COLUMNS: usize = 25;
    const ROWS: usize = 1000;
    for changing in [2, 3, 6] {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut series = Array2::<f32>::zeros((ROWS, COLUMNS));
        for row in 0..ROWS {
            series[[row, 0]] = (row as f32 * 0.01).sin() + 0.05 * normal(&mut rng) as f32;
            for column in 1..changing {
                // Once each in its own place: some 30 sd from what it is otherwise.
                series[[row, column]] = if row == 300 + 100 * column { 20.0 } else { -0.02 };
            }
        }
        let windows = Array2::from_shape_fn((ROWS - CELLS, CELLS * COLUMNS), |(row, at)| {
            series[[row + at / COLUMNS, at % COLUMNS]]
        });
        let model = Model::fit(windows.view(), CELLS, &names(COLUMNS), prior(COLUMNS), &Settings::default())
            .unwrap_or_else(|error| panic!("{changing} columns change: {error}"));
        assert!(score(&model, &windows).surprise.iter().all(|s| s.is_finite()));
    }
}
