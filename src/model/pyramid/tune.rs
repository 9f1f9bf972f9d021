//! Fine-tuning: the closed form's numbers moved along the gradient of the likelihood, and kept only where windows that
//! were held back are likelier by it, by more than chance.
//!
//! The closed form takes a t density's variances from second moments, which a few far values widen. What moves are
//! centres, variances along the axes, codes and their shares. The axes stay: they are orthonormal, `|det V| = 1`, which
//! is what makes a product of densities along them a density, and a step along a gradient would lead away from that.
//! Everything else that is derived (precision, expectations, the search for a code, tails and bands) is derived from
//! the moved numbers as it is from the closed form's.
//!
//! How many steps are taken is chosen on every second stretch of the held-back windows, and whether they are kept is
//! decided on the others: what is judged must not have chosen (windows at a border share cells with the next stretch's; the
//! three standard errors allow for that). Both are learnt under a fit on the early windows; the
//! density kept is a closed form on all of them, moved by as many steps. Windows with gaps have no part in it: what is
//! completed is too calm.

mod descent;
mod path;

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::super::FitError;
use super::basis::Basis;
use super::codes::{Codes, Starts};
use super::density::log_likelihoods;
use super::trim::Trimmed;
use path::{Path, ROUND_STEPS, moved};

/// Steps at most, a density: a second or so where a level is wide.
const STEPS_MAX: usize = 300;
/// Rounds of steps without a gain after which no more are taken.
const PATIENCE: usize = 3;
/// Fewest whole windows to learn from, and of those held back.
const ROWS_MIN: usize = 128;
/// Stretches of time that held-back windows are cut into, for choosing and judging in turn.
const STRETCHES: usize = 16;
/// Least gain, nats a dimension. On normal values, which the closed form is right for, a t density gains 0.001.
const GAIN_MIN: f64 = 0.005;
/// And in standard errors of it, by the stretches.
const GAIN_ERRORS_MIN: f64 = 3.0;

/// What fine-tuning made of one density. Log-likelihoods are of held-back windows under a fit on the others, nats a
/// dimension.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// Steps that did best; 0: none did better than the closed form.
    pub steps: usize,
    pub held_back_closed_form: f64,
    pub held_back_tuned: f64,
    /// Standard error of the difference.
    pub error: f64,
    /// Whether the density is the one that was tuned; else it is the closed form: of the single density to the bit, of the
    /// codes about the single density as it is kept.
    pub kept: bool,
}

impl Tuned {
    fn decided(self) -> Tuned {
        let gain = self.held_back_tuned - self.held_back_closed_form;
        // Comparisons with what is no number are false, so that nothing is kept by it.
        let kept = self.steps > 0 && gain >= GAIN_MIN && gain >= GAIN_ERRORS_MIN * self.error;
        Tuned { kept, ..self }
    }
}

impl From<candle_core::Error> for FitError {
    fn from(error: candle_core::Error) -> FitError {
        FitError::FineTuning { detail: error.to_string() }
    }
}

/// The densities of a level fitted on `of`, each moved as `tuned` says of it (the single one first; of none, none is).
/// `seed` decides the order in which windows are taken.
///
/// # Errors
/// As [`super::Pyramid::fit`].
pub(super) fn densities(
    of: &Trimmed,
    (codes, own_axes_max): (usize, usize),
    (tuned, seed): (&[Tuned], u64),
    starts: Starts<'_>,
) -> Result<(Basis, Option<Codes>), FitError> {
    let steps = |density: usize| tuned.get(density).filter(|of| of.kept).map_or(0, |of| of.steps);
    let rows = || of.f.select(Axis(0), &of.whole);
    let mut basis = of.basis.clone();
    if steps(0) > 0 {
        basis = moved((&basis, None), rows().view(), steps(0), seed)?.0;
    }
    if codes <= 1 {
        return Ok((basis, None));
    }
    // About the basis as it is now: codes are looked for, and their spread is found, on its axes.
    let mut codes = Codes::fit(of.f.view(), &basis, (codes, own_axes_max), starts)?;
    if steps(1) > 0
        && let (_, Some(found)) = moved((&basis, Some(&codes)), rows().view(), steps(1), seed)?
    {
        codes = found;
    }
    Ok((basis, Some(codes)))
}

/// What fine-tuning is worth to the densities of a level, found on `early` windows and the `late` ones, whole all of
/// them. Empty: too few to say. Codes come with the widest level
/// that has axes of their own.
///
/// # Errors
/// As [`super::Pyramid::fit`].
pub(super) fn trials(
    early: &Trimmed,
    late: ArrayView2<'_, f64>,
    codes: (usize, usize),
    seed: u64,
    starts: Starts<'_>,
) -> Result<Vec<Tuned>, FitError> {
    if early.whole.len() < ROWS_MIN || late.nrows() < ROWS_MIN {
        return Ok(Vec::new());
    }
    let rows = early.f.select(Axis(0), &early.whole);
    let mut tuned = vec![trial((&early.basis, None), rows.view(), late, seed)?];
    if codes.0 > 1 {
        let (basis, found) = densities(early, codes, (&tuned, seed), starts)?;
        tuned.push(trial((&basis, found.as_ref()), rows.view(), late, seed)?);
    }
    Ok(tuned)
}

/// Moves a density until the held-back windows that choose gain no more; says what the others gained.
fn trial(
    closed: (&Basis, Option<&Codes>),
    rows: ArrayView2<'_, f64>,
    late: ArrayView2<'_, f64>,
    seed: u64,
) -> Result<Tuned, FitError> {
    let before = log_likelihoods(closed.0, closed.1, late);
    let mut path = Path::new(closed, rows, seed)?;
    let mut best = (0, before.clone());
    for round in 1..=STEPS_MAX / ROUND_STEPS {
        path.round()?;
        let (basis, codes) = path.density()?;
        let now = log_likelihoods(&basis, codes.as_ref(), late);
        if mean(&stretches(&now, 0)) > mean(&stretches(&best.1, 0)) {
            best = (round * ROUND_STEPS, now);
        } else if round >= best.0 / ROUND_STEPS + PATIENCE {
            break;
        }
    }
    let (steps, after) = best;
    let (before, after) = (stretches(&before, 1), stretches(&after, 1));
    let gains: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let tuned = Tuned {
        steps,
        held_back_closed_form: mean(&before),
        held_back_tuned: mean(&after),
        error: error(&gains),
        kept: false,
    };
    Ok(tuned.decided())
}

/// Means of every second stretch from the given one on.
fn stretches(of: &[f64], from: usize) -> Vec<f64> {
    let stretch = |i: usize| &of[of.len() * i / STRETCHES..of.len() * (i + 1) / STRETCHES];
    (from..STRETCHES).step_by(2).map(|i| mean(stretch(i))).collect()
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

/// Standard error of a mean of stretches: windows that overlap are not so many as they seem.
fn error(of: &[f64]) -> f64 {
    let (n, all) = (of.len() as f64, mean(of));
    (of.iter().map(|x| (x - all).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

#[cfg(test)]
mod tests;
