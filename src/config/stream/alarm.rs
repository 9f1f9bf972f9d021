//! `p_value` or `alert_budget`: what makes a window anomalous.

use crate::config::field::Field;
use crate::config::plan::AlarmPlan;
use crate::config::section::Section;
use crate::config::units::parse_rate;

const DEFAULT: AlarmPlan = AlarmPlan::PValue(1e-4);
/// Fewer than one in three years nobody can hold to account; more than two a minute nobody reads.
const PER_DAY: std::ops::RangeInclusive<f64> = 0.001..=2_880.0;

pub fn parse(section: &mut Section<'_>) -> Option<AlarmPlan> {
    let p_value = section.maybe("p_value", |field| field.number(1e-9..=0.1));
    let budget = section.maybe("alert_budget", |field| budget(&field));
    match (p_value?, budget?) {
        (None, None) => Some(DEFAULT),
        (Some(p_value), None) => Some(AlarmPlan::PValue(p_value)),
        (None, Some(per_day)) => Some(AlarmPlan::Budget { per_day }),
        (Some(_), Some(_)) => {
            section.here().locate("alert_budget").problem(
                "`p_value` is given as well, and both say when to alert",
                "Keep one: a budget finds the p-value that keeps to it.",
            );
            None
        }
    }
}

/// Alerts a day.
fn budget(field: &Field<'_>) -> Option<f64> {
    let text = field.text()?;
    let Some(per_day) = parse_rate(text) else {
        field.problem(
            format!("{text:?} is not a number of alerts in a time"),
            "Write a number and one of /hour, /day, /week, such as \"1/day\" or \"0.5/week\".",
        );
        return None;
    };
    if !PER_DAY.contains(&per_day) {
        field.problem(
            format!("{text:?} is out of bounds"),
            format!("Choose from {}/day to {}/day.", PER_DAY.start(), PER_DAY.end()),
        );
        return None;
    }
    Some(per_day)
}
