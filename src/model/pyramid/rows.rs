//! Which columns of a window are scored, and which of the training windows serve what.

use ndarray::ArrayView2;

use super::levels::{Shape, shapes};
use crate::model::MIN_ROWS;

/// Values beyond this many sd count as this many.
const CLIP: f32 = 20.0;
/// Windows a level is fitted on, about, at most.
const FIT_ROWS: usize = 6000;
/// Windows held back, about, at most.
const HELD_ROWS: usize = 2000;
/// Windows whose energies are references, about, at most.
const REFERENCE_ROWS: usize = 20_000;
/// Fewest rows a fit is tried on before the held-back ones are shared with it.
const EARLY_MIN: usize = 20;
/// First reference row where the windows start padded.
const REFERENCE_FROM: usize = 20;

/// The layout of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    pub cells: usize,
    pub columns: usize,
    /// Flag columns, which are carried and not scored.
    pub context: Vec<bool>,
    /// The others, ascending; all if all are flags.
    pub scored: Vec<usize>,
}

impl Columns {
    pub(super) fn new(cells: usize, columns: usize, context: &[bool]) -> Columns {
        let all_flags = context.iter().all(|flag| *flag);
        let scored = (0..columns).filter(|c| all_flags || !context[*c]).collect();
        Columns { cells, columns, context: context.to_vec(), scored }
    }

    /// Values of a window.
    pub fn dimension(&self) -> usize {
        self.cells * self.columns
    }

    /// Whether a flag's last cell is something else than 0, 1, or a mean of these.
    #[inline(always)]
    pub(super) fn is_strange(&self, window: &[f32], column: usize) -> bool {
        let z = window[self.dimension() - self.columns + column];
        z.is_finite() && !(0.0..=1.0).contains(&z)
    }

    /// The flags, none if all columns are.
    pub(super) fn flags(&self) -> impl Iterator<Item = usize> {
        let none = self.scored.len() == self.columns;
        (0..self.columns).filter(move |column| !none && self.context[*column])
    }

    /// The windows to fit on: those with at least 80 % of their scored cells. Where more levels have windows enough if only
    /// the last cells must be there, as at a stream's beginning, longer levels are given up and windows need 80 % of those.
    pub(super) fn usable(&self, windows: ArrayView2<'_, f32>) -> Usable {
        let of = |span: usize, rows: usize| shapes(span, self.scored.len(), rows, false).len();
        let worth = |found: &Usable| (found.rows.len() >= MIN_ROWS, of(found.span, found.rows.len()));
        let over = |span: usize| Usable { rows: self.with_last(span, windows), span };
        let mut best = over(self.cells);
        if of(self.cells, best.rows.len()) == of(self.cells, usize::MAX / 4) {
            return best;
        }
        let all = shapes(self.cells, self.scored.len(), usize::MAX / 4, false);
        let mut spans: Vec<usize> =
            all.iter().map(|shape| shape.cells()).filter(|span| *span < self.cells).collect();
        spans.sort_unstable_by(|a, b| b.cmp(a));
        for found in spans.into_iter().map(over) {
            if worth(&found) > worth(&best) {
                best = found;
            }
        }
        best
    }

    /// The shapes under which half of the windows show anything; at least one. Sensors that keep time with the windows may
    /// never speak in the last cells of any: where no shape reaches further back, all cells up to those that do are one block.
    pub(super) fn seen(
        &self,
        mut found: Vec<Shape>,
        span: usize,
        windows: ArrayView2<'_, f32>,
    ) -> Vec<Shape> {
        let shows = |row: usize, cells: usize| {
            let row = windows.row(row);
            let finite =
                |cell: usize| self.scored.iter().any(|column| row[cell * self.columns + column].is_finite());
            (self.cells - cells..self.cells).any(finite)
        };
        let n = windows.nrows();
        let seen = |cells: usize| 2 * (0..n).filter(|row| shows(*row, cells)).count() >= n;
        found.retain(|shape| seen(shape.cells()));
        if found.is_empty() {
            let pool = (1..span).find(|cells| seen(*cells)).unwrap_or(span);
            found.push(Shape { pool, blocks: 1 });
        }
        found
    }

    /// The windows with at least 80 % of the scored part of their last cells, ascending.
    fn with_last(&self, cells: usize, windows: ArrayView2<'_, f32>) -> Vec<usize> {
        let enough = |row: &usize| {
            let row = windows.row(*row);
            let finite = |cell: usize, column: usize| row[cell * self.columns + column].is_finite();
            let in_cell = |cell| self.scored.iter().filter(|column| finite(cell, **column)).count();
            let observed: usize = (self.cells - cells..self.cells).map(in_cell).sum();
            10 * observed >= 8 * cells * self.scored.len()
        };
        (0..windows.nrows()).filter(enough).collect()
    }

    /// The scored columns of the window's last cells, as many as `out` holds; clipped, and NaN where
    /// not finite.
    #[inline(always)]
    pub(super) fn gather(&self, window: &[f32], out: &mut [f32]) {
        let clipped = |z: f32| if z.is_finite() { z.clamp(-CLIP, CLIP) } else { f32::NAN };
        let cells = out.len() / self.scored.len();
        let window = &window[window.len() - cells * self.columns..];
        if self.scored.len() == self.columns {
            out.iter_mut().zip(window).for_each(|(out, z)| *out = clipped(*z));
            return;
        }
        for (cell, out) in window.chunks_exact(self.columns).zip(out.chunks_exact_mut(self.scored.len())) {
            self.scored.iter().zip(out).for_each(|(column, out)| *out = clipped(cell[*column]));
        }
    }
}

/// Windows to fit on, and how many of their last cells the levels may look at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Usable {
    /// Ascending.
    pub rows: Vec<usize>,
    pub span: usize,
}

/// The training rows of a level.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows {
    /// All that are fitted on.
    pub fit: Vec<usize>,
    /// Those before the held-back part.
    pub early: Vec<usize>,
    /// The held-back part, the last quarter.
    pub late: Vec<usize>,
}

impl Rows {
    pub(super) fn new(n: usize, shape: Shape, ramp: bool) -> Rows {
        let from = if ramp { shape.cells().min(n / 4) } else { 0 };
        let fit = thinned((from..n).collect(), FIT_ROWS);
        let cut = n * 3 / 4;
        let mut early: Vec<usize> = fit.iter().copied().filter(|row| *row < cut).collect();
        if early.len() < EARLY_MIN {
            early.clone_from(&fit);
        }
        let late = cut.min(n - 1)..n;
        let step = (late.len() / HELD_ROWS).max(1);
        Rows { fit, early, late: late.step_by(step).collect() }
    }
}

/// The rows whose energies are references, of n.
pub(super) fn references(n: usize, ramp: bool) -> Vec<usize> {
    let from = if ramp { REFERENCE_FROM.min(n / 4) } else { 0 };
    thinned((from..n).collect(), REFERENCE_ROWS)
}

fn thinned(rows: Vec<usize>, most: usize) -> Vec<usize> {
    if rows.len() <= most { rows } else { rows.iter().step_by(rows.len() / most + 1).copied().collect() }
}
