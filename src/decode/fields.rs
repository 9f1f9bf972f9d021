//! The names of the fields that a payload holds, as a column's `path` would name them. For messages alone: decoding reads
//! only what it was asked for.

use serde_json::{Deserializer, Map, Value};

/// So many are enough to find a misspelt one in.
const FIELDS_MAX: usize = 40;
/// Larger payloads are not looked at: read as values they take many times their size.
const PAYLOAD_MAX: usize = 1 << 16;
/// Longer names than this are no field that somebody meant, and would fill the log.
const NAME_MAX: usize = 100;

/// Paths of the values in the payload's first row; with `points` those of its first point, and the others of the document
/// as `$.PATH`. Empty if it is no JSON, or a large one.
pub(super) fn of(payload: &[u8], points: Option<&[String]>) -> Vec<String> {
    let payload = payload.strip_prefix(super::payload::BYTE_ORDER_MARK).unwrap_or(payload);
    if payload.len() > PAYLOAD_MAX {
        return Vec::new();
    }
    let first = Deserializer::from_slice(payload).into_iter::<Value>().next();
    let document = match first {
        Some(Ok(Value::Array(rows))) => rows.into_iter().next().unwrap_or_default(),
        Some(Ok(value)) => value,
        Some(Err(_)) | None => Value::Null,
    };
    let (mut found, mut around) = (Vec::new(), Vec::new());
    let point =
        points.and_then(|path| path.iter().try_fold(&document, |value, name| value.get(name))?.get(0));
    if let Some(point) = point.and_then(Value::as_object) {
        walk(point, "", &mut found);
    }
    if let Some(document) = document.as_object() {
        walk(document, if points.is_some() { "$." } else { "" }, &mut around);
    }
    found.sort_unstable();
    around.sort_unstable();
    found.extend(around);
    found.retain(|name| name.len() <= NAME_MAX);
    found.truncate(FIELDS_MAX);
    found
}

/// Arrays hold no field that a path could name.
fn walk(object: &Map<String, Value>, before: &str, found: &mut Vec<String>) {
    for (name, value) in object {
        let name = name.replace('.', "\\.");
        match value {
            Value::Object(inner) => walk(inner, &format!("{before}{name}."), found),
            Value::Array(_) => {}
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                found.push(format!("{before}{name}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_a_path_names_them() {
        let row = br#"{"ts":1,"vib":{"rms":2,"peak":null},"tags":[1]}"#;
        assert_eq!(of(row, None), ["ts", "vib.peak", "vib.rms"]);
        assert_eq!(of(br#"{"vib.rms":1}"#, None), [r"vib\.rms"]);
        assert_eq!(of(&[b"[", &row[..], b",{}]"].concat(), None), ["ts", "vib.peak", "vib.rms"]);
        assert_eq!(of(&[&row[..], b"\n{}"].concat(), None), ["ts", "vib.peak", "vib.rms"]);
        assert_eq!(of(b"no JSON", None), [""; 0]);
    }

    #[test]
    fn fields_of_points_and_those_around_them_are_told_apart() {
        let path = ["batch".to_owned(), "points".to_owned()];
        let payload = br#"{"site":"a","batch":{"points":[{"t":1,"v":{"x":2}},{"y":3}]}}"#;
        assert_eq!(of(payload, Some(&path)), ["t", "v.x", "$.site"]);
        assert_eq!(of(br#"{"site":"a"}"#, Some(&path)), ["$.site"]);
    }
}
