//! Fitting: which windows, which rank and gain, what the references are.

use ndarray::{Array2, ArrayView2, Axis, concatenate, s};

use super::decompose::Decomposition;
use super::energy::{Energies, Prepared, RANKS};
use super::file::{Candidate, Card};
use super::knots::knots;
use super::tail::Tails;
use super::{Model, Ppca, ScalerPrior};

/// Fewest usable windows a model is fitted on.
pub const MIN_ROWS: usize = 64;
/// Widest window: the covariance is decomposed as a whole.
pub const DIMENSION_MAX: usize = 512;
/// Windows a free direction needs before it may be a candidate.
const ROWS_PER_RANK: usize = 4;
/// Share of its cells a training window must have, in tenths.
const OBSERVED_TENTHS: usize = 8;
const FOLDS: usize = 4;
/// Values kept of the held-back surprises, at evenly spaced ranks.
const REFERENCE_SURPRISE_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    #[error(
        "only {usable} of the {rows} training windows have 80 % of their cells, {needed} are needed: \
         give {missing} more (a longer warm-up, a coarser grid, or more keys)"
    )]
    TooFewRows { rows: usize, usable: usize, needed: usize, missing: usize },
    #[error("windows of {found} values do not match {cells} cells of {columns} columns: give {expected}")]
    Shape { found: usize, cells: usize, columns: usize, expected: usize },
    #[error(
        "a window of {found} values (cells x columns) is wider than the {DIMENSION_MAX} a model can hold: \
         use a coarser `grid`, a shorter `size`, or fewer columns"
    )]
    TooWide { found: usize },
    #[error(
        "the scaler prior describes {found} columns, the windows have {expected}: build both from the same stream"
    )]
    Prior { found: usize, expected: usize },
    #[error(
        "{found} columns are said to be flags or not, the windows have {expected}: say it of each column"
    )]
    Flags { found: usize, expected: usize },
    #[error("{found} columns are more than the {most} a pyramid can score together: use fewer")]
    TooManyColumns { found: usize, most: usize },
    #[error(
        "the windows' covariance has no eigen-decomposition: look for values beyond +-20 in the training windows"
    )]
    NoAxes,
}

pub(super) fn fit(
    windows: ArrayView2<'_, f32>,
    cells: usize,
    columns: &[String],
    prior: ScalerPrior,
) -> Result<Model, FitError> {
    check(windows, cells, columns.len(), &prior)?;
    let usable = usable_rows(windows);
    if usable.nrows() < MIN_ROWS {
        let (rows, usable) = (windows.nrows(), usable.nrows());
        return Err(FitError::TooFewRows { rows, usable, needed: MIN_ROWS, missing: MIN_ROWS - usable });
    }
    let candidates = candidates(&usable, cells, columns.len())?;
    let chosen = best(&candidates);
    let fit_on = |rows: ArrayView2<'_, f32>| {
        Decomposition::new(rows, cells, columns.len(), chosen.gain).map(|found| found.ppca(chosen.rank))
    };
    let references = cross_fit(&usable, fit_on)?;
    let tails = Tails::fit(&references, cells, columns.len());
    let reference_surprise = reference_surprise(&tails, &references, cells);
    let ppca = fit_on(usable.view())?;
    let card = Card::of_fit(cells, columns, usable.nrows(), windows.nrows(), chosen, candidates);
    Ok(Model::assemble(columns.to_vec(), ppca, tails, reference_surprise, prior, card))
}

fn check(
    windows: ArrayView2<'_, f32>,
    cells: usize,
    columns: usize,
    prior: &ScalerPrior,
) -> Result<(), FitError> {
    let (found, expected) = (windows.ncols(), cells * columns);
    if found != expected || expected == 0 {
        return Err(FitError::Shape { found, cells, columns, expected });
    }
    if found > DIMENSION_MAX {
        return Err(FitError::TooWide { found });
    }
    for described in [&prior.mean, &prior.sd, &prior.between_var] {
        if described.len() != columns {
            return Err(FitError::Prior { found: described.len(), expected: columns });
        }
    }
    Ok(())
}

/// The windows with at least 80 % of their cells, in order; what is not finite is missing.
fn usable_rows(windows: ArrayView2<'_, f32>) -> Array2<f32> {
    let kept: Vec<usize> = windows
        .rows()
        .into_iter()
        .enumerate()
        .filter(|(_, row)| 10 * row.iter().filter(|z| z.is_finite()).count() >= OBSERVED_TENTHS * row.len())
        .map(|(at, _)| at)
        .collect();
    windows.select(Axis(0), &kept).mapv(|z| if z.is_finite() { z } else { f32::NAN })
}

/// Mean log-likelihood (nats a window) of the last quarter under each choice fitted on the rest.
fn candidates(usable: &Array2<f32>, cells: usize, columns: usize) -> Result<Vec<Candidate>, FitError> {
    let split = usable.nrows() * (FOLDS - 1) / FOLDS;
    let mut found = Vec::new();
    for gain in [false, true] {
        if gain && (cells == 1 || columns == 1) {
            continue;
        }
        let decomposition = Decomposition::new(usable.slice(s![..split, ..]), cells, columns, gain)?;
        for rank in ranks(split, cells * columns) {
            let energies = energies_of(&decomposition.ppca(rank), usable.slice(s![split.., ..]));
            let sum: f64 = energies.iter().map(|e| e.log_likelihood).sum();
            found.push(Candidate { rank, gain, held_back_log_likelihood: sum / energies.len() as f64 });
        }
    }
    Ok(found)
}

/// The smallest rank always; a larger one if the window and the training set have room for it.
fn ranks(rows: usize, dimension: usize) -> impl Iterator<Item = usize> {
    RANKS.into_iter().filter(move |q| *q == RANKS[0] || (*q < dimension && *q * ROWS_PER_RANK <= rows))
}

/// The likeliest; of equals the first, which is the simplest.
fn best(candidates: &[Candidate]) -> Candidate {
    candidates[1..].iter().fold(candidates[0], |best, next| {
        if next.held_back_log_likelihood > best.held_back_log_likelihood { *next } else { best }
    })
}

/// Energies of every window under a model of the blocks it is not in.
fn cross_fit(
    usable: &Array2<f32>,
    fit_on: impl Fn(ArrayView2<'_, f32>) -> Result<Ppca, FitError>,
) -> Result<Vec<Energies>, FitError> {
    let n = usable.nrows();
    let mut energies = Vec::with_capacity(n);
    for fold in 0..FOLDS {
        let (from, to) = (n * fold / FOLDS, n * (fold + 1) / FOLDS);
        let others = concatenate![Axis(0), usable.slice(s![..from, ..]), usable.slice(s![to.., ..])];
        energies.extend(energies_of(&fit_on(others.view())?, usable.slice(s![from..to, ..])));
    }
    Ok(energies)
}

fn energies_of(ppca: &Ppca, windows: ArrayView2<'_, f32>) -> Vec<Energies> {
    let prepared = Prepared::new(ppca);
    let mut working = Energies::default();
    let mut window = Vec::new();
    let scored = windows.rows().into_iter().map(|row| {
        window.clear();
        window.extend(row.iter().copied());
        prepared.energies(&window, &mut working);
        working.result()
    });
    scored.collect()
}

fn reference_surprise(tails: &Tails, references: &[Energies], cells: usize) -> Vec<f32> {
    let surprises = references.iter().map(|e| tails.surprise(e, cells) as f32);
    knots(surprises.collect(), REFERENCE_SURPRISE_MAX)
}
