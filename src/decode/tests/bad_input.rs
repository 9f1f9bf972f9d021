//! Kinds of bad input, each with its own answer, and good rows around them all decoded.
use std::fmt::Write;

use super::*;
use crate::types::Reason;

const GOOD: &str = r#"{"ts":1740830400000,"temp":20.5,"vib":{"rms":1.5}}"#;

/// One line of an NDJSON message, and one element of an array where that is possible at all.
const BAD_ROWS: [(&str, &str); 24] = [
    ("truncated", r#"{"ts":1740830400000,"temp":20.5,"vib":{"rms""#),
    ("trailing garbage", r#"{"ts":1740830400000,"temp":20.5}x"#),
    ("not JSON", "temp=20.5"),
    ("single quotes", "{'temp':20.5}"),
    ("NUL byte", "{\"ts\":1740830400000,\"temp\":20.5,\"x\":\"\0\"}"),
    ("bad escape in an ignored field", r#"{"ts":1740830400000,"temp":20.5,"x":"\uZZZZ"}"#),
    ("not an object", "[[1740830400000,20.5]]"),
    ("bare number", "20.5"),
    ("no time", r#"{"temp":20.5}"#),
    ("time is a word", r#"{"ts":"yesterday","temp":20.5}"#),
    ("time is an object", r#"{"ts":{"ms":1},"temp":20.5}"#),
    ("time before 1970", r#"{"ts":-5,"temp":20.5}"#),
    ("time in us under ms", r#"{"ts":1740830400000000,"temp":20.5}"#),
    ("time zero", r#"{"ts":0,"temp":20.5}"#),
    ("clock far ahead", r#"{"ts":1740834000001,"temp":20.5}"#),
    ("value is a text", r#"{"ts":1740830400000,"temp":"20.5","vib":{"rms":1.5}}"#),
    ("value is an array", r#"{"ts":1740830400000,"temp":[20.5],"vib":{"rms":1.5}}"#),
    ("value is NaN", r#"{"ts":1740830400000,"temp":NaN,"vib":{"rms":1.5}}"#),
    ("value is -inf", r#"{"ts":1740830400000,"temp":20.5,"vib":{"rms":-inf}}"#),
    ("value beyond a double", r#"{"ts":1740830400000,"temp":1e999,"vib":{"rms":1.5}}"#),
    ("value beyond a float", r#"{"ts":1740830400000,"temp":-1e39,"vib":{"rms":1.5}}"#),
    ("NaN in an ignored field", r#"{"ts":1740830400000,"temp":20.5,"debug":NaN}"#),
    ("no column", r#"{"ts":1740830400000,"status":"ok"}"#),
    ("all columns null", r#"{"ts":1740830400000,"temp":null,"vib":null}"#),
];

#[test]
fn each_bad_row_is_dead_alone_with_its_reason_and_remedy() {
    let mut answers = String::new();
    for (name, bad) in BAD_ROWS {
        let payload = format!("{GOOD}\n{bad}\r\n\n{GOOD}\n");
        let (events, dead) = decode(pumps(), &payload);
        let rows: Vec<u32> = events.iter().map(|event| event.row).collect();
        assert_eq!(rows, [0, 2], "{name}");
        assert!(events.iter().all(|event| event.values() == [Some(20.5), Some(1.5)]), "{name}");
        let [dead] = &dead[..] else { panic!("{name}: {dead:?}") };
        assert_eq!(dead.row, 1, "{name}");
        let row = &payload[dead.range.clone()];
        assert!(row == bad || format!("[{row}]") == bad, "{name}: {row}");
        writeln!(answers, "{name}\n  {}: {}", dead.reason, dead.detail).unwrap();
    }
    insta::assert_snapshot!(answers, @r#"
    truncated
      malformed: not JSON: EOF while parsing at line 1 column 44; send a JSON object, an array of objects, or one object a line
    trailing garbage
      malformed: not JSON: JSON has non-whitespace trailing characters after the value at line 1 column 33; send a JSON object, an array of objects, or one object a line
    not JSON
      malformed: not JSON: Invalid literal (`true`, `false`, or a `null`) while parsing at line 1 column 4; send a JSON object, an array of objects, or one object a line
    single quotes
      malformed: not JSON: Expected this character to be '"' or '}' at line 1 column 2; send a JSON object, an array of objects, or one object a line
    NUL byte
      malformed: not JSON: Control character found while parsing a string at line 1 column 37; send a JSON object, an array of objects, or one object a line
    bad escape in an ignored field
      malformed: not JSON: Invalid unicode code point at line 1 column 43; send a JSON object, an array of objects, or one object a line
    not an object
      malformed: the row is an array; send each row as a JSON object
    bare number
      malformed: the row is a bare value; send each row as a JSON object
    no time
      bad_time: `ts` is missing; send it, or set the stream's `time = "arrival"`
    time is a word
      bad_time: `ts` "yesterday" is not a count of milliseconds; send a number since 1970-01-01T00:00:00Z, or set the stream's time unit to "iso8601"
    time is an object
      bad_time: `ts` is an object; let the stream's `time` lead to a text or a number
    time before 1970
      bad_time: `ts` -5 is outside 1970 to 2200; check the device's clock
    time in us under ms
      bad_time: `ts` 1740830400000000 is outside 1970 to 2200; it looks like microseconds: set the stream's time unit to "us"
    time zero
      bad_time: `ts` 0 is outside 1970 to 2200; check the device's clock
    clock far ahead
      future: `ts` is 3600.001 s ahead of its arrival, 3600 s are allowed; set the device's clock, or raise the stream's `max_future`
    value is a text
      bad_value: `temp` is the text "20.5"; send a number, or null (in CSV an empty cell) when there is no value
    value is an array
      bad_value: `temp` is an array; let the column's path lead to a number
    value is NaN
      bad_value: `temp` is NaN or infinite, no finite number; send null when there is no value
    value is -inf
      bad_value: `vib.rms` is NaN or infinite, no finite number; send null when there is no value
    value beyond a double
      bad_value: `temp` is NaN or infinite, no finite number; send null when there is no value
    value beyond a float
      bad_value: `temp` = -1e39 is beyond a 32-bit float (3.4e38); send null when there is no value
    NaN in an ignored field
      malformed: the row holds NaN, Infinity or a number beyond 1.8e308, which JSON cannot carry; send null when there is no value
    no column
      no_columns: none of the columns has a value; send at least one of `temp`, `vib.rms`, or correct the columns' paths
    all columns null
      no_columns: none of the columns has a value; send at least one of `temp`, `vib.rms`, or correct the columns' paths
    "#);
}

#[test]
fn bad_elements_of_an_array_are_dead_alone() {
    for (name, bad) in BAD_ROWS.iter().skip(8) {
        let payload = format!("[{GOOD}, {bad} ,{GOOD}]");
        let (events, dead) = decode(pumps(), &payload);
        assert_eq!(events.iter().map(|event| event.row).collect::<Vec<_>>(), [0, 2], "{name}");
        assert_eq!(dead.len(), 1, "{name}");
        assert_eq!(&payload[dead[0].range.clone()], *bad, "{name}");
    }
}

#[test]
fn invalid_utf8_is_dead_alone() {
    let payload = [GOOD.as_bytes(), b"\n{\"x\":\"\xff\"}\n", GOOD.as_bytes()].concat();
    let (events, dead) = decode(pumps(), &payload);
    assert_eq!(events.len(), 2);
    assert_eq!(dead.len(), 1);
    insta::assert_snapshot!(format!("{}: {}", dead[0].reason, dead[0].detail), @"malformed: not JSON: Invalid UTF-8 characters in json at line 1 column 7; send a JSON object, an array of objects, or one object a line");
}

#[test]
fn what_concerns_a_whole_message() {
    let mut keyed = pumps();
    keyed.key = json_path("id");
    let long_key = format!(r#"{{"id":"{}","ts":1740830400000,"temp":1}}"#, "k".repeat(256));
    let good_key = format!(r#"{{"id":"{}","ts":1740830400000,"temp":1}}"#, "k".repeat(255));
    assert_eq!(decode(keyed.clone(), good_key).0.len(), 1);
    let no_topic = StreamPlan { key: FieldPath::Topic(9), ..pumps() };
    let mut pointed = pumps();
    pointed.layout = Layout::Wide { points: Some(json_path("data.points")) };
    let cases = [
        ("empty payload", decode(pumps(), "")),
        ("white space", decode(pumps(), " \r\n\t")),
        ("broken array over lines", decode(pumps(), format!("[\n{GOOD},\n{GOOD}\n"))),
        ("two arrays", decode(pumps(), format!("[{GOOD}] [{GOOD}]"))),
        ("empty key", decode(keyed.clone(), r#"{"id":"","ts":1740830400000,"temp":1}"#)),
        ("no key", decode(keyed.clone(), r#"{"ts":1740830400000,"temp":1}"#)),
        ("key is an object", decode(keyed.clone(), r#"{"id":{},"ts":1740830400000,"temp":1}"#)),
        ("key too long", decode(keyed, long_key)),
        ("no such topic level", decode(no_topic, GOOD)),
        ("no points", decode(pointed.clone(), r#"{"data":{"points":{"ts":1}}}"#)),
        ("stray NaN and no points", decode(pointed, r#"{"x":NaN,"data":{"points":[]}}"#)),
    ];
    let mut answers = String::new();
    for (name, (events, dead)) in cases {
        assert_eq!((events.len(), dead.len()), (0, 1), "{name}");
        writeln!(answers, "{name}\n  {}: {}", dead[0].reason, dead[0].detail).unwrap();
    }
    insta::assert_snapshot!(answers, @r#"
    empty payload
      malformed: the payload is empty; send a JSON object, an array of objects, or one object a line
    white space
      malformed: the payload is empty; send a JSON object, an array of objects, or one object a line
    broken array over lines
      malformed: not JSON: EOF while parsing at line 3 column 50; send a JSON object, an array of objects, or one object a line
    two arrays
      malformed: not JSON: JSON has non-whitespace trailing characters after the value at line 1 column 54; send a JSON object, an array of objects, or one object a line
    empty key
      no_key: `id` is empty; send it, or correct the stream's `key`
    no key
      no_key: `id` is missing; send it, or correct the stream's `key`
    key is an object
      no_key: `id` is an object; let the stream's `key` lead to a text or a number
    key too long
      too_large: `id` is longer than 255 bytes; choose a shorter key
    no such topic level
      no_key: `topic.9` is missing; send it, or correct the stream's `key`
    no points
      malformed: there is no array at `data.points`; send one, or correct the stream's `points`
    stray NaN and no points
      malformed: not JSON: Invalid JSON value at line 1 column 6; send a JSON object, an array of objects, or one object a line
    "#);
}

#[test]
fn a_message_nobody_takes() {
    let mut decoder = Decoder::new(&plan(vec![pumps()]));
    for (source, topic) in [("plant", "plant/a/fan/1"), ("other", TOPIC), ("api", "pumps")] {
        let (events, dead) = run(&mut decoder, &message(source, topic, GOOD));
        assert_eq!(events, []);
        assert_eq!(dead[0].reason, Reason::NoStream);
        assert_eq!(dead[0].range, 0..GOOD.len());
    }
    let (_, dead) = run(&mut decoder, &message("plant", "plant/a/fan/1", GOOD));
    insta::assert_snapshot!(dead[0].detail, @r#"no stream takes topic `plant/a/fan/1` from source `plant`; add a stream with `from = "plant"` and a `topics` filter that matches, or narrow the source's topics"#);
}

#[test]
fn a_payload_beyond_mqtt_s_limit_is_refused_unread() {
    let (events, dead) = decode(pumps(), vec![b' '; 268_435_456]);
    assert_eq!((events.len(), dead[0].reason), (0, Reason::TooLarge));
}

#[test]
fn nesting_does_not_exhaust_the_stack() {
    let mut everything = pumps();
    everything.key = json_path("id");
    for depth in [10_000, 2_000_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let bomb = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for payload in [
                bomb.clone(),
                open.repeat(depth),
                format!(r#"{{"x":{bomb}}}"#),
                format!(r#"{{"id":{bomb}}}"#),
                format!(r#"{{"ts":{bomb}}}"#),
                format!(r#"{{"temp":{bomb}}}"#),
                format!(r#"[{GOOD},{{"x":{bomb},"y":NaN}}]"#),
            ] {
                let (events, dead) = decode(everything.clone(), &payload);
                assert_eq!((events.len(), dead.len(), dead[0].reason), (0, 1, Reason::Malformed));
            }
        }
    }
    let deepest = format!(r#"{{"x":{}{},"ts":1740830400000,"temp":1}}"#, "[".repeat(250), "]".repeat(250));
    assert_eq!(decode(pumps(), deepest).0.len(), 1);
}

#[test]
fn long_strings_are_harmless() {
    let long = "é".repeat(5 << 20);
    let ignored = format!(r#"{{"ts":1740830400000,"temp":1,"x":"{long}"}}"#);
    assert_eq!(decode(pumps(), ignored).0.len(), 1);
    let (_, dead) = decode(pumps(), format!(r#"{{"ts":"{long}","temp":"{long}"}}"#));
    assert_eq!(dead[0].reason, Reason::BadTime);
    assert!(dead[0].detail.len() < 400, "{}", dead[0].detail);
}
