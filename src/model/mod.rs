//! The generative model of a window: what normal looks like, how it is fitted, how it is kept.
//!
//! A window is `cells` grid cells of `columns` values in units of the key's own sd (z), flattened
//! cell-major (`cell * columns + column`), NaN = missing. Its density is probabilistic PCA
//! ([`ppca`]); how odd a window is follows from that density's energies ([`energy`]) held against
//! the energies of normal windows the fit had not seen ([`tail`]).

mod decompose;
mod eigen;
pub mod energy;
mod file;
mod fit;
mod knots;
pub mod ppca;
mod prepared;
mod prior;
pub mod pyramid;
mod square;
mod state;
pub mod tail;
mod tensors;

pub use file::{Candidate, Card, Description, ModelError};
pub use fit::{FitError, MIN_ROWS};
pub use ppca::Ppca;
pub use prior::{KEYS_MAX, KeyScale, ScalerPrior};

use ndarray::ArrayView2;

use energy::Prepared;
use tail::Tails;

/// A fitted model, ready to score. Immutable but for its [`Description`].
#[derive(Clone, Debug)]
pub struct Model {
    /// Names of the columns, in the order of the window's values.
    pub columns: Vec<String>,
    /// The density; `ppca.cells` is the number of grid cells of a window.
    pub ppca: Ppca,
    /// Energies of held-back windows, by feature.
    pub tails: Tails,
    /// Surprise (nats) of held-back windows, ascending: what a p-value is read off.
    pub reference_surprise: Vec<f32>,
    pub prior: ScalerPrior,
    card: Card,
    checksum: String,
    prepared: Prepared,
}

impl Model {
    /// Fits on `windows` (rows × `cells * columns.len()`, z units, NaN = missing), rows in time order.
    ///
    /// Rank and gain are chosen by the exact log-likelihood of the last quarter of the rows under a
    /// model of the first three. The references come from cross-fitting: each of four contiguous
    /// blocks is scored by a model of the other three, so no reference row taught its own scorer;
    /// the model kept is fitted on all rows. Rows with less than 80 % of their cells are left out.
    /// The same input gives the same bytes: nothing here runs in parallel or draws a random number.
    pub fn fit(
        windows: ArrayView2<'_, f32>,
        cells: usize,
        columns: &[String],
        prior: ScalerPrior,
    ) -> Result<Model, FitError> {
        fit::fit(windows, cells, columns, prior)
    }

    /// Values in a window: `cells * columns`.
    pub fn dimension(&self) -> usize {
        self.ppca.dimension()
    }

    /// sha256 of the model's file, hex.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// The first 16 hex digits of the checksum, as alerts and the page show it.
    pub fn checksum_short(&self) -> &str {
        &self.checksum[..16]
    }

    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Factors made ready for scoring.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }
}
