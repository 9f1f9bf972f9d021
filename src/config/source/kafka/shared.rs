//! The topics by which several Eddys work as one.

use super::super::super::field::Field;
use super::super::super::plan::SharedPlan;
use super::topic_name;

pub fn shared(field: &Field<'_>) -> Option<SharedPlan> {
    let mut section = field.section()?;
    let alerts = section.required("alerts", "\"plant-alerts\"").and_then(|field| topic_name(&field));
    let state = section.required("state", "\"plant-eddy-state\"").and_then(|field| topic_name(&field));
    if let (Some(alerts), Some(state)) = (&alerts, &state)
        && alerts == state
    {
        section.here().problem("alerts and state are the same topic", "Give each a topic of its own.");
    }
    section.finish();
    Some(SharedPlan { alerts: alerts?, state: state? })
}
