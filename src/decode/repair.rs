//! What printf and Python write into JSON though JSON has no such thing: `NaN`, `inf`, `-Infinity`,
//! `1e999`. Only looked for after a document was refused, so that one such value costs its own row
//! and not the whole message.

/// The text a replaced value becomes starts with this (DEL is legal inside a JSON string).
pub(super) const MARK: u8 = 0x7f;

/// The document with each such value made a string of equal length, so that offsets stay, and where
/// they were, ascending. `None` when there is none.
pub(super) fn quote_non_numbers(json: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    let mut repaired = Vec::new();
    let mut places = Vec::new();
    let mut at = 0;
    while at < json.len() {
        let len = match json[at] {
            b'"' => string_len(&json[at..]),
            b'-' | b'0'..=b'9' | b'n' | b'N' | b'i' | b'I' => match non_number_len(&json[at..]) {
                Some(len) => {
                    if places.is_empty() {
                        repaired = json.to_vec();
                    }
                    repaired[at..at + len].fill(MARK);
                    repaired[at] = b'"';
                    repaired[at + len - 1] = b'"';
                    places.push(at);
                    len
                }
                None => number_len(&json[at..]).max(1),
            },
            _ => 1,
        };
        at += len;
    }
    (!places.is_empty()).then_some((repaired, places))
}

/// Length of the string that starts here, with its quotes; to the end if it is not closed.
fn string_len(json: &[u8]) -> usize {
    let mut at = 1;
    while at < json.len() {
        match json[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn non_number_len(json: &[u8]) -> Option<usize> {
    let sign = usize::from(json[0] == b'-');
    let starts =
        |word: &[u8]| json.get(sign..sign + word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word));
    if let Some(word) = ["infinity", "inf", "nan"].into_iter().find(|word| starts(word.as_bytes())) {
        return Some(sign + word.len());
    }
    let len = number_len(json);
    let value: f64 = std::str::from_utf8(&json[..len]).ok()?.parse().ok()?;
    value.is_infinite().then_some(len)
}

fn number_len(json: &[u8]) -> usize {
    let is_part = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    json.iter().position(|b| !is_part(b)).unwrap_or(json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_are_quoted_and_offsets_stay() {
        let json = br#"{"nan":NaN,"s":"NaN \" 1e999 -inf","a":[-Infinity,1e999,1e9,inf,null]}"#;
        let (repaired, places) = quote_non_numbers(json).unwrap();
        assert_eq!(repaired.len(), json.len());
        let value: serde_json::Value = serde_json::from_slice(&repaired).unwrap();
        assert_eq!(value["nan"], "\u{7f}");
        assert_eq!(value["s"], "NaN \" 1e999 -inf");
        assert_eq!(value["a"][0], "\u{7f}".repeat(7));
        assert_eq!(value["a"][2], 1e9);
        assert_eq!(value["a"][4], serde_json::Value::Null);
        let found: Vec<u8> = places.iter().map(|&at| json[at]).collect();
        assert_eq!(found, b"N-1i");
        assert_eq!(quote_non_numbers(br#"{"a":1,"NaN":null}"#), None);
    }
}
