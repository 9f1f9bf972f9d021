//! A pyramid of window densities: what normal looks like over several lengths of the past.
//!
//! A window is `cells` grid cells of `columns` values in units of the key's own sd (z), flattened
//! cell-major (`cell * columns + column`), oldest cell first, NaN = missing. Flag columns (0/1 commands)
//! keep their own values, are carried and not scored, until one is below 0 or above 1. Each level
//! ([`levels`]) looks at the window's last cells, the longer ones through block means, under two
//! closed-form densities: a product of Student-t densities on the principal axes ([`basis`]) and its
//! mixture over codes ([`codes`]). How odd a window is follows from its energies, held against those of
//! the training windows ([`tail`]), from columns that are too quiet for their habits ([`still`]), and from
//! columns that contradict all others ([`joint`]).
//!
//! Cost: a projection of `d * d` and a search of `codes * d` products a level, in f32; see `kernel`.

mod band;
mod basis;
mod blame;
mod calibrate;
mod codes;
mod cost;
mod deep;
mod density;
mod departures;
mod device;
mod draw;
mod explain;
mod fill;
mod fit;
mod gaps;
mod joint;
mod kernel;
mod large;
mod levels;
mod likelihood;
mod marginal;
mod observed;
#[cfg(test)]
mod parity;
mod patch;
mod prepared;
pub mod reference;
mod rows;
mod score;
mod still;
mod surprise;
#[cfg(test)]
#[path = "synthetic_tests.rs"]
mod synthetic;
mod tail;
mod tensors;
mod told;
mod trim;
mod tune;
mod work;

pub use basis::{Basis, NU};
pub use codes::Codes;
pub use deep::Deep;
pub use departures::{Departure, Expected};
pub use device::{Found, LEVEL_WORDS, Layout, NONE};
pub use explain::Explained;
pub use fit::{Candidate, Level, Settings};
pub use joint::Joint;
pub use levels::{DIMENSION_MAX, Shape};
pub use rows::Columns;
pub use still::Still;
pub use tail::{Fit, Tail};
pub use tensors::{Data, Head, LevelHead, PartsError, Tensor};
pub use told::{DENSITIES_WORDS, ExplainLayout, Told};
pub use tune::Tuned;
pub use work::{Scores, Work};

use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::ArrayView2;

use super::FitError;
use codes::{Starts, fixed_starts};
use joint::PreparedJoint;
use prepared::PreparedLevel;

/// A fitted pyramid, ready to score. Immutable.
#[derive(Clone, Debug)]
pub struct Pyramid {
    pub columns: Columns,
    /// Finest first.
    pub levels: Vec<Level>,
    /// By scored column: when it is too quiet. Empty: not looked at.
    pub still: Vec<Still>,
    /// By scored column: when it is off from what the others say. Empty with a single column.
    pub joint: Vec<Joint>,
    /// By scored column: half-width of the band about an expectation, sds. Empty: that of a normal density.
    bands: Vec<f32>,
    /// States of the training windows; `None` only while they are being found.
    state_tail: Option<Tail>,
    /// Of the surprise of states, and of oddest columns: what is rarest.
    deep: [Deep; 2],
    /// Surprise of training windows, each under a fit on others, nats, ascending.
    references: Vec<f32>,
    /// The same of their oddest columns.
    column_references: Vec<f32>,
    /// Surprise by window, in order, of the windows that were used; empty when read from a file.
    training_surprises: Vec<f32>,
    /// Last cells the levels look at.
    span: usize,
    prepared: Vec<PreparedLevel>,
    prepared_joint: Option<PreparedJoint>,
    /// Tells pyramids apart, for what scoring threads keep of one.
    id: u64,
}

impl Pyramid {
    /// Fits on `windows` (rows × `cells * columns`, z units, NaN = missing), rows in time order;
    /// `context[column]` says that a column is a flag. If all are, all are scored.
    ///
    /// Each level's number of codes is chosen by the log-likelihood of the last quarter of the rows under
    /// a fit on the rest; the fit kept is of all rows but the most surprising ones. References of energies
    /// are the training rows' own, references of states come from cross-fitting. Rows with less than 80 % of
    /// their cells are left out, where that leaves enough. The same input gives the same bits: nothing here
    /// runs in parallel or draws a random number.
    ///
    /// # Errors
    /// Shapes that do not match, fewer than [`super::MIN_ROWS`] usable rows, more than [`DIMENSION_MAX`] scored
    /// columns, a covariance without eigen-decomposition.
    pub fn fit(
        windows: ArrayView2<'_, f32>,
        cells: usize,
        columns: usize,
        context: &[bool],
    ) -> Result<Pyramid, FitError> {
        Pyramid::fit_with(windows, cells, columns, context, &Settings::default())
    }

    /// [`Pyramid::fit`] with settings other than the usual.
    ///
    /// # Errors
    /// As [`Pyramid::fit`].
    pub fn fit_with(
        windows: ArrayView2<'_, f32>,
        cells: usize,
        columns: usize,
        context: &[bool],
        settings: &Settings,
    ) -> Result<Pyramid, FitError> {
        Pyramid::fit_from(windows, (cells, columns, context), settings, &fixed_starts)
    }

    pub(crate) fn fit_from(
        windows: ArrayView2<'_, f32>,
        (cells, columns, context): (usize, usize, &[bool]),
        settings: &Settings,
        starts: Starts<'_>,
    ) -> Result<Pyramid, FitError> {
        fit::check(windows, cells, columns, context)?;
        let columns = Columns::new(cells, columns, context);
        let (usable, span) = fit::usable(windows, &columns)?;
        let levels = fit::levels(usable.view(), span, &columns, settings, starts)?;
        let mut pyramid = Pyramid::assemble(columns, levels, Vec::new(), None);
        pyramid.calibrate(usable.view(), settings, starts)?;
        Ok(pyramid)
    }

    /// The densities alone, to ask [`Pyramid::log_likelihoods`] of: what scores windows has references besides.
    /// `windows` are whole ones that are all usable.
    ///
    /// # Errors
    /// As [`Pyramid::fit`].
    pub(crate) fn densities(
        windows: ArrayView2<'_, f32>,
        (cells, columns, context): (usize, usize, &[bool]),
        settings: &Settings,
    ) -> Result<Pyramid, FitError> {
        fit::check(windows, cells, columns, context)?;
        let columns = Columns::new(cells, columns, context);
        let levels = fit::levels(windows, columns.cells, &columns, settings, &fixed_starts)?;
        Ok(Pyramid::assemble(columns, levels, Vec::new(), None))
    }

    fn assemble(
        columns: Columns,
        levels: Vec<Level>,
        still: Vec<Still>,
        state_tail: Option<Tail>,
    ) -> Pyramid {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let prepared: Vec<_> = levels.iter().map(PreparedLevel::new).collect();
        let prepared_joint = PreparedJoint::new(&prepared);
        let span = levels.iter().map(|level| level.shape.cells()).max().unwrap_or(1);
        let span = span.max(still::CELLS.min(columns.cells));
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Pyramid {
            columns,
            levels,
            still,
            joint: Vec::new(),
            bands: Vec::new(),
            state_tail,
            deep: [Deep::NONE; 2],
            references: Vec::new(),
            column_references: Vec::new(),
            training_surprises: Vec::new(),
            span,
            prepared,
            prepared_joint,
            id,
        }
    }

    /// Which of these windows a fit would use: those with at least 80 % of their scored cells, or of the last ones where
    /// these are too few.
    pub fn usable(&self, windows: ArrayView2<'_, f32>) -> Vec<usize> {
        self.columns.usable(windows).rows
    }

    /// Shapes of the levels that more training windows would add; not those under which nothing was seen.
    pub fn levels_left_out(&self) -> Vec<Shape> {
        let mut shapes = levels::shapes(self.columns.cells, self.columns.scored.len(), usize::MAX / 4, false);
        let shortest = self.levels.iter().map(|level| level.shape.cells()).min().unwrap_or(0);
        shapes.retain(|shape| {
            shape.cells() > shortest && self.levels.iter().all(|level| level.shape != *shape)
        });
        shapes
    }

    /// Whether so many windows are enough for every level of this one.
    pub(crate) fn learnable(&self, rows: usize) -> bool {
        let shapes = |rows| levels::shapes(self.columns.cells, self.columns.scored.len(), rows, false);
        let (all, enough) = (shapes(usize::MAX / 4), shapes(rows));
        // One block of all cells that are ever seen needs no more windows than any fit.
        self.levels.iter().all(|level| enough.contains(&level.shape) || !all.contains(&level.shape))
    }

    /// Surprise of training windows, each under a fit on others, nats, ascending.
    pub fn references(&self) -> &[f32] {
        &self.references
    }

    /// The same of their oddest columns ([`Scores::column_surprise`]).
    pub fn column_references(&self) -> &[f32] {
        &self.column_references
    }

    /// Surprise of each window of [`Pyramid::usable`], under a fit on others, nats. `None` when read from a file, and
    /// of so many windows that only a part was looked at.
    pub fn training_surprises(&self, usable: usize) -> Option<&[f32]> {
        (self.training_surprises.len() == usable && usable > 0).then_some(&self.training_surprises)
    }

    /// Tells pyramids apart, in this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Values in a window: `cells * columns`.
    pub fn dimension(&self) -> usize {
        self.columns.dimension()
    }
}
