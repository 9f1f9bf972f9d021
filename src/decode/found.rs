//! What is found where a field should be, whatever the format, and how it is called in a message.

use super::repair::MARK;

/// A field's value.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Absent,
    Null,
    Bool(bool),
    Int(i64),
    /// With the number as written, for times and keys.
    Float(f64, &'a str),
    Text(&'a str),
    /// ns since 1970.
    Instant(i64),
    /// A key or header that is no UTF-8, or bytes where texts are told from them.
    Binary,
    Object,
    Array,
}

impl Found<'_> {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Found::Absent => "missing",
            Found::Null => "null",
            Found::Bool(_) => "true or false",
            Found::Int(_) | Found::Float(..) => "a number",
            Found::Text(_) => "a text",
            Found::Instant(_) => "a moment in time",
            Found::Binary => "bytes that are no UTF-8 text",
            Found::Object => "an object",
            Found::Array => "an array",
        }
    }

    /// The value for a message, cut to a readable length.
    pub(super) fn shown(self) -> String {
        match self {
            Found::Int(value) => value.to_string(),
            Found::Float(value, "") => value.to_string(),
            Found::Float(_, digits) => digits.chars().take(40).collect(),
            Found::Text(text) if text.as_bytes().first() == Some(&MARK) => "NaN or infinite".to_owned(),
            Found::Text(text) if text.chars().nth(40).is_some() => {
                format!("{:?}...", text.chars().take(40).collect::<String>())
            }
            Found::Text(text) => format!("{text:?}"),
            other => other.describe().to_owned(),
        }
    }
}
