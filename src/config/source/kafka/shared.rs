//! The topics by which several Eddys work as one.

use super::super::super::field::Field;
use super::super::super::plan::SharedPlan;
use super::{TOPIC_BYTES_MAX, is_name};

pub fn shared(field: &Field<'_>) -> Option<SharedPlan> {
    let mut section = field.section()?;
    let alerts = section.required("alerts", "\"plant-alerts\"").and_then(|field| name(&field));
    let state = section.required("state", "\"plant-eddy-state\"").and_then(|field| name(&field));
    if let (Some(alerts), Some(state)) = (&alerts, &state)
        && alerts == state
    {
        section.here().problem("alerts and state are the same topic", "Give each a topic of its own.");
    }
    section.finish();
    Some(SharedPlan { alerts: alerts?, state: state? })
}

fn name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !is_name(text) {
        field.problem(
            format!("{text:?} is no name of a topic"),
            format!("Use 1 to {TOPIC_BYTES_MAX} characters of A-Z, a-z, 0-9, ., _ and -."),
        );
        return None;
    }
    Some(text.to_string())
}
