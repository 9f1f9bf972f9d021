//! Columns whose values are names, not amounts: a merchant's code, a country, a terminal; and outcomes, which are labels.

use std::io::Write;

use super::found::Found;
use super::repair::MARK;
use super::row::{Refusal, Row, dead};
use super::schema::Field;
use crate::types::Reason;

/// As many as an f32 tells apart. Of 10,000 names about six share their number with another, of 100,000 about 600.
const CATEGORIES: u64 = 1 << 24;

impl Row<'_> {
    /// A hash of the category, a whole number below 2^24; missing and null are NaN. `5411` and `"5411"` are
    /// the same category: devices disagree about quotes.
    pub(super) fn category(&self, field: &Field) -> Result<f32, Refusal> {
        let label = &field.label;
        let found = self.find(field);
        match found {
            Found::Absent | Found::Null => Ok(f32::NAN),
            Found::Text(text) if text.as_bytes().first() != Some(&MARK) => Ok(hashed(text.as_bytes())),
            Found::Int(value) => Ok(hashed_digits(value)),
            Found::Float(_, digits) if !digits.is_empty() => Ok(hashed(digits.as_bytes())),
            Found::Bool(flag) => Ok(hashed(if flag { b"true" } else { b"false" })),
            Found::Float(..)
            | Found::Text(_)
            | Found::Instant(_)
            | Found::Binary
            | Found::Object
            | Found::Array => dead(
                Reason::BadValue,
                format!("`{label}` is {}; send a text or a number for a category", found.shown()),
            ),
        }
    }
}

impl Row<'_> {
    /// Whether the row says that an earlier event was fraud; `None`: the row is an event itself. `null` is nothing said,
    /// since some senders write every field always. A CSV file knows texts only, so that `"true"` is `true`.
    pub(super) fn outcome(&self) -> Result<Option<bool>, Refusal> {
        let Some(field) = &self.schema.outcome else { return Ok(None) };
        let found = self.find(field);
        match found {
            Found::Absent | Found::Null => Ok(None),
            Found::Bool(fraud) => Ok(Some(fraud)),
            Found::Int(label @ 0..=1) => Ok(Some(label == 1)),
            Found::Text("true") => Ok(Some(true)),
            Found::Text("false") => Ok(Some(false)),
            Found::Int(_)
            | Found::Float(..)
            | Found::Text(_)
            | Found::Instant(_)
            | Found::Binary
            | Found::Object
            | Found::Array => dead(
                Reason::BadValue,
                format!(
                    "`{}` is {}, no outcome; send true or 1 for a fraud, false or 0 for none, and leave it out of the \
                     event itself",
                    field.label,
                    found.shown()
                ),
            ),
        }
    }
}

/// Written out on the stack: this runs for every event.
fn hashed_digits(value: i64) -> f32 {
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    // 20 bytes hold every i64.
    let _ = write!(rest, "{value}");
    let left = rest.len();
    hashed(&digits[..digits.len() - left])
}

fn hashed(text: &[u8]) -> f32 {
    (xxhash_rust::xxh3::xxh3_64(text) % CATEGORIES) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_category_its_digits_are() {
        for value in [0, 5411, -7, i64::MIN, i64::MAX] {
            assert_eq!(hashed_digits(value), hashed(value.to_string().as_bytes()));
        }
        assert_ne!(hashed(b"5411"), hashed(b"5412"));
    }
}
