//! `time`: when an event happened.

use super::super::field::Field;
use super::super::path::{self, Allowed};
use super::super::plan::{FieldPath, KafkaField, TimePlan, TimeUnit};
use super::super::suggest;

const UNITS: [(&str, TimeUnit); 5] = [
    ("iso8601", TimeUnit::Iso8601),
    ("s", TimeUnit::Seconds),
    ("ms", TimeUnit::Millis),
    ("us", TimeUnit::Micros),
    ("ns", TimeUnit::Nanos),
];

/// `"arrival"`, or where the event time stands and how it is written.
pub fn parse(field: &Field<'_>) -> Option<TimePlan> {
    if field.is_text() {
        let text = field.text()?;
        if text == "arrival" {
            return Some(TimePlan::Arrival);
        }
        field.problem(
            format!("{text:?} does not say how the time is written"),
            format!("Write {{ path = {text:?}, unit = \"ms\" }}, or \"arrival\" for the time of arrival."),
        );
        return None;
    }
    let mut section = field.section()?;
    let path = section.required("path", "\"ts\"").and_then(|field| path::parse(&field, Allowed::Message));
    let unit = section.required("unit", "\"ms\"").and_then(|field| unit(&field));
    let (is_kafka, is_ms) = (
        path == Some(FieldPath::Kafka(KafkaField::Timestamp)),
        unit.is_none_or(|unit| unit == TimeUnit::Millis),
    );
    if is_kafka && !is_ms {
        section
            .here()
            .locate("unit")
            .problem("Kafka's timestamps are in milliseconds", "Write `unit = \"ms\"`.");
    }
    section.finish();
    Some(TimePlan::Field { path: path?, unit: unit? })
}

fn unit(field: &Field<'_>) -> Option<TimeUnit> {
    let text = field.text()?;
    let unit = UNITS.iter().find(|(name, _)| *name == text).map(|(_, unit)| *unit);
    if unit.is_none() {
        let names = suggest::list(UNITS.iter().map(|(name, _)| *name));
        field.problem(format!("there is no time unit {text:?}"), format!("Use {names}."));
    }
    unit
}
