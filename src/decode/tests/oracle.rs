//! What the decoder makes of a document, against what serde_json makes of it.
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::types::Reason;

fn keyed() -> StreamPlan {
    StreamPlan { key: json_path("id"), max_future: None, ..pumps() }
}

/// A row as the module's documentation promises it, from serde_json's tree.
fn expected(row: &Value) -> Result<(String, i64, Vec<Option<f32>>), Reason> {
    let Value::Object(_) = row else { return Err(Reason::Malformed) };
    let key = match &row["id"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => return Err(Reason::NoKey),
    };
    match key.len() {
        0 => return Err(Reason::NoKey),
        256.. => return Err(Reason::TooLarge),
        _ => {}
    }
    let time = match &row["ts"] {
        Value::Number(number) => number.to_string(),
        Value::String(text) if is_decimal(text) => text.clone(),
        _ => return Err(Reason::BadTime),
    };
    let time = nanos_of_millis(&time).ok_or(Reason::BadTime)?;
    let values = [&row["temp"], &row["vib"]["rms"]].map(|value| match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(f32::from(u8::from(*flag)))),
        Value::Number(number) => {
            let single = number.as_f64().unwrap() as f32;
            if single.is_finite() { Ok(Some(single)) } else { Err(Reason::BadValue) }
        }
        _ => Err(Reason::BadValue),
    });
    let values: Vec<Option<f32>> = values.into_iter().collect::<Result<_, _>>()?;
    if values.iter().all(Option::is_none) { Err(Reason::NoColumns) } else { Ok((key, time, values)) }
}

/// Rust reads `1.` and `.5` as well; JSON does not, nor do we.
fn is_decimal(text: &str) -> bool {
    let lone_point = text.trim_start_matches('-').starts_with('.') || text.ends_with('.');
    text.parse::<f64>().is_ok() && !lone_point && !text.contains(".e") && !text.contains(".E")
}

/// By way of plain decimal text, cut at the nanosecond.
fn nanos_of_millis(text: &str) -> Option<i64> {
    let plain =
        if text.contains(['e', 'E']) { format!("{}", text.parse::<f64>().ok()?) } else { text.to_owned() };
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let fraction: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let ns = format!("{whole}{fraction}").parse::<i64>().ok()?;
    // Seconds of this century, taken for milliseconds.
    let seconds = (1_000_000_000..7_258_118_400).contains(&(ns / 1_000_000));
    (ns > 0 && ns < crate::decode::time::END_NS && !seconds).then_some(ns)
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => number(),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => ".{0,12}".prop_map(Value::from),
        1 => Just(json!({"rms": 1, "ts": []})),
        1 => Just(json!([{"rms": 1}])),
    ]
}

fn time() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (1..7_258_118_400_000_i64).prop_map(Value::from),
        2 => (1.0..7e12_f64).prop_map(Value::from),
        1 => (1..7_258_118_400_000_i64, 0..1_000_000_000).prop_map(|(ms, f)| json!(format!("{ms}.{f:09}"))),
        1 => value(),
    ]
}

/// The members of a row: every field may be absent, of any type, repeated, in any order, beside unknown ones.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let member = prop_oneof![
        3 => time().prop_map(|value| ("ts".to_owned(), value)),
        3 => value().prop_map(|value| ("temp".to_owned(), value)),
        3 => value().prop_map(|value| ("vib".to_owned(), json!({"x": null, "rms": value}))),
        3 => prop_oneof!["[a-z]{1,3}".prop_map(Value::from), value()].prop_map(|value| ("id".to_owned(), value)),
        1 => value().prop_map(|value| ("vib".to_owned(), value)),
        1 => (".{0,6}", value()),
    ];
    prop::collection::vec(member, 2..9)
}

/// Written member by member, since a map would drop repeated names.
fn text_of(members: &[(String, Value)], comma: &str) -> String {
    let text: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    format!("{{{}}}", text.join(comma))
}

fn row() -> impl Strategy<Value = String> {
    (members(), prop::sample::select(vec![",", " , "])).prop_map(|(members, comma)| text_of(&members, comma))
}

fn broken_row() -> impl Strategy<Value = String> {
    (row(), any::<prop::sample::Index>()).prop_map(|(row, at)| {
        let mut end = at.index(row.len());
        while !row.is_char_boundary(end) {
            end -= 1;
        }
        row[..end].replace(['\n', '\r'], " ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_row_is_what_serde_json_says(members in members()) {
        let text = text_of(&members, ",");
        // Not parsed again from the text: serde_json rounds the last digit of some floats.
        let tree = Value::Object(Map::from_iter(members));
        let (events, dead) = decode(keyed(), &text);
        match expected(&tree) {
            Ok((key, time, values)) => {
                prop_assert_eq!(&dead, &[]);
                prop_assert_eq!(events.len(), 1);
                prop_assert_eq!(&events[0].key, &key);
                prop_assert_eq!(events[0].time, time);
                prop_assert_eq!(events[0].values(), values);
            }
            Err(reason) => {
                prop_assert_eq!(&events, &[]);
                prop_assert_eq!(dead.len(), 1);
                prop_assert_eq!(dead[0].reason, reason);
                prop_assert_eq!(&text[dead[0].range.clone()], &text);
            }
        }
    }

    #[test]
    fn lines_array_and_points_give_the_same_rows(rows in prop::collection::vec(row(), 1..6)) {
        let summary = |(events, dead): (Vec<Event>, Vec<DeadRow>)| {
            (events, dead.into_iter().map(|row| (row.row, row.reason, row.detail)).collect::<Vec<_>>())
        };
        let lines = summary(decode(keyed(), rows.join("\n")));
        let array = summary(decode(keyed(), format!("[{}]", rows.join(","))));
        let points = Layout::Wide { points: Some(json_path("points")) };
        let points = StreamPlan { layout: points, ..keyed() };
        let points = summary(decode(points, format!(r#"{{"points":[{}]}}"#, rows.join(","))));
        prop_assert_eq!(&lines, &array);
        prop_assert_eq!(&lines, &points);
    }

    /// Bad lines cost exactly themselves: the good ones are those the whole would have without them.
    #[test]
    fn broken_lines_do_not_touch_their_neighbours(
        mut rows in prop::collection::vec((row(), broken_row()), 1..5),
        first in row(),
    ) {
        rows.retain(|(_, broken)| !broken.trim().is_empty());
        let alone: Vec<Event> = rows.iter().flat_map(|(row, _)| decode(keyed(), row).0).collect();
        let mut payload = first.clone();
        for (row, broken) in &rows {
            payload.push_str(&format!("\n{broken}\n{row}"));
        }
        let (events, dead) = decode(keyed(), &payload);
        let strip = |events: &[Event]| events.iter().map(|e| (e.key.clone(), e.time, e.bits.clone())).collect::<Vec<_>>();
        let of_first = decode(keyed(), &first).0.len();
        prop_assert_eq!(strip(&events[of_first..]), strip(&alone));
        prop_assert_eq!(events.len() + dead.len(), 1 + 2 * rows.len());
    }

    /// Whatever is done to the bytes of a document: no panic, and no row unless serde_json takes it too.
    #[test]
    fn damaged_documents_are_never_half_accepted(
        text in row(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\0-.e"[..])]), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = text.replace('\n', " ").into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = if byte == b'\n' { b' ' } else { byte };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (events, dead) = decode(keyed(), &bytes);
        let tree = serde_json::from_slice::<Value>(&bytes);
        if let Ok(tree) = tree {
            let rows = if let Value::Array(rows) = tree { rows } else { vec![tree] };
            prop_assert_eq!(events.len(), rows.iter().filter(|row| expected(row).is_ok()).count());
            prop_assert_eq!(events.len() + dead.len(), rows.len());
        } else if crate::decode::repair::quote_non_numbers(&bytes).is_none() {
            prop_assert_eq!(&events, &[]);
            prop_assert_eq!(dead[0].reason, Reason::Malformed);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:\\\\ \n0-9a.eEtNui-]{0,80}") {
        let points = StreamPlan { layout: Layout::Wide { points: Some(json_path("a")) }, ..keyed() };
        let long = Layout::Long { column: json_path("a"), value: json_path(""), points: Some(json_path("a")) };
        let long = StreamPlan { layout: long, ..keyed() };
        let mut decoder = Decoder::new(&plan(vec![keyed(), points, long, metrics()]));
        for payload in [&bytes[..], text.as_bytes()] {
            let message = message("plant", TOPIC, payload);
            let (_, dead) = run(&mut decoder, &message);
            for row in dead {
                prop_assert!(row.range.start <= row.range.end && row.range.end <= payload.len());
            }
            decoder.report(&message);
        }
    }
}

/// The exact accept set: every document of a corpus of edge cases is taken as serde_json takes it.
#[test]
fn the_grammar_is_serde_json_s() {
    let values = [
        "0",
        "-0",
        "00",
        "01",
        "-01",
        "-",
        "+1",
        "1.",
        ".5",
        "1.0",
        "1e5",
        "1e",
        "1e+",
        "1E-5",
        "1e5.5",
        "0x1",
        "1_0",
        "\"\"",
        "\"\\u0041\"",
        "\"\\u00\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "\"\\x\"",
        "\"\t\"",
        "\"\\/\"",
        "tru",
        "true",
        "nul",
        "null",
        "Null",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[]",
        "{}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "'a'",
        "1 //x",
        "/**/1",
        "\u{a0}1",
        "\"\u{7f}\"",
        "1\u{c}",
        "[[[[[[]]]]]]",
        "[[[[[[]]]]]",
        "123456789012345678901234567890",
        "1.7976931348623157e308",
        "5e-324",
        "1e-400",
        "-9223372036854775808",
        "9223372036854775808",
    ];
    for value in values {
        for place in ["x", "temp"] {
            let text = format!(r#"{{"id":1,"ts":1740830400000,"vib":{{"rms":1}},"{place}":{value}}}"#);
            let taken = !decode(keyed(), &text).1.iter().any(|row| row.reason == Reason::Malformed);
            assert_eq!(taken, serde_json::from_str::<Map<String, Value>>(&text).is_ok(), "{text}");
        }
    }
}
