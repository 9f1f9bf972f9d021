use super::super::density::energies;
use super::super::synthetic::{normal_windows, rhythmic};
use super::*;
use ndarray::Array2;
use proptest::prelude::*;
use std::sync::LazyLock;

fn case(columns: usize, cells: usize) -> (Pyramid, Array2<f32>) {
    let windows = normal_windows(&rhythmic(1500, columns, 1), cells, columns);
    let mut context = vec![false; columns];
    context[columns / 2] = columns > 3;
    let pyramid = Pyramid::fit(windows.view(), cells, columns, &context).unwrap();
    assert!(pyramid.levels.iter().any(|level| level.codes.is_some()));
    let mut windows = normal_windows(&rhythmic(300, columns, 2), cells, columns);
    windows.iter_mut().enumerate().filter(|(at, _)| at % 977 < 3).for_each(|(_, z)| *z = f32::NAN);
    (pyramid, windows)
}

fn bits(scores: &Scores) -> Vec<u32> {
    let Scores { state, surprise, levels, still, joint, column_surprise, .. } = scores;
    state
        .iter()
        .chain(surprise)
        .chain(levels)
        .chain(still)
        .chain(joint)
        .chain(column_surprise)
        .map(|x| x.to_bits())
        .collect()
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    for columns in [1, 3, 6, 19] {
        let (pyramid, windows) = case(columns, 40);
        let d = pyramid.dimension();
        let (mut all, mut some, mut work) = (Scores::default(), Scores::default(), Work::new());
        let windows = windows.as_slice().unwrap();
        pyramid.score(windows, &mut all, &mut work);
        for size in [1, 7, BLOCK + 1] {
            let mut together = Scores::default();
            for part in windows.chunks(size * d) {
                pyramid.score(part, &mut some, &mut work);
                together.state.extend(&some.state);
                together.surprise.extend(&some.surprise);
                together.levels.extend(&some.levels);
                together.still.extend(&some.still);
                together.joint.extend(&some.joint);
                together.column_surprise.extend(&some.column_surprise);
                together.log_likelihood.extend(&some.log_likelihood);
                together.observed.extend(&some.observed);
                together.column_observed.extend(&some.column_observed);
            }
            assert_eq!(bits(&together), bits(&all), "{columns} {size}");
            assert_eq!(together.log_likelihood, all.log_likelihood);
            assert_eq!(
                (together.observed, together.column_observed),
                (all.observed.clone(), all.column_observed.clone())
            );
        }
    }
}

/// Every sum is one chain, or one tree, whatever the vectors hold.
#[test]
fn scores_are_the_same_bits_at_every_vector_width() {
    let mut widths = vec![pulp::Arch::new()];
    #[cfg(target_arch = "x86_64")]
    widths.extend(pulp::x86::V3::try_new().map(pulp::Arch::V3));
    for columns in [1, 3, 6, 19] {
        let (pyramid, windows) = case(columns, 40);
        let windows = windows.as_slice().unwrap();
        let at = |arch: pulp::Arch| {
            let mut scores = Scores::default();
            pyramid.score(windows, &mut scores, &mut Work { arch, ..Work::new() });
            (bits(&scores), scores.log_likelihood)
        };
        let narrow = at(pulp::Arch::Scalar);
        for arch in &widths {
            assert_eq!(at(*arch), narrow, "{columns} {arch:?}");
        }
    }
}

#[test]
fn patterns_of_one_pyramid_do_not_serve_another() {
    let ((first, _), (second, windows)) = (case(4, 40), case(6, 40));
    let (mut fresh, mut used, mut work) = (Scores::default(), Scores::default(), Work::new());
    let gaps = vec![f32::NAN; 160];
    first.score(&gaps, &mut used, &mut work);
    assert_eq!((used.state[0], used.surprise[0], used.log_likelihood[0]), (0.0, 0.0, 0.0));
    // The same gaps in windows of the same shape, other axes.
    let other = normal_windows(&rhythmic(900, 6, 5), 40, 6);
    let third = Pyramid::fit(other.view(), 40, 6, &second.columns.context).unwrap();
    let mut gappy = windows.row(0).to_vec();
    gappy[39 * 6] = f32::NAN;
    third.score(&gappy, &mut used, &mut work);
    second.score(&gappy, &mut used, &mut work);
    second.score(&gappy, &mut fresh, &mut Work::new());
    assert_eq!(bits(&fresh), bits(&used));
    second.score(windows.as_slice().unwrap(), &mut used, &mut work);
    second.score(windows.as_slice().unwrap(), &mut fresh, &mut Work::new());
    assert_eq!(bits(&fresh), bits(&used));
}

#[test]
fn the_fast_scorer_is_the_density() {
    for columns in [1, 6, 19] {
        let (pyramid, windows) = case(columns, 40);
        let whole: Vec<usize> =
            (0..windows.nrows()).filter(|row| windows.row(*row).iter().all(|z| !z.is_nan())).collect();
        let mut work = Work::new();
        for row in whole.into_iter().step_by(5) {
            pyramid.gather(&windows.row(row).to_vec(), &mut work);
            for (at, level) in pyramid.levels.iter().enumerate() {
                level_energies(&pyramid.prepared, at, 1, &mut work);
                let f = super::super::fit::vectors(windows.view(), &pyramid.columns, level.shape, &[row]);
                let exact = energies(&level.basis, None, f.view(), NU)[0];
                assert!((work.energies[0].energy[0] - exact).abs() < 1e-5 * exact, "{columns} {at}");
                if level.codes.is_some() {
                    let exact = energies(&level.basis, level.codes.as_ref(), f.view(), NU)[0];
                    assert!((work.energies[0].energy[1] - exact).abs() < 1e-5 * exact, "{columns} {at}");
                }
            }
        }
    }
}

#[test]
fn a_trailing_part_of_a_row_is_not_looked_at() {
    let (pyramid, windows) = &*FITTED;
    let windows = windows.as_slice().unwrap();
    let (mut a, mut b, mut work) = (Scores::default(), Scores::default(), Work::new());
    pyramid.score(&windows[..240], &mut a, &mut work);
    pyramid.score(&windows[..300], &mut b, &mut work);
    assert_eq!(bits(&a), bits(&b));
    pyramid.score(&windows[..7], &mut b, &mut work);
    assert!(b.state.is_empty() && b.levels.is_empty());
}

#[test]
fn counts_are_of_the_whole_window() {
    let (pyramid, windows) = case(6, 40);
    let mut scores = Scores::default();
    pyramid.score(windows.as_slice().unwrap(), &mut scores, &mut Work::new());
    for (row, window) in windows.rows().into_iter().enumerate() {
        let seen = |column: usize| window.iter().skip(column).step_by(6).filter(|z| !z.is_nan()).count();
        for column in 0..6 {
            assert_eq!(usize::from(scores.column_observed[row * 6 + column]), seen(column));
        }
        let scored: usize = pyramid.columns.scored.iter().map(|column| seen(*column)).sum();
        assert_eq!(usize::from(scores.observed[row]), scored);
    }
}

static FITTED: LazyLock<(Pyramid, Array2<f32>)> = LazyLock::new(|| case(6, 40));

proptest! {
    /// Whatever comes in, numbers come out, and missing is what is not finite.
    #[test]
    fn any_window_has_a_finite_score(window in proptest::collection::vec(proptest::num::f32::ANY, 240)) {
        let (pyramid, _) = &*FITTED;
        let (mut scores, mut work) = (Scores::default(), Work::new());
        pyramid.score(&window, &mut scores, &mut work);
        prop_assert!(scores.state[0].is_finite() && scores.state[0] >= 0.0);
        prop_assert!(scores.surprise[0].is_finite() && scores.surprise[0] >= 0.0);
        prop_assert!(scores.log_likelihood[0].is_finite() && scores.still[0].is_finite());
        let explained = pyramid.explain(&window, &mut work);
        let share: f32 = explained.iter().flatten().map(|e| e.share).sum();
        prop_assert!((share - 1.0).abs() < 1e-4);
        prop_assert!(explained.iter().flatten().all(|e| e.share >= 0.0 && e.expected.is_finite() && e.sd >= 0.0));
        let missing: Vec<f32> = window.iter().map(|z| if z.is_finite() { *z } else { f32::NAN }).collect();
        let mut again = Scores::default();
        pyramid.score(&missing, &mut again, &mut work);
        prop_assert_eq!(bits(&scores), bits(&again));
    }
}
