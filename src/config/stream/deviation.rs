//! `direction` and `min_deviation` of a column: how it must depart from what was expected to be a reason to tell.

use super::super::field::Field;
use super::super::plan::{Aggregate, DeviationRule, Direction};
use super::super::section::Section;
use super::super::suggest;

/// In the column's unit; more says nothing.
const MIN_DEVIATION_MAX: f64 = 1e12;

pub fn parse(section: &mut Section<'_>, aggregate: Option<Aggregate>) -> Option<Option<DeviationRule>> {
    let direction = section.or("direction", Direction::Both, |field| direction(&field));
    let min_deviation = section.or("min_deviation", 0.0, |field| least(&field));
    let rule = DeviationRule { direction: direction?, min_deviation: min_deviation? };
    if rule.direction == Direction::Both && rule.min_deviation == 0.0 {
        return Some(None);
    }
    if aggregate == Some(Aggregate::Rarity) {
        let key = if rule.min_deviation > 0.0 { "min_deviation" } else { "direction" };
        section.here().locate(key).problem(
            "the column is of names: what is rare has no side and no size",
            "Remove it, or set it on a column of numbers.",
        );
        return None;
    }
    Some(Some(rule))
}

/// In the column's unit, without a sign.
fn least(field: &Field<'_>) -> Option<f64> {
    let number = field.any_number("2.5")?;
    let (fault, remedy) = match number {
        0.0..=MIN_DEVIATION_MAX => return Some(number),
        _ if (-MIN_DEVIATION_MAX..0.0).contains(&number) => {
            let size = number.abs();
            (
                "has a sign",
                format!("Write `min_deviation = {size}`, and the side as `direction = \"below\"`."),
            )
        }
        _ => (
            "is no departure",
            "Write one in the column's unit, such as 2.5; a column that is never to be told is left out."
                .to_owned(),
        ),
    };
    field.problem(format!("{number} {fault}"), remedy);
    None
}

fn direction(field: &Field<'_>) -> Option<Direction> {
    let text = field.text()?;
    let found = Direction::ALL.iter().find(|(name, _)| *name == text).map(|(_, direction)| *direction);
    if found.is_none() {
        let names = suggest::list(Direction::ALL.iter().map(|(name, _)| *name));
        field.problem(format!("there is no direction {text:?}"), format!("Use {names}."));
    }
    found
}
