//! One row from captured values: key, time and columns, or the reason why not.

use super::capture::{Capture, Captured, Kind};
use super::found::Found;
use super::kafka;
use super::repair::MARK;
use super::schema::{Field, Origin, Schema, Shape, Time};
use super::time::{self, TimeError};
use super::topic::topic_level;
use crate::types::{Arrival, EventTime, Message, Reason};

/// Keys longer than this are refused.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// Where a row's values come from.
pub(super) struct Row<'a> {
    pub schema: &'a Schema,
    pub message: &'a Message,
    pub capture: &'a Capture,
    pub document: &'a [Captured],
    /// Empty unless the schema has points.
    pub point: &'a [Captured],
    /// What the row itself is.
    pub kind: Kind,
}

/// Why a row is no event.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// A metric no column is configured for: counted, no dead letter.
    Ignored,
    Dead(Reason, String),
}

pub(super) fn dead<T>(reason: Reason, detail: String) -> Result<T, Refusal> {
    Err(Refusal::Dead(reason, detail))
}

impl<'a> Row<'a> {
    /// Writes the columns to `values` and the key to `key` (both empty before); gives the time, and what the event turned
    /// out to be if the row says that.
    pub fn build(
        &self,
        key: &mut Vec<u8>,
        values: &mut Vec<f32>,
    ) -> Result<(EventTime, Option<bool>), Refusal> {
        self.check_kind()?;
        if let Shape::Long { column, names, .. } = &self.schema.shape {
            self.check_metric(column, |name| names.contains_key(name))?;
        }
        self.key(key)?;
        let time = self.time()?;
        let outcome = self.outcome()?;
        match &self.schema.shape {
            Shape::Wide { columns } => {
                for (index, column) in columns.iter().enumerate() {
                    values.push(self.value(index, column)?);
                }
            }
            Shape::Long { value, names, .. } => {
                values.resize(self.schema.columns, f32::NAN);
                if let Some(&index) = self.metric().and_then(|name| names.get(name)) {
                    values[index as usize] = self.value(index as usize, value)?;
                }
            }
        }
        if values.iter().all(|value| value.is_nan()) {
            let labels = &self.schema.column_labels;
            return dead(
                Reason::NoColumns,
                format!(
                    "none of the columns has a value; send at least one of {labels}, or correct the columns' paths"
                ),
            );
        }
        Ok((time, outcome))
    }

    /// A row is an object, unless a path says that the value itself is wanted.
    fn check_kind(&self) -> Result<(), Refusal> {
        let trie = self.schema.point.as_ref().map_or(&self.schema.document, |points| &points.trie);
        if self.kind == Kind::Object || trie.root().slot.is_some() {
            return Ok(());
        }
        let kind = if self.kind == Kind::Array { "an array" } else { "a bare value" };
        dead(Reason::Malformed, format!("the row is {kind}; send each row as a JSON object"))
    }

    fn key(&self, key: &mut Vec<u8>) -> Result<(), Refusal> {
        let label = &self.schema.key.label;
        match self.find(&self.schema.key) {
            Found::Text(text) | Found::Float(_, text) => key.extend_from_slice(text.as_bytes()),
            Found::Int(number) => {
                use std::io::Write;
                // Writing to a vector cannot fail.
                let _ = write!(key, "{number}");
            }
            Found::Bool(flag) => key.extend_from_slice(if flag { b"true" } else { b"false" }),
            Found::Absent | Found::Null => {
                return dead(
                    Reason::NoKey,
                    format!("`{label}` is missing; send it, or correct the stream's `key`"),
                );
            }
            found => {
                return dead(
                    Reason::NoKey,
                    format!(
                        "`{label}` is {}; let the stream's `key` lead to a text or a number",
                        found.describe()
                    ),
                );
            }
        }
        match key.len() {
            0 => dead(Reason::NoKey, format!("`{label}` is empty; send it, or correct the stream's `key`")),
            1..=MAX_KEY_BYTES => Ok(()),
            _ => dead(
                Reason::TooLarge,
                format!("`{label}` is longer than {MAX_KEY_BYTES} bytes; choose a shorter key"),
            ),
        }
    }

    fn time(&self) -> Result<EventTime, Refusal> {
        let arrival = self.message.arrival;
        let (field, unit) = match &self.schema.time {
            Time::Arrival => return Ok(EventTime(arrival.0)),
            Time::Field { field, unit } => (field, *unit),
        };
        let found = self.find(field);
        let refuse =
            |error: TimeError| dead(Reason::BadTime, format!("`{}` {} {error}", field.label, found.shown()));
        let parsed = match found {
            Found::Text(text) => time::parse_text(text, unit),
            Found::Int(count) => time::parse_integer(count, unit),
            Found::Float(_, digits) => time::parse_text(digits, unit),
            // It says itself what it is, so that no unit is asked for.
            Found::Instant(ns) => time::of_instant(ns),
            Found::Absent | Found::Null => {
                return dead(
                    Reason::BadTime,
                    format!(
                        "`{}` is missing; send it, or set the stream's `time = \"arrival\"`",
                        field.label
                    ),
                );
            }
            Found::Bool(_) | Found::Binary | Found::Object | Found::Array => {
                return dead(
                    Reason::BadTime,
                    format!(
                        "`{}` is {}; let the stream's `time` lead to a text or a number",
                        field.label,
                        found.describe()
                    ),
                );
            }
        };
        match parsed {
            Ok(time) => self.not_future(time, arrival, &field.label),
            Err(error) => refuse(error),
        }
    }

    fn not_future(&self, time: EventTime, arrival: Arrival, label: &str) -> Result<EventTime, Refusal> {
        let limit_ns = self.schema.max_future_ns;
        if time.0 <= arrival.0.saturating_add(limit_ns) {
            return Ok(time);
        }
        let ahead_s = (time.0 - arrival.0) as f64 / 1e9;
        let limit_s = limit_ns as f64 / 1e9;
        dead(
            Reason::Future,
            format!(
                "`{label}` is {ahead_s} s ahead of its arrival, {limit_s} s are allowed; set the device's clock, or raise the stream's `max_future`"
            ),
        )
    }

    #[inline]
    fn value(&self, column: usize, field: &Field) -> Result<f32, Refusal> {
        if self.schema.categories[column] { self.category(field) } else { self.number(field) }
    }

    /// A column: missing and null are NaN, booleans 1 and 0.
    #[inline]
    fn number(&self, field: &Field) -> Result<f32, Refusal> {
        let label = &field.label;
        let found = self.find(field);
        let value = match found {
            Found::Absent | Found::Null => return Ok(f32::NAN),
            Found::Bool(flag) => return Ok(f32::from(u8::from(flag))),
            Found::Int(value) => value as f64,
            Found::Float(value, _) => value,
            // A topic level and a header can only be texts, so there it is read as a number.
            Found::Text(text)
                if matches!(field.origin, Origin::Topic(_) | Origin::Constant(_) | Origin::Kafka(_)) =>
            {
                text.parse().unwrap_or(f64::NAN)
            }
            Found::Text(text) if text.as_bytes().first() == Some(&MARK) => f64::NAN,
            Found::Text(_) => {
                return dead(
                    Reason::BadValue,
                    format!(
                        "`{label}` is the text {}; send a number, or null (in CSV an empty cell) when there is no value",
                        found.shown()
                    ),
                );
            }
            Found::Instant(_) | Found::Binary | Found::Object | Found::Array => {
                return dead(
                    Reason::BadValue,
                    format!("`{label}` is {}; let the column's path lead to a number", found.describe()),
                );
            }
        };
        if value.is_nan() {
            return dead(
                Reason::BadValue,
                format!("`{label}` is {}, no finite number; send null when there is no value", found.shown()),
            );
        }
        let single = value as f32;
        if single.is_infinite() {
            return dead(
                Reason::BadValue,
                format!(
                    "`{label}` = {value:e} is beyond a 32-bit float (3.4e38); send null when there is no value"
                ),
            );
        }
        // Adding zero makes -0.0 the same value as 0.0, also in its bits.
        Ok(single + 0.0)
    }

    #[inline]
    pub(super) fn find(&self, field: &'a Field) -> Found<'a> {
        let captured = match &field.origin {
            Origin::Document(slot) => self.document[*slot as usize],
            Origin::Point(slot) => self.point[*slot as usize],
            Origin::Constant(text) => return Found::Text(text),
            Origin::Topic(level) => {
                return topic_level(self.message, *level).map_or(Found::Absent, Found::Text);
            }
            Origin::Kafka(field) => return kafka::find(field, self.message),
        };
        match captured {
            Captured::Absent => Found::Absent,
            Captured::Null => Found::Null,
            Captured::Bool(flag) => Found::Bool(flag),
            Captured::Int(value) => Found::Int(value),
            Captured::Float(value, span) => Found::Float(value, self.capture.text(span)),
            Captured::Text(span) => Found::Text(self.capture.text(span)),
            Captured::Instant(ns) => Found::Instant(ns),
            Captured::Binary => Found::Binary,
            Captured::Object => Found::Object,
            Captured::Array => Found::Array,
        }
    }
}
