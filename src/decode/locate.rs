//! Where in a document its rows are. Only asked once a row was refused.

use std::ops::Range;

use sonic_rs::LazyValue;

/// Calls `visit(document, point, range)` for every document and every point in it, in order. A
/// document comes before its points, with `point` = `None`.
///
/// `json` must have passed [`super::json::read`], which also bounds the nesting: sonic-rs's lazy
/// iterators recurse.
pub(super) fn rows(
    json: &[u8],
    many: bool,
    points: Option<&[String]>,
    mut visit: impl FnMut(usize, Option<usize>, Range<usize>),
) {
    let documents: Vec<Range<usize>> = if many { elements(json, 0..json.len()) } else { vec![trimmed(json)] };
    for (document, range) in documents.into_iter().enumerate() {
        visit(document, None, range.clone());
        let Some(array) = points.and_then(|path| array_at(json, range, path)) else { continue };
        for (point, range) in elements(json, array).into_iter().enumerate() {
            visit(document, Some(point), range);
        }
    }
}

pub(super) fn trimmed(json: &[u8]) -> Range<usize> {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let start = json.iter().position(|b| !is_space(b)).unwrap_or(json.len());
    let end = json.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    start..end
}

fn elements(json: &[u8], array: Range<usize>) -> Vec<Range<usize>> {
    let values = sonic_rs::to_array_iter(&json[array]).filter_map(Result::ok);
    values.filter_map(|value| range_of(json, &value)).collect()
}

/// The array at `path`; of equal names the last counts, as in [`super::json`].
fn array_at(json: &[u8], document: Range<usize>, path: &[String]) -> Option<Range<usize>> {
    let mut range = document;
    for name in path {
        if json.get(range.start) != Some(&b'{') {
            return None;
        }
        let members = sonic_rs::to_object_iter(&json[range]).filter_map(Result::ok);
        let values = members.filter(|(member, _)| member == name.as_str()).map(|(_, value)| value);
        range = range_of(json, &values.last()?)?;
    }
    (json.get(range.start) == Some(&b'[')).then_some(range)
}

fn range_of(json: &[u8], value: &LazyValue<'_>) -> Option<Range<usize>> {
    let raw = value.as_raw_str();
    let start = (raw.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
    let end = start + raw.len();
    (end <= json.len()).then_some(start..end)
}

/// Whether a refused payload is to be read line by line. A broken document that merely spans lines
/// is refused whole, or the rows its author did not finish would be taken one by one.
pub(super) fn is_lines(payload: &[u8]) -> bool {
    let Some(end) = payload.iter().position(|&b| b == b'\n') else { return false };
    match payload[..end].trim_ascii() {
        [.., b'{' | b'[' | b',' | b':'] => false,
        [b'[', .., last] => *last == b']',
        _ => true,
    }
}
