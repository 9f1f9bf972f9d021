//! Every form a payload may have.
use super::*;
use crate::decode::ABSENT_ROWS;
use crate::types::{Reason, StreamId};

fn points(layout: impl FnOnce(Option<FieldPath>) -> Layout) -> StreamPlan {
    StreamPlan { layout: layout(Some(json_path("batch.points"))), ..pumps() }
}

fn values(events: &[Event]) -> Vec<Vec<Option<f32>>> {
    events.iter().map(Event::values).collect()
}

#[test]
fn one_object() {
    let (events, dead) =
        decode(pumps(), r#" {"vib":{"rms":-1.5e0,"x":[1]},"temp":21,"ts":1740830400123,"s":"\"}"} "#);
    assert_eq!(dead, []);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].key.as_str(), events[0].time, events[0].row), ("p7", 1_740_830_400_123_000_000, 0));
    assert_eq!(events[0].values(), [Some(21.0), Some(-1.5)]);
}

#[test]
fn missing_null_and_booleans() {
    let payload = r#"[{"ts":1740830400000,"temp":1},{"ts":1740830400000,"temp":1,"vib":null},{"ts":1740830400000,"temp":true,"vib":{"rms":null}},{"ts":1740830400000,"temp":false,"vib":7}]"#;
    let (events, dead) = decode(pumps(), payload);
    assert_eq!(dead, []);
    assert_eq!(values(&events), [[Some(1.0), None], [Some(1.0), None], [Some(1.0), None], [Some(0.0), None]]);
    assert!(events[..3].iter().all(|event| event.content_hash == events[0].content_hash));
    assert_ne!(events[0].content_hash, events[3].content_hash);
}

#[test]
fn minus_zero_is_zero_and_columns_do_not_trade_places() {
    let of = |payload: &str| decode(pumps(), payload).0.remove(0);
    let zero = of(r#"{"ts":1740830400000,"temp":0,"vib":{"rms":1}}"#);
    for minus_zero in ["-0", "-0.0", "-0e5", "-1e-60"] {
        let payload = format!(r#"{{"ts":1740830400000,"temp":{minus_zero},"vib":{{"rms":1}}}}"#);
        assert_eq!(of(&payload), zero, "{minus_zero}");
    }
    let swapped = of(r#"{"ts":1740830400000,"temp":1,"vib":{"rms":0}}"#);
    assert_ne!(zero.content_hash, swapped.content_hash);
    let bytes: Vec<u8> = [0.0_f32, 1.0].iter().flat_map(|value| value.to_bits().to_le_bytes()).collect();
    assert_eq!(zero.content_hash, xxhash_rust::xxh3::xxh3_64(&bytes));
}

#[test]
fn of_equal_names_the_last_counts_as_in_serde_json() {
    let (events, _) =
        decode(pumps(), r#"{"ts":1,"vib":{"rms":5},"temp":1,"temp":2,"vib":{},"ts":1740830400000}"#);
    assert_eq!(values(&events), [[Some(2.0), None]]);
    assert_eq!(events[0].time, NOW_NS);
    let wide = points(|points| Layout::Wide { points });
    let payload = r#"{"batch":{"points":[{"ts":1740830400000,"temp":1}]},"batch":{"points":[3],"points":[{"ts":1740830400000,"temp":2},{"ts":1740830400000,"temp":[]}]}}"#;
    let (events, dead) = decode(wide, payload);
    assert_eq!(values(&events), [[Some(2.0), None]]);
    assert_eq!(dead[0].row, 1);
    assert_eq!(&payload[dead[0].range.clone()], r#"{"ts":1740830400000,"temp":[]}"#);
}

#[test]
fn escaped_names_and_a_byte_order_mark() {
    let mut stream = pumps();
    stream.key = json_path("id");
    let payload = "\u{feff}{\"\\u0074s\":1740830400000.5,\"t\\u0065mp\":1,\"id\":\"\\u00e9\\n\"}";
    let (events, dead) = decode(stream, payload);
    assert_eq!(dead, []);
    assert_eq!((events[0].time, events[0].key.as_str()), (NOW_NS + 500_000, "é\n"));
}

#[test]
fn keys_of_every_kind() {
    let mut stream = pumps();
    stream.key = json_path("id");
    let keys = [
        ("\"a\"", "a"),
        ("12", "12"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("1E2", "1E2"),
        ("true", "true"),
        ("18446744073709551615", "18446744073709551615"),
    ];
    for (json, key) in keys {
        let (events, dead) =
            decode(stream.clone(), format!(r#"{{ "id" : {json} ,"ts":1740830400000,"temp":1}}"#));
        assert_eq!(dead, [], "{json}");
        assert_eq!(events[0].key, key);
    }
    stream.key = FieldPath::Constant("boiler".to_owned());
    assert_eq!(decode(stream, r#"{"ts":1740830400000,"temp":1}"#).0[0].key, "boiler");
}

#[test]
fn points_read_the_fields_around_them() {
    let mut stream = points(|points| Layout::Wide { points });
    stream.key = json_path("$.device.id");
    stream.columns[0].path = json_path("$.device.temp");
    stream.columns[1].path = json_path("v");
    let payload = r#"[{"batch":{"points":[{"ts":1740830400000,"v":1},{"ts":1740830401000,"v":2}]},"device":{"id":"a","temp":20}},
        {"device":{"id":"b"},"batch":{"points":[]}},
        {"device":{"id":"c"},"batch":{}},
        {"device":{"id":"d","temp":21},"batch":{"points":[{"ts":1740830402000},7,{"ts":1740830403000,"v":4}]}}]"#;
    let (events, dead) = decode(stream, payload);
    let seen: Vec<_> = events.iter().map(|e| (e.key.as_str(), e.row, e.values())).collect();
    let expected = [
        ("a", 0, vec![Some(20.0), Some(1.0)]),
        ("a", 1, vec![Some(20.0), Some(2.0)]),
        ("d", 3, vec![Some(21.0), None]),
        ("d", 5, vec![Some(21.0), Some(4.0)]),
    ];
    assert_eq!(seen, expected);
    let refused: Vec<_> = dead.iter().map(|d| (d.row, d.reason, &payload[d.range.clone()])).collect();
    assert_eq!(
        refused,
        [(2, Reason::Malformed, r#"{"device":{"id":"c"},"batch":{}}"#), (4, Reason::Malformed, "7")]
    );
}

#[test]
fn a_nan_costs_its_own_point_and_one_around_them_costs_all() {
    let stream = points(|points| Layout::Wide { points });
    let payload = r#"[{"batch":{"points":[{"ts":1740830400000,"temp":NaN},{"ts":1740830400000,"temp":2}]}},{"x":Infinity,"batch":{"points":[{"ts":1740830400000,"temp":3}]}}]"#;
    let (events, dead) = decode(stream, payload);
    assert_eq!(values(&events), [[Some(2.0), None]]);
    let refused: Vec<_> = dead.iter().map(|d| (d.row, d.reason, &payload[d.range.clone()])).collect();
    assert_eq!(
        refused,
        [
            (0, Reason::BadValue, r#"{"ts":1740830400000,"temp":NaN}"#),
            (2, Reason::Malformed, r#"{"ts":1740830400000,"temp":3}"#)
        ]
    );
}

#[test]
fn long_layout_from_the_topic() {
    let mut decoder = Decoder::new(&plan(vec![metrics()]));
    let mut send = |topic: &str, payload: &str| run(&mut decoder, &message("plant", topic, payload));
    for (payload, value) in [("21.5", 21.5), (" 3\n", 3.0), ("true", 1.0), ("-1e-3", -0.001)] {
        let (events, dead) = send("plant/a/pump/p7/vib", payload);
        assert_eq!(dead, []);
        assert_eq!(events[0].values(), [None, Some(value)]);
        assert_eq!((events[0].key.as_str(), events[0].time), ("p7", NOW_NS));
    }
    for (payload, reason) in [
        ("21,5", Reason::Malformed),
        ("\"21.5\"", Reason::BadValue),
        ("nan", Reason::BadValue),
        ("-Infinity", Reason::BadValue),
        ("null", Reason::NoColumns),
        ("{\"v\":1}", Reason::BadValue),
    ] {
        let (events, dead) = send("plant/a/pump/p7/temp", payload);
        assert_eq!((events.len(), dead.len(), dead[0].reason), (0, 1, reason), "{payload}");
    }
    assert_eq!(send("plant/a/pump/p7/noise", "not even JSON"), (vec![], vec![]));
    assert_eq!(send("plant/a/pump/p7", "1").1[0].reason, Reason::NoColumns);
    assert_eq!(decoder.noted(StreamId(0)).rows_ignored, 1);
}

#[test]
fn long_layout_from_fields_inside_points() {
    let mut stream =
        points(|points| Layout::Long { column: json_path("name"), value: json_path("val"), points });
    stream.time = TimePlan::Field { path: json_path("$.ts"), unit: TimeUnit::Seconds };
    let payload = r#"{"batch":{"points":[{"name":"temp","val":1},{"name":"other","val":"x"},{"name":"vib.rms","val":2},{"val":3},{"name":7,"val":3}]},"ts":1740830400.25}"#;
    let mut decoder = Decoder::new(&plan(vec![stream]));
    let message = message("plant", TOPIC, payload);
    let (events, dead) = run(&mut decoder, &message);
    assert_eq!(values(&events), [[Some(1.0), None], [None, Some(2.0)]]);
    assert!(events.iter().all(|event| event.time == NOW_NS + 250_000_000));
    assert_eq!(
        dead.iter().map(|d| (d.row, d.reason)).collect::<Vec<_>>(),
        [(3, Reason::NoColumns), (4, Reason::NoColumns)]
    );
    assert_eq!(decoder.noted(StreamId(0)).rows_ignored, 1);
    let report = decoder.report(&message);
    assert_eq!((report.accepted, report.rejected.len(), report.rejected[0].row), (3, 2, 3));
}

#[test]
fn times_before_2000_are_counted_and_taken() {
    let mut decoder = Decoder::new(&plan(vec![pumps()]));
    // A count since the device was started; one ms before 2000, and 2000.
    for (ts, noted) in [(12_345i64, 1), (946_684_799_999, 2), (946_684_800_000, 2)] {
        let row = format!(r#"{{"ts":{ts},"temp":21}}"#);
        assert_eq!(run(&mut decoder, &message("plant", TOPIC, row)).0.len(), 1);
        assert_eq!(decoder.noted(StreamId(0)).rows_before_2000, noted);
    }
}

#[test]
fn a_column_that_never_comes_is_noted_with_the_fields_that_do() {
    let mut stream = pumps();
    stream.columns[1].path = json_path("vib.rsm");
    let mut decoder = Decoder::new(&plan(vec![stream]));
    let mut send = |row: &str| run(&mut decoder, &message("plant", TOPIC, row)).0.len();
    let row = r#"{"ts":1740830400000,"temp":21,"vib":{"rms":2}}"#;
    (1..ABSENT_ROWS - 1).for_each(|_| assert_eq!(send(row), 1));
    // None of its columns, and no event, but a row all the same.
    assert_eq!(send(r#"{"ts":1740830400000,"vib":{"rms":2}}"#), 0);
    assert_eq!(decoder.noted(StreamId(0)).absent().count(), 0, "too few rows");
    assert_eq!(run(&mut decoder, &message("plant", TOPIC, row)).0.len(), 1);
    let noted = decoder.noted(StreamId(0));
    assert_eq!(noted.absent().collect::<Vec<_>>(), [1]);
    assert_eq!((noted.rows_read, &noted.rows_with[..]), (ABSENT_ROWS, &[ABSENT_ROWS - 1, 0][..]));
    assert_eq!(noted.fields, ["temp", "ts", "vib.rms"]);
}

#[test]
fn a_metric_that_never_comes_is_noted_with_the_names_that_do() {
    let mut decoder = Decoder::new(&plan(vec![metrics()]));
    for row in 0..2 * ABSENT_ROWS - 1 {
        assert_eq!(decoder.noted(StreamId(0)).absent().count(), 0, "a metric's turn may be still to come");
        let topic = if row % 2 == 0 { "plant/a/pump/p7/temp" } else { "plant/a/pump/p7/vibr" };
        run(&mut decoder, &message("plant", topic, "1"));
    }
    let noted = decoder.noted(StreamId(0));
    assert_eq!((noted.absent().collect::<Vec<_>>(), &noted.fields[..]), (vec![1], &["vibr".to_owned()][..]));
}

#[test]
fn several_streams_take_one_message_and_http_goes_by_name() {
    let from = vec!["api".to_owned(), "plant".to_owned()];
    let mut fans = StreamPlan { name: "fans".to_owned(), topics: None, from: from.clone(), ..pumps() };
    fans.columns.remove(1);
    fans.key = json_path("id");
    let pumps = StreamPlan { from, key: json_path("id"), ..pumps() };
    let mut decoder = Decoder::new(&plan(vec![fans, pumps]));
    let payload = r#"{"id":1,"ts":1740830400000,"temp":1}"#;
    let streams = |events: &[Event]| events.iter().map(|event| event.stream).collect::<Vec<_>>();
    assert_eq!(streams(&run(&mut decoder, &message("plant", TOPIC, payload)).0), [0, 1]);
    assert_eq!(streams(&run(&mut decoder, &message("plant", "x", payload)).0), [0]);
    assert_eq!(streams(&run(&mut decoder, &message("api", "pumps", payload)).0), [1]);
    let (_, dead) =
        run(&mut decoder, &message("plant", TOPIC, r#"{"id":1,"ts":1740830400000,"vib":{"rms":1}}"#));
    assert_eq!(dead.iter().map(|row| row.stream.unwrap().0).collect::<Vec<_>>(), [0]);
    assert_eq!(decoder.stream_name(dead[0].stream.unwrap()), "fans");
}

#[test]
fn the_future_ends_at_max_future_exactly() {
    let at = |ms: i64| decode(pumps(), format!(r#"{{"ts":{ms},"temp":1}}"#));
    let limit_ms = NOW_NS / 1_000_000 + 3_600_000;
    assert_eq!(at(limit_ms).0.len(), 1);
    assert_eq!(at(limit_ms + 1).1[0].reason, Reason::Future);
    let unlimited = StreamPlan { max_future: None, ..pumps() };
    assert_eq!(decode(unlimited, format!(r#"{{"ts":{},"temp":1}}"#, limit_ms * 2)).0.len(), 1);
}

#[test]
fn a_field_may_be_an_amount_and_a_category_at_once() {
    let with = |name: &str, aggregate| ColumnPlan { aggregate, ..column(name, "mcc") };
    let cards =
        StreamPlan { columns: vec![with("kind", Aggregate::Rarity), with("sum", Aggregate::Sum)], ..pumps() };
    let of = |mcc: &str| {
        let (events, dead) = decode(cards.clone(), format!(r#"{{"ts":1740830400000,"mcc":{mcc}}}"#));
        assert_eq!(dead, []);
        events[0].values()
    };
    let (number, other) = (of("5411"), of("5412"));
    assert_eq!(number[1], Some(5411.0));
    assert!(number[0] != other[0] && number[0] < Some((1 << 24) as f32));
    let texts = StreamPlan { columns: vec![with("kind", Aggregate::Rarity)], ..pumps() };
    let payload =
        r#"[{"ts":1740830400000,"mcc":"5411"},{"ts":1740830400000,"mcc":null},{"ts":1740830400000}]"#;
    let (events, dead) = decode(texts.clone(), payload);
    assert_eq!(values(&events), [[number[0]]]);
    assert_eq!(dead.iter().map(|row| row.reason).collect::<Vec<_>>(), [Reason::NoColumns; 2]);
    let (events, dead) = decode(texts, r#"{"ts":1740830400000,"mcc":{"a":1}}"#);
    assert_eq!((events.len(), dead[0].reason), (0, Reason::BadValue));
}
