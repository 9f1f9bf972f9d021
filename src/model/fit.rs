//! A model from windows: a pyramid, and what is said of it.

use ndarray::ArrayView2;

use super::file::Card;
use super::pyramid::{Pyramid, Settings};
use super::{Model, ScalerPrior};

/// Fewest usable windows a model is fitted on.
pub const MIN_ROWS: usize = 32;

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
    #[error("fine-tuning failed ({detail}): train without `--fine-tune`")]
    FineTuning { detail: String },
}

pub(super) fn fit(
    windows: ArrayView2<'_, f32>,
    cells: usize,
    columns: &[String],
    prior: ScalerPrior,
    settings: &Settings,
) -> Result<Model, FitError> {
    let expected = columns.len();
    for found in [prior.mean.len(), prior.sd.len(), prior.between_var.len(), prior.flags.len()] {
        if found != expected {
            return Err(FitError::Prior { found, expected });
        }
    }
    let pyramid = Pyramid::fit_with(windows, cells, expected, &prior.flags, settings)?;
    let card = Card::of_fit(&pyramid, columns, pyramid.usable(windows).len(), windows.nrows());
    Ok(Model::assemble(columns.to_vec(), pyramid, prior, Vec::new(), card))
}

/// Which columns are flags: commands and states that were only ever 0 or 1 in these raw windows
/// (whole ones end to end, cell-major, NaN = missing). None is, if all would be.
pub fn flags<'a>(windows: impl Iterator<Item = &'a [f32]>, columns: usize) -> Vec<bool> {
    let mut flags = vec![true; columns];
    for cell in windows.flat_map(|windows| windows.chunks_exact(columns)) {
        flags.iter_mut().zip(cell).for_each(|(flag, x)| *flag &= x.is_nan() || *x == 0.0 || *x == 1.0);
    }
    if flags.iter().all(|flag| *flag) { vec![false; columns] } else { flags }
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_are_0_or_1_and_not_all_columns_are() {
        let nan = f32::NAN;
        let flags = |windows: &[f32], columns| super::flags(std::iter::once(windows), columns);
        assert_eq!(flags(&[0.0, 1.0, 2.0, 1.0, 1.0, nan], 3), [true, true, false]);
        assert_eq!(flags(&[0.0, 0.5, 1.0, 1.0], 2), [true, false]);
        assert_eq!(flags(&[0.0, 1.0, 1.0, nan], 2), [false, false]);
    }
}
