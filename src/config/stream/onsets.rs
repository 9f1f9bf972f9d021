//! `onsets`: whether a column that goes further than it ever did is told of.

use std::time::Duration;

use crate::config::field::Field;
use crate::config::plan::{OnsetPlan, Shape, WindowPlan};

/// Chosen on NAB, where from 300 to 600 cells the standard score is 71 and fewer cells give more false starts; by a
/// day, since a range that has not seen night and day is none, however many cells it is of.
pub const DEFAULT: OnsetPlan = OnsetPlan { cells: 500, span: Duration::from_secs(86_400) };

/// `None`: nobody is told. Only cells of a grid follow each other as records need it.
pub fn of(asked: Option<(bool, Field<'_>)>, window: Option<WindowPlan>) -> Option<OnsetPlan> {
    let on_grid = window.is_none_or(|window| window.shape == Shape::Grid);
    match asked {
        Some((true, field)) if !on_grid => {
            field.problem(
                "onsets are told from grid cells, and these windows are made by events",
                "Remove it, or use window type \"hopping\" or \"tumbling\".",
            );
            None
        }
        Some((false, _)) => None,
        Some((true, _)) | None => on_grid.then_some(DEFAULT),
    }
}
