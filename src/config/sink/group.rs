//! `group` of a sink: alerts that belong together are told together.

use std::time::Duration;

use super::super::field::Field;
use super::super::plan::GroupPlan;
use crate::types::silence::Label;

const WAIT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(300);
/// The floor of the interval: below it an incident's messages would be the storm that they are to spare.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

pub fn parse(field: &Field<'_>) -> Option<GroupPlan> {
    let mut section = field.section()?;
    let by = section.or("by", vec![Label::Stream], |field| labels(&field));
    let wait = section.or("wait", WAIT, |field| field.duration(Duration::from_secs(1)..=DAY));
    let interval = section.or("interval", INTERVAL, |field| field.duration(INTERVAL_MIN..=DAY));
    section.finish();
    Some(GroupPlan { by: by?, wait: wait?, interval: interval? })
}

/// Of a sink all alerts have the same name, so that is no label to group by.
fn labels(field: &Field<'_>) -> Option<Vec<Label>> {
    let known = || Label::ALL.into_iter().filter(|label| *label != Label::Sink);
    let label = |item: Field<'_>| {
        let name = item.text()?;
        let found = known().find(|label| label.as_str() == name);
        if found.is_none() {
            let names: Vec<&str> = known().map(Label::as_str).collect();
            item.problem(
                format!("there is no label {name:?} to group by"),
                format!("Use {}.", names.join(", ")),
            );
        }
        found
    };
    // Each is looked at, so that all wrong ones are told at once.
    let found: Vec<Option<Label>> = field.one_or_many().into_iter().map(label).collect();
    found.into_iter().collect()
}
