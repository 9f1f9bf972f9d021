//! `standing`: for how long an alert may stay open before what it tells of is the key's new state.

use std::time::Duration;

use super::super::field::Field;
use super::super::plan::{ModelPlan, WindowPlan};
use super::super::section::Section;
use super::super::units::show_duration;

/// A fault may take days to be repaired, and is not to be learnt meanwhile.
const DEFAULT: Duration = Duration::from_secs(7 * 86_400);
const MIN: Duration = Duration::from_secs(60);
const MAX: Duration = Duration::from_secs(365 * 86_400);

/// `"off"`: for ever.
pub fn parse(field: &Field<'_>) -> Option<Option<Duration>> {
    if field.is_text() && field.text() == Some("off") {
        return Some(None);
    }
    field.duration(MIN..=MAX).map(Some)
}

/// `given` is what [`parse`] made of the key, if it is there. A new level is learnt from windows that hold nothing of
/// the old one.
pub fn resolve(
    section: &Section<'_>,
    given: Option<Option<Option<Duration>>>,
    window: Option<WindowPlan>,
    model: Option<&ModelPlan>,
) -> Option<Option<Duration>> {
    let size = window.map_or(Duration::ZERO, |window| window.size);
    // A card has no level to learn anew: its alert ends with the next sound payment.
    let by_itself = matches!(model, Some(ModelPlan::Transactions { .. }));
    let Some(standing) = given? else { return Some((!by_itself).then_some(DEFAULT.max(size))) };
    if standing.is_some() && by_itself {
        section
            .here()
            .locate("standing")
            .problem("transactions are judged one by one, and no state of a card stands", "Remove it.");
        return None;
    }
    if standing.is_some_and(|standing| standing < size) {
        let size = show_duration(size);
        section.here().locate("standing").problem(
            format!("is shorter than a window of {size}"),
            format!("Give it at least {size}, or \"off\"."),
        );
        return None;
    }
    Some(standing)
}
