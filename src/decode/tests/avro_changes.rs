//! Avro that is broken, or whose schema changes.
use apache_avro::types::Value;

use super::avro::{ID, decoder, field, framed, pumps_of, reading, record, registered, value, written};
use super::*;
use crate::config::plan::FormatPlan;
use crate::decode::SchemaEvent;
use crate::schemas::Schema;
use crate::types::{Reason, SchemaChange, StreamId};

/// Nothing panics, and what is not whole is no event, wherever the bytes end.
#[test]
fn cut_and_broken_messages_are_dead_letters() {
    let schema = reading(r#"["null","double"]"#);
    let of = value(Value::Union(1, Box::new(Value::Double(61.5))), Some(2.5));
    let bytes = written(&schema, of);
    let schemas =
        vec![registered(ID, "AVRO", &schema), registered(5, "JSON", "{}"), registered(6, "AVRO", "{")];
    let mut decoder = decoder(pumps_of(FormatPlan::Avro), schemas);
    let mut refused = |message: &Message, reason: Reason, word: &str| {
        let (events, dead) = run(&mut decoder, message);
        assert_eq!(events, []);
        assert_eq!((dead[0].reason, dead.len()), (reason, 1), "{dead:?}");
        assert!(dead[0].detail.contains(word), "{}", dead[0].detail);
        assert_eq!(dead[0].range, 0..message.payload.len());
    };
    for len in 0..bytes.len() {
        refused(&framed(ID, &bytes[..len]), Reason::Malformed, "too early");
    }
    refused(&framed(ID, &[&bytes[..], &[0]].concat()), Reason::Malformed, "1 bytes are left");
    refused(&framed(ID, &[&[3], &bytes[1..]].concat()), Reason::Malformed, "a length is -2");
    refused(&message("plant", "plant.pumps", b"{\"temp\":1}"), Reason::Malformed, "byte 123");
    refused(&message("plant", "plant.pumps", b"\0\0\0"), Reason::Malformed, "3 bytes");
    refused(&framed(4, &bytes), Reason::NoSchema, "no schema 4");
    refused(&framed(5, &bytes), Reason::NoSchema, "type JSON");
    refused(&framed(6, &bytes), Reason::NoSchema, "not usable as avro");
}

/// Elements without bytes cost nothing to send.
#[test]
fn a_message_of_endless_nothing_ends() {
    let schema = record("R", r#"{"name":"a","type":{"type":"array","items":"null"}}"#);
    let mut bytes = vec![0xff; 9];
    bytes.push(0x01);
    let mut decoder = decoder(pumps_of(FormatPlan::Avro), vec![registered(ID, "AVRO", &schema)]);
    let (_, dead) = run(&mut decoder, &framed(ID, &[&[0x02], &bytes[..]].concat()));
    assert_eq!(dead[0].reason, Reason::Malformed);
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let (_, dead) = run(&mut decoder, &framed(ID, &many));
    assert!(dead[0].detail.contains("too many values"), "{dead:?}");
}

/// The stream's paths are looked up in each schema anew, and what changed is said once.
#[test]
fn a_schema_evolves_while_messages_come() {
    let of = |fields: &str| record("R", fields);
    let base = r#"{"name":"id","type":"string"},{"name":"ts","type":"long"}"#;
    let schemas = [
        of(&format!(r#"{base},{{"name":"temp","type":"float"}}"#)),
        of(&format!(r#"{base},{{"name":"temp","type":"double"}},{{"name":"load","type":["null","int"]}}"#)),
        of(&format!(r#"{base},{{"name":"temperature","aliases":["temp"],"type":"double"}}"#)),
        of(&format!(r#"{base},{{"name":"heat","type":"double"}}"#)),
        of(&format!(r#"{base},{{"name":"temp","type":"double"}}"#)),
    ];
    let mut stream = pumps_of(FormatPlan::Avro);
    stream.columns = vec![column("temperature", "temp"), column("time", "ts")];
    let all = schemas.iter().zip(1..).map(|(text, id)| registered(id, "AVRO", text)).collect();
    let mut decoder = decoder(stream, all);
    let head = || vec![field("id", Value::String("p7".into())), field("ts", Value::Long(NOW_NS / 1_000_000))];
    let with = |fields: Vec<(String, Value)>| Value::Record([head(), fields].concat());
    let values = [
        with(vec![field("temp", Value::Float(1.0))]),
        with(vec![
            field("temp", Value::Double(2.0)),
            field("load", Value::Union(1, Box::new(Value::Int(9)))),
        ]),
        with(vec![field("temperature", Value::Double(3.0))]),
        with(vec![field("heat", Value::Double(4.0))]),
        with(vec![field("temp", Value::Double(5.0))]),
    ];
    let mut told = Vec::new();
    for (id, value) in (1..).zip(values) {
        let bytes = written(&schemas[id as usize - 1], value);
        for _ in 0..2 {
            let (events, dead) = run(&mut decoder, &framed(id, &bytes));
            assert_eq!(dead, []);
            let read = (id != 4).then_some(id as f32);
            assert_eq!(events[0].values()[0], read, "schema {id}");
            told.extend(decoder.schema_changes(StreamId(0)));
        }
    }
    let kinds = |event: &SchemaEvent| event.fields.iter().map(|(change, _)| *change).collect::<Vec<_>>();
    use SchemaChange::{Added, Dropped, Renamed, Widened};
    assert_eq!(
        told.iter().map(|event| (event.schema, kinds(event))).collect::<Vec<_>>(),
        [
            (2, vec![Widened, Added]),
            (3, vec![Dropped, Renamed]),
            (4, vec![Dropped, Added]),
            (5, vec![Dropped, Added]),
        ]
    );
    assert_eq!(told[2].missing, ["temp".into()]);
    assert!(told[0].missing.is_empty() && told[1].missing.is_empty() && told[3].missing.is_empty());
}

/// What was read without a schema stays unread when it is read again, though the schema is known by then.
#[test]
fn a_replay_decides_as_before() {
    let schema = reading(r#""double""#);
    let bytes = written(&schema, value(Value::Double(61.5), None));
    let late = Schema { from: 8, ..registered(ID, "AVRO", &schema) };
    let mut decoder = decoder(pumps_of(FormatPlan::Avro), vec![late]);
    let (events, dead) = run(&mut decoder, &framed(ID, &bytes));
    assert_eq!((events.len(), dead[0].reason), (0, Reason::NoSchema), "position 7 came before");
}

/// Ten types, each of which may hold any of them.
fn tree(at: usize) -> String {
    let all: Vec<String> = (0..10).map(|at| format!("\"N{at}\"")).collect();
    let any = format!(r#"["null",{}]"#, all.join(","));
    let fields = format!(r#"{{"name":"a","type":{any}}},{{"name":"b","type":{any}}}"#);
    let deeper = (at < 9).then(|| format!(r#"{{"name":"x","type":["null",{}]}},"#, tree(at + 1)));
    record(&format!("N{at}"), &(deeper.unwrap_or_default() + &fields))
}

/// To the same path lead more ways than could be walked in a lifetime.
#[test]
fn types_that_hold_one_another_are_read_at_once() {
    let text = reading("\"double\"");
    let open = text.strip_suffix("]}").expect("the end of its fields");
    let text = format!(r#"{open},{{"name":"tree","type":["null",{}]}}]}}"#, tree(0));
    let mut bytes = written(&reading("\"double\""), value(Value::Double(61.5), Some(2.0)));
    bytes.push(0);
    let mut decoder = decoder(pumps_of(FormatPlan::Avro), vec![registered(ID, "AVRO", &text)]);
    let (events, dead) = run(&mut decoder, &framed(ID, &bytes));
    assert_eq!((events.len(), dead), (1, Vec::new()));
}
