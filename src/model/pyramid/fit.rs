//! Fitting: which windows, which levels, how many codes.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::super::{FitError, MIN_ROWS};
use super::basis::Basis;
use super::codes::{Codes, Starts};
use super::density::log_likelihood;
use super::fill::{fill, fitted};
use super::large::{Tried, add_longer};
use super::levels::{DIMENSION_MAX, Shape, shapes, vector, within_blocks};
use super::rows::{Columns, Rows, Usable};
use super::tail::Tail;
use super::trim::{trimmed, whole};
use super::tune::{self, Tuned};

/// Codebook sizes tried, ascending; the last one by large fits alone.
const CODES: [usize; 4] = [8, 32, 128, 256];
/// Codes times dimension: bounds what the search for the nearest costs.
pub(super) const CODE_CELLS: usize = 8192;
/// Order statistics kept of a tail.
pub(super) const KNOTS: usize = 1024;
/// Training rows a code needs.
const ROWS_PER_CODE: usize = 12;

/// How a pyramid is fitted. The defaults are for windows that are all full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The first `cells - 1` rows are the start of one series, padded with its first cell: levels leave
    /// out those they would see the padding in.
    pub ramp: bool,
    /// Order statistics kept of a density's reference energies.
    pub knots: usize,
    /// Columns that are too quiet count as a further level.
    pub still: bool,
    /// Columns that contradict all others count.
    pub joint: bool,
    /// Parts of the training rows whose states are found by a fit on the others, as references of the
    /// state's surprise; 0: by the fit on all, which has seen them.
    pub folds: usize,
    /// Share of the rows, the most surprising under a first fit, that a level's second fit leaves out: a
    /// history may hold what nobody labelled.
    pub trim: f64,
    /// Whether mixtures over codes are tried beside the single density.
    pub codes: bool,
    /// Whether longer levels and more codes are tried as well: several times the work of a verdict.
    pub large: bool,
    /// Seed of the order in which fine-tuning takes the windows; `None`: the closed form stays as it is.
    pub tune: Option<u64>,
}

impl Settings {
    /// For fits on the thread that scores: a single density a level, which takes a part of the time.
    pub const QUICK: Settings = Settings {
        ramp: false,
        knots: KNOTS,
        still: true,
        joint: true,
        folds: 4,
        trim: 0.01,
        codes: false,
        large: false,
        tune: None,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Settings { codes: true, ..Settings::QUICK }
    }
}

/// One codebook size that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// 1: the single density.
    pub codes: usize,
    /// Of the last quarter of the rows under a fit on the rest, nats a dimension.
    pub held_back_log_likelihood: f64,
}

/// One level: its two densities and their references.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    pub shape: Shape,
    pub basis: Basis,
    /// By scored column: variance of cells about their block's mean; 0 without pooling.
    pub within: Array1<f64>,
    /// Of the second density; without, one density was as likely as any codebook.
    pub codes: Option<Codes>,
    /// Of the single density, then of the codes' if there are.
    pub tails: Vec<Tail>,
    pub candidates: Vec<Candidate>,
    /// By density; empty: not asked for, or too few whole windows to say.
    pub tuned: Vec<Tuned>,
}

/// Fits every level that looks at no more than the last `span` cells; tails are left for the calibration.
pub(super) fn levels(
    windows: ArrayView2<'_, f32>,
    span: usize,
    columns: &Columns,
    settings: &Settings,
    starts: Starts<'_>,
) -> Result<Vec<Level>, FitError> {
    let n = windows.nrows();
    let shapes = columns.seen(shapes(span, columns.scored.len(), n, settings.ramp), span, windows);
    let tried = |shape: Shape| -> Result<Tried, FitError> {
        let rows = Rows::new(n, shape, settings.ramp);
        Ok((shape, candidates(windows, columns, shape, &rows, settings, starts)?))
    };
    let mut found = shapes.into_iter().map(tried).collect::<Result<Vec<_>, _>>()?;
    if settings.large {
        add_longer(&mut found, (span, columns.scored.len(), n), tried)?;
    }
    let fit = |(shape, candidates): Tried| {
        let rows = Rows::new(n, shape, settings.ramp);
        let tuned = match settings.tune {
            None => Vec::new(),
            Some(seed) => trials(windows, columns, shape, &rows, (&candidates, seed), settings, starts)?,
        };
        level(windows, columns, shape, &rows.fit, (candidates, tuned), settings, starts)
    };
    found.into_iter().map(fit).collect()
}

/// The same levels with the same choices, fitted on other windows.
pub(super) fn levels_like(
    levels: &[Level],
    windows: ArrayView2<'_, f32>,
    columns: &Columns,
    settings: &Settings,
    starts: Starts<'_>,
) -> Result<Vec<Level>, FitError> {
    let fit = |like: &Level| {
        let rows = Rows::new(windows.nrows(), like.shape, false);
        let choices = (like.candidates.clone(), like.tuned.clone());
        level(windows, columns, like.shape, &rows.fit, choices, settings, starts)
    };
    levels.iter().map(fit).collect()
}

/// Mean log-likelihood of the held-back rows under each number of codes fitted on the early ones.
fn candidates(
    windows: ArrayView2<'_, f32>,
    columns: &Columns,
    shape: Shape,
    rows: &Rows,
    settings: &Settings,
    starts: Starts<'_>,
) -> Result<Vec<Candidate>, FitError> {
    let (mut early, mut late) =
        (vectors(windows, columns, shape, &rows.early), vectors(windows, columns, shape, &rows.late));
    let basis = fitted(&mut early)?;
    fill(&mut late, &basis, None);
    let mut candidates =
        vec![Candidate { codes: 1, held_back_log_likelihood: log_likelihood(&basis, None, late.view()) }];
    let (codes_max, cells) = settings.codes_max();
    let room = |codes: usize| {
        codes <= codes_max && codes * ROWS_PER_CODE <= early.nrows() && codes * basis.dimension() <= cells
    };
    for codes in CODES.into_iter().filter(|codes| settings.codes && room(*codes)) {
        let found = Codes::fit(early.view(), &basis, (codes, settings.own_axes_max()), starts)?;
        let held_back_log_likelihood = log_likelihood(&basis, Some(&found), late.view());
        candidates.push(Candidate { codes, held_back_log_likelihood });
    }
    Ok(candidates)
}

/// What fine-tuning is worth to the densities this many codes make, by the held-back rows without gaps.
fn trials(
    windows: ArrayView2<'_, f32>,
    columns: &Columns,
    shape: Shape,
    rows: &Rows,
    (candidates, seed): (&[Candidate], u64),
    settings: &Settings,
    starts: Starts<'_>,
) -> Result<Vec<Tuned>, FitError> {
    let early = trimmed(vectors(windows, columns, shape, &rows.early), settings.trim)?;
    let late = vectors(windows, columns, shape, &rows.late);
    let late = late.select(Axis(0), &whole(&late));
    tune::trials(&early, late.view(), (best(candidates).codes, settings.own_axes_max()), seed, starts)
}

/// A level with the choices made for it: as many codes, or as many as the rows have room for, and steps.
fn level(
    windows: ArrayView2<'_, f32>,
    columns: &Columns,
    shape: Shape,
    rows: &[usize],
    (candidates, tuned): (Vec<Candidate>, Vec<Tuned>),
    settings: &Settings,
    starts: Starts<'_>,
) -> Result<Level, FitError> {
    let all = trimmed(vectors(windows, columns, shape, rows), settings.trim)?;
    let codes = best(&candidates).codes.min(rows.len() / ROWS_PER_CODE);
    let (basis, codes) = tune::densities(
        &all,
        (codes, settings.own_axes_max()),
        (&tuned, settings.tune.unwrap_or_default()),
        starts,
    )?;
    let within = within(windows, columns, shape, rows);
    let mut level = Level { shape, basis, within, codes, tails: Vec::new(), candidates, tuned };
    level.round();
    Ok(level)
}

fn within(windows: ArrayView2<'_, f32>, columns: &Columns, shape: Shape, rows: &[usize]) -> Array1<f64> {
    let scored = columns.scored.len();
    if shape.pool == 1 {
        return Array1::zeros(scored);
    }
    let gathered: Vec<Vec<f32>> = rows.iter().map(|row| gathered(windows, columns, shape, *row)).collect();
    within_blocks(shape, scored, gathered.iter().map(Vec::as_slice)).into()
}

fn gathered(windows: ArrayView2<'_, f32>, columns: &Columns, shape: Shape, row: usize) -> Vec<f32> {
    let mut z = vec![0.0; shape.cells() * columns.scored.len()];
    columns.gather(&windows.row(row).to_vec(), &mut z);
    z
}

/// The likeliest; of equals the first, which is the simplest.
pub(super) fn best(candidates: &[Candidate]) -> Candidate {
    candidates[1..].iter().fold(candidates[0], |best, next| {
        if next.held_back_log_likelihood > best.held_back_log_likelihood { *next } else { best }
    })
}

/// Vectors of the level of these rows, NaN where nothing was observed.
pub(super) fn vectors(
    windows: ArrayView2<'_, f32>,
    columns: &Columns,
    shape: Shape,
    rows: &[usize],
) -> Array2<f64> {
    let scored = columns.scored.len();
    let mut found = vec![0.0; shape.dimension(scored)];
    let mut all = Array2::zeros((rows.len(), found.len()));
    for (row, mut into) in rows.iter().zip(all.rows_mut()) {
        vector(shape, scored, &gathered(windows, columns, shape, *row), &mut found);
        into.iter_mut().zip(&found).for_each(|(to, from)| *to = f64::from(*from));
    }
    all
}

impl Level {
    /// Brings every number to what an f32 holds: a file keeps f32, and must score to the same bits.
    fn round(&mut self) {
        let round = |x: &mut f64| *x = f64::from(*x as f32);
        let Basis { mu, v, l } = &mut self.basis;
        mu.iter_mut().chain(l.iter_mut()).chain(v.iter_mut()).chain(&mut self.within).for_each(round);
        if let Some(Codes { centres, means, ln_share, u, l }) = &mut self.codes {
            centres.iter_mut().chain(means.iter_mut()).chain(ln_share.iter_mut()).for_each(round);
            l.iter_mut().chain(u.iter_mut().flatten()).for_each(round);
        }
    }
}

pub(super) fn check(
    windows: ArrayView2<'_, f32>,
    cells: usize,
    columns: usize,
    context: &[bool],
) -> Result<(), FitError> {
    let (found, expected) = (windows.ncols(), cells * columns);
    if found != expected || expected == 0 || cells > usize::from(u16::MAX) {
        return Err(FitError::Shape { found, cells, columns, expected });
    }
    if context.len() != columns {
        return Err(FitError::Flags { found: context.len(), expected: columns });
    }
    let scored = Columns::new(cells, columns, context).scored.len();
    if scored > DIMENSION_MAX {
        return Err(FitError::TooManyColumns { found: scored, most: DIMENSION_MAX });
    }
    Ok(())
}

/// The windows that are fitted on, in order, and how many of their last cells levels may look at.
pub(super) fn usable(
    windows: ArrayView2<'_, f32>,
    columns: &Columns,
) -> Result<(Array2<f32>, usize), FitError> {
    let Usable { rows: kept, span } = columns.usable(windows);
    let (rows, usable) = (windows.nrows(), kept.len());
    if usable < MIN_ROWS {
        return Err(FitError::TooFewRows { rows, usable, needed: MIN_ROWS, missing: MIN_ROWS - usable });
    }
    Ok((windows.select(Axis(0), &kept), span))
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
