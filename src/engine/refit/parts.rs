//! Windows of a refit by cohort: each is fitted, and judged, by the densities of its own.

use ndarray::ArrayView2;

use super::ODD_P;
use crate::engine::reservoir::Windows;
use crate::judge::calibration::Calibration;
use crate::model::pyramid::{Pyramid, Scores, Shape, Work};
use crate::model::{FitError, MIN_ROWS, Model, Settings};

/// Windows of one cohort, in order of time.
#[derive(Clone, Default)]
pub(super) struct Part {
    /// Where among all of them each is.
    rows: Vec<usize>,
    z: Vec<f32>,
}

/// Some of the windows by cohort.
pub(super) fn parts(windows: &Windows, range: std::ops::Range<usize>, densities: usize) -> Vec<Part> {
    let width = windows.z.len() / windows.len().max(1);
    let mut parts = vec![Part::default(); densities];
    for (place, row) in range.enumerate() {
        let part = &mut parts[windows.drawn[row].cohort as usize];
        part.rows.push(place);
        part.z.extend_from_slice(&windows.z[row * width..][..width]);
    }
    parts
}

/// The champion with densities fitted anew; `None` if no cohort has windows enough for one.
pub(super) fn fit(champion: &Model, parts: &[Part]) -> Result<Option<Model>, FitError> {
    let fitted = |(part, old): (&Part, &Pyramid)| {
        let (width, columns) = (old.dimension(), &old.columns);
        let view =
            ArrayView2::from_shape((part.rows.len(), width), &part.z).map_err(|_| FitError::Shape {
                found: part.z.len(),
                cells: columns.cells,
                columns: columns.columns,
                expected: part.rows.len() * width,
            })?;
        if old.usable(view).len() < MIN_ROWS {
            return Ok(None);
        }
        let settings = Settings::default();
        let pyramid = Pyramid::fit_with(view, columns.cells, columns.columns, &columns.context, &settings)?;
        Ok(Some((pyramid, old.usable(view).len(), part.rows.len())))
    };
    let pyramids = parts.iter().zip(champion.pyramids()).map(fitted).collect::<Result<Vec<_>, FitError>>()?;
    let any = pyramids.iter().any(Option::is_some);
    Ok(any.then(|| champion.refitted(pyramids)))
}

/// Of every window under its cohort's densities, in order, over the levels that both have: with fewer windows, a fit
/// has fewer of them.
pub(super) fn likelihoods(parts: &[Part], champion: &Model, challenger: &Model) -> (Vec<f64>, Vec<f64>) {
    let count = parts.iter().map(|part| part.rows.len()).sum();
    let (mut olds, mut news) = (vec![f64::NAN; count], vec![f64::NAN; count]);
    for ((part, old), new) in parts.iter().zip(champion.pyramids()).zip(challenger.pyramids()) {
        let shapes = |of: &Pyramid| -> Vec<Shape> { of.levels.iter().map(|level| level.shape).collect() };
        let (mut shared, other) = (shapes(old), shapes(new));
        shared.retain(|shape| other.contains(shape));
        for (to, of) in [(&mut olds, old), (&mut news, new)] {
            let found = of.log_likelihoods(&part.z, &shared);
            part.rows.iter().zip(found).for_each(|(row, found)| to[*row] = found);
        }
    }
    (olds, news)
}

/// Share of windows that are odd to their cohort's density.
pub(super) fn odd(model: &Model, parts: &[Part]) -> f64 {
    let (mut odd, mut all) = (0, 0);
    for (part, pyramid) in parts.iter().zip(model.pyramids()) {
        let calibration = Calibration::new([pyramid.references(), pyramid.column_references()]);
        let mut scores = Scores::default();
        pyramid.score(&part.z, &mut scores, &mut Work::new());
        let surprises = scores.surprise.iter().zip(&scores.column_surprise);
        odd += surprises.filter(|(state, column)| calibration.p_value([**state, **column]) < ODD_P).count();
        all += part.rows.len();
    }
    odd as f64 / all.max(1) as f64
}
