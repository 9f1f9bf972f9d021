//! The generative model of a window: what normal looks like, how it is fitted, how it is kept.
//!
//! A window is `cells` grid cells of `columns` values in units of the key's own sd (z), flattened
//! cell-major (`cell * columns + column`), NaN = missing; flag columns keep their own 0 and 1. Its density,
//! and how odd a window is under it, is the [`pyramid`]'s; what a key is like is the [`prior`](ScalerPrior)'s.

mod cohort;
mod eigen;
mod file;
mod fit;
mod knots;
mod prior;
pub mod pyramid;
mod state;
mod tensors;

pub use cohort::{COHORTS_MAX, Cohort, CohortCard, EVERYONE, Found, Rows, Showing, cohorts_max, find};
pub use file::{Card, Description, ModelError};
pub use fit::{FitError, MIN_ROWS, flags};
pub use prior::{KEYS_MAX, KeyScale, ScalerPrior};
pub use pyramid::{Pyramid, Settings};

use ndarray::ArrayView2;

use crate::types::MODEL_DIGITS;

/// A fitted model, ready to score. Immutable but for its [`Description`].
#[derive(Clone, Debug)]
pub struct Model {
    /// Names of the columns, in the order of the window's values.
    pub columns: Vec<String>,
    /// The density of all keys, and the surprises of normal windows that p-values are read off.
    pub pyramid: Pyramid,
    pub prior: ScalerPrior,
    /// Of keys that behave alike; the first is cohort 1. See [`Model::cohort_of`].
    pub cohorts: Vec<Cohort>,
    card: Card,
    checksum: String,
}

impl Model {
    /// Fits on `windows` (rows × `cells * columns.len()`, z units, NaN = missing), rows in time order, as
    /// [`Pyramid::fit_with`] does; `prior` says which columns are flags.
    ///
    /// # Errors
    /// As [`Pyramid::fit`], and if the prior is of other columns.
    pub fn fit(
        windows: ArrayView2<'_, f32>,
        cells: usize,
        columns: &[String],
        prior: ScalerPrior,
        settings: &Settings,
    ) -> Result<Model, FitError> {
        fit::fit(windows, cells, columns, prior, settings)
    }

    /// Values in a window: `cells * columns`.
    pub fn dimension(&self) -> usize {
        self.pyramid.dimension()
    }

    /// [`Pyramid::draw`] of everyone's density, in the columns' own units, about the mean of all keys.
    pub fn draw(&self, normal: impl FnMut() -> f64) -> Vec<Option<Vec<f32>>> {
        let ScalerPrior { mean, sd, .. } = &self.prior;
        let scaled = |(column, z): (usize, Option<Vec<f32>>)| {
            let raw = |z: f32| (mean[column] + sd[column] * f64::from(z)) as f32;
            z.map(|cells| cells.into_iter().map(raw).collect())
        };
        self.pyramid.draw(normal).into_iter().enumerate().map(scaled).collect()
    }

    /// sha256 of the model's file, hex.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// The first 16 hex digits of the checksum, as alerts and the page show it.
    pub fn checksum_short(&self) -> &str {
        &self.checksum[..MODEL_DIGITS]
    }

    pub fn card(&self) -> &Card {
        &self.card
    }
}
