//! Protobuf behind the id of its schema. What is sent is written by prost.
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, MessageDescriptor, Value};

use super::avro::{decoder, framed, pumps_of, registered};
use super::*;
use crate::config::plan::FormatPlan;
use crate::decode::SchemaEvent;
use crate::schemas::{Reference, Schema};
use crate::types::{Reason, SchemaChange, StreamId};

pub(super) const ID: i32 = 9;
const MS: i64 = NOW_NS / 1_000_000;

/// The message that a path of names leads to.
pub(super) fn message_of(text: &str, name: &str) -> MessageDescriptor {
    struct One(String);
    impl protox::file::FileResolver for One {
        fn open_file(&self, name: &str) -> Result<protox::file::File, protox::Error> {
            match name {
                "a.proto" => protox::file::File::from_source(name, &self.0),
                _ => protox::file::GoogleFileResolver::new().open_file(name),
            }
        }
    }
    let mut compiler = protox::Compiler::with_file_resolver(One(text.to_owned()));
    let pool: DescriptorPool = compiler.open_file("a.proto").expect("a schema").descriptor_pool();
    pool.get_message_by_name(name).expect("a message")
}

pub(super) fn written(of: &MessageDescriptor, fields: Vec<(&str, Value)>) -> Vec<u8> {
    message_with(of, fields).encode_to_vec()
}

pub(super) fn message_with(of: &MessageDescriptor, fields: Vec<(&str, Value)>) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    fields.into_iter().for_each(|(name, value)| message.set_field_by_name(name, value));
    message
}

/// Behind the index of the file's first message.
pub(super) fn first(value: &[u8]) -> Vec<u8> {
    [&[0], value].concat()
}

pub(super) fn head(id: &str) -> Vec<(&'static str, Value)> {
    vec![("id", Value::String(id.into())), ("ts", Value::I64(MS))]
}

const PUMP: &str = "syntax = \"proto3\"; package plant;
message Vib { float peak = 1; optional float rms = 2; }
message Pump { string id = 1; int64 ts = 2; TYPE temp = 3; Vib vib = 4; }";

fn temp(kind: &str, of: Option<Value>) -> Result<Option<f32>, String> {
    let text =
        PUMP.replace("TYPE", kind).replacen("message Vib", "enum E { COLD = 0; HOT = 1; } message Vib", 1);
    let mut fields = head("p7");
    fields.extend(of.map(|of| ("temp", of)));
    // The message is the second of the file: count 1, index 1, both zigzag.
    let bytes = [&[2, 2], &written(&message_of(&text, "plant.Pump"), fields)[..]].concat();
    let mut stream = pumps_of(FormatPlan::Protobuf);
    stream.columns.push(column("ts", "ts"));
    let (events, dead) =
        run(&mut decoder(stream, vec![registered(ID, "PROTOBUF", &text)]), &framed(ID, &bytes));
    match (&events[..], &dead[..]) {
        ([event], []) => {
            assert_eq!((event.key.as_str(), event.time), ("p7", NOW_NS));
            assert_eq!(event.values()[1], None, "there is no Vib, so nothing in it");
            Ok(event.values()[0])
        }
        ([], [dead]) => Err(dead.detail.clone()),
        _ => panic!("{events:?} {dead:?}"),
    }
}

#[test]
fn every_type_of_numbers_is_one() {
    for (kind, of, is) in [
        ("double", Value::F64(61.5), 61.5),
        ("float", Value::F32(-0.1), -0.1),
        ("int32", Value::I32(-7), -7.0),
        ("int64", Value::I64(-(1 << 40)), -((1_i64 << 40) as f32)),
        ("uint32", Value::U32(u32::MAX), u32::MAX as f32),
        ("uint64", Value::U64(u64::MAX), u64::MAX as f32),
        ("sint32", Value::I32(-8), -8.0),
        ("sint64", Value::I64(-9), -9.0),
        ("fixed32", Value::U32(10), 10.0),
        ("fixed64", Value::U64(11), 11.0),
        ("sfixed32", Value::I32(-12), -12.0),
        ("sfixed64", Value::I64(-13), -13.0),
        ("bool", Value::Bool(true), 1.0),
    ] {
        assert_eq!(temp(kind, Some(of)), Ok(Some(is)), "{kind}");
        // What is zero is not written, unless the schema can tell.
        assert_eq!(temp(kind, None), Ok(Some(0.0)), "{kind}");
        assert_eq!(temp(&format!("optional {kind}"), None), Ok(None), "{kind}");
    }
}

#[test]
fn what_is_no_number_is_told_apart() {
    let refused = |of: Result<Option<f32>, String>, word: &str| {
        assert!(of.as_ref().is_err_and(|detail| detail.contains(word)), "{of:?}");
    };
    refused(temp("string", Some(Value::String("hot".into()))), "the text \"hot\"");
    refused(temp("bytes", Some(Value::Bytes(b"hot"[..].into()))), "bytes");
    refused(temp("E", Some(Value::EnumNumber(1))), "\"HOT\"");
    refused(temp("E", None), "\"COLD\"");
    refused(temp("repeated double", Some(Value::List(vec![Value::F64(1.0)]))), "an array");
    refused(
        temp("map<string, double>", Some(Value::Map([(MapKey::String("a".into()), Value::F64(1.0))].into()))),
        "an object",
    );
}

/// Messages that come with Protobuf: moments, and values that may be missing.
#[test]
fn what_comes_with_protobuf_is_known() {
    let text = "syntax = \"proto3\";
        import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\";
        message Pump { string id = 1; google.protobuf.Timestamp ts = 2; google.protobuf.DoubleValue temp = 3; map<string, float> vib = 4; }";
    let of = message_of(text, "Pump");
    let instant = message_of(text, "google.protobuf.Timestamp");
    let wrapped = message_of(text, "google.protobuf.DoubleValue");
    let ts = message_with(
        &instant,
        vec![("seconds", Value::I64(NOW_NS / 1_000_000_000)), ("nanos", Value::I32(5))],
    );
    let read = |temp: Option<f64>| {
        let mut fields = vec![("id", Value::String("p7".into())), ("ts", Value::Message(ts.clone()))];
        let entries = [("rms", 2.5), ("peak", 9.0)].map(|(k, v)| (MapKey::String(k.into()), Value::F32(v)));
        fields.push(("vib", Value::Map(entries.into())));
        fields.extend(
            temp.map(|temp| {
                ("temp", Value::Message(message_with(&wrapped, vec![("value", Value::F64(temp))])))
            }),
        );
        let mut decoder = decoder(pumps_of(FormatPlan::Protobuf), vec![registered(ID, "PROTOBUF", text)]);
        let (events, dead) = run(&mut decoder, &framed(ID, &first(&written(&of, fields))));
        assert_eq!(dead, []);
        assert_eq!(events[0].time, NOW_NS + 5);
        events[0].values()
    };
    assert_eq!(read(Some(61.5)), [Some(61.5), Some(2.5)]);
    assert_eq!(read(Some(0.0)), [Some(0.0), Some(2.5)]);
    assert_eq!(read(None), [None, Some(2.5)]);
}

#[test]
fn points_are_rows_and_messages_may_stand_in_another_file_or_message() {
    let common = "syntax = \"proto3\"; message Point { int64 ts = 1; double temp = 2; }";
    let text = "syntax = \"proto3\"; import \"common/point.proto\";
        message Other { message Batch { string id = 1; repeated Point points = 2; } }";
    let whole =
        text.replace("import \"common/point.proto\";", "message Point { int64 ts = 1; double temp = 2; }");
    let (of, point) = (message_of(&whole, "Other.Batch"), message_of(&whole, "Point"));
    let at = |ms: i64, temp: f64| {
        Value::Message(message_with(&point, vec![("ts", Value::I64(MS + ms)), ("temp", Value::F64(temp))]))
    };
    let mut stream = pumps_of(FormatPlan::Protobuf);
    stream.layout = Layout::Wide { points: Some(json_path("points")) };
    stream.key = json_path("$.id");
    let reference = Reference { name: "common/point.proto".into(), text: common.into() };
    let schema = Schema { references: vec![reference], ..registered(ID, "PROTOBUF", text) };
    let mut decoder = decoder(stream, vec![schema]);
    let mut read = |points: Vec<Value>| {
        let value = written(&of, vec![("id", Value::String("p7".into())), ("points", Value::List(points))]);
        // Two indices: message 0 of the file, message 0 in it.
        let (events, dead) = run(&mut decoder, &framed(ID, &[&[4, 0, 0], &value[..]].concat()));
        assert_eq!(dead, []);
        events.iter().map(|event| event.values()[0]).collect::<Vec<_>>()
    };
    assert_eq!(read(vec![at(0, 1.0), at(1, 0.0)]), [Some(1.0), Some(0.0)]);
    assert_eq!(read(Vec::new()), [], "no points are none, not a fault");
}

#[test]
fn cut_and_broken_messages_are_dead_letters() {
    let text = PUMP.replace("TYPE", "double");
    let mut fields = head("p7");
    fields.push(("temp", Value::F64(61.5)));
    let value = written(&message_of(&text, "plant.Pump"), fields);
    let whole = [&[2, 2], &value[..]].concat();
    let schemas = vec![
        registered(ID, "PROTOBUF", &text),
        registered(5, "AVRO", "\"int\""),
        registered(6, "PROTOBUF", "message {"),
    ];
    let mut decoder = decoder(pumps_of(FormatPlan::Protobuf), schemas);
    let mut refused = |message: &Message, reason: Reason, word: &str| {
        let (events, dead) = run(&mut decoder, message);
        assert_eq!(events, []);
        assert_eq!((dead[0].reason, dead.len()), (reason, 1), "{dead:?}");
        assert!(dead[0].detail.contains(word), "{}", dead[0].detail);
        assert_eq!(dead[0].range, 0..message.payload.len());
    };
    refused(&framed(ID, &whole[..whole.len() - 1]), Reason::Malformed, "too early");
    refused(&framed(ID, &[]), Reason::Malformed, "message's indices");
    refused(&framed(ID, &[2]), Reason::Malformed, "message's indices");
    refused(&framed(ID, &[1]), Reason::Malformed, "indices are none");
    refused(&framed(ID, &[&[2, 6], &value[..]].concat()), Reason::NoSchema, "no message at index [3]");
    refused(&framed(ID, &[&[2, 1], &value[..]].concat()), Reason::NoSchema, "no message at index [-1]");
    refused(&framed(ID, &[&[2, 2, 0x1e], &value[..]].concat()), Reason::Malformed, "wire type 6");
    refused(&framed(ID, &[2, 2, 0x02, 0]), Reason::Malformed, "out of range");
    refused(&message("plant", "plant.pumps", b"hello"), Reason::Malformed, "byte 104");
    refused(&framed(4, &whole), Reason::NoSchema, "no schema 4");
    refused(&framed(5, &whole), Reason::NoSchema, "type AVRO");
    refused(&framed(6, &whole), Reason::NoSchema, "not usable as protobuf");
}

/// Fields that nobody knows, groups among them, and values of another wire type are passed over; the last value counts.
#[test]
fn the_wire_is_read_as_the_specification_says() {
    let text = PUMP.replace("TYPE", "double");
    let value = written(&message_of(&text, "plant.Pump"), head("p7"));
    let eight = |number: u8, value: f64| [&[number << 3 | 1], &value.to_le_bytes()[..]].concat();
    let mut decoder = decoder(pumps_of(FormatPlan::Protobuf), vec![registered(ID, "PROTOBUF", &text)]);
    let mut read = |more: &[u8]| {
        let (events, dead) = run(&mut decoder, &framed(ID, &[&[2, 2], &value[..], more].concat()));
        assert_eq!(dead, []);
        events[0].values()
    };
    assert_eq!(read(&[eight(3, 1.0), eight(3, 2.0)].concat()), [Some(2.0), None]);
    assert_eq!(read(&[eight(3, 1.0), vec![3 << 3, 5]].concat()), [Some(1.0), None]);
    let group = [&[9 << 3 | 3][..], &eight(3, 7.0), &[9 << 3 | 4]].concat();
    assert_eq!(read(&[eight(3, 1.0), group].concat()), [Some(1.0), None]);
    // A message in two parts is both.
    let part = |bytes: &[u8]| [&[4 << 3 | 2, bytes.len() as u8], bytes].concat();
    let single = |number: u8, value: f32| [&[number << 3 | 5], &value.to_le_bytes()[..]].concat();
    assert_eq!(read(&[part(&single(2, 2.5)), part(&single(1, 9.0))].concat()), [Some(0.0), Some(2.5)]);
}

#[test]
fn a_schema_evolves_while_messages_come() {
    let of =
        |fields: &str| format!("syntax = \"proto3\"; message P {{ string id = 1; int64 ts = 2; {fields} }}");
    let schemas = [
        of("optional float temp = 3;"),
        of("optional double temp = 3; int32 load = 4;"),
        of("optional double temperature = 3 [json_name = \"temp\"];"),
        of("optional double heat = 3;"),
        of("optional double temp = 5;"),
    ];
    let names = ["temp", "temp", "temperature", "heat", "temp"];
    let mut stream = pumps_of(FormatPlan::Protobuf);
    stream.columns = vec![column("temperature", "temp"), column("time", "ts")];
    let all = schemas.iter().zip(1..).map(|(text, id)| registered(id, "PROTOBUF", text)).collect();
    let mut decoder = decoder(stream, all);
    let mut told = Vec::new();
    for (id, (text, name)) in (1..).zip(schemas.iter().zip(names)) {
        let mut fields = head("p7");
        fields.push((name, if id == 1 { Value::F32(1.0) } else { Value::F64(f64::from(id)) }));
        let bytes = written(&message_of(text, "P"), fields);
        for _ in 0..2 {
            let (events, dead) = run(&mut decoder, &framed(id, &first(&bytes)));
            assert_eq!(dead, []);
            assert_eq!(events[0].values()[0], (id != 4).then_some(id as f32), "schema {id}");
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
            (4, vec![Renamed]),
            (5, vec![Dropped, Added]),
        ]
    );
    assert_eq!(told[2].missing, ["temp".into()]);
}
