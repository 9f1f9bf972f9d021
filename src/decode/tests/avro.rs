//! Avro behind the id of its schema. What is sent is written by the Avro project's own library.
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema as Avro};

use super::*;
use crate::config::plan::FormatPlan;
use crate::schemas::{Reference, Schema, Schemas};
use crate::types::Reason;

pub(super) const ID: i32 = 70_000;

pub(super) fn registered(id: i32, kind: &str, text: &str) -> Schema {
    Schema { id, kind: kind.to_owned(), text: text.to_owned(), references: Vec::new(), from: 0 }
}

pub(super) fn decoder(stream: StreamPlan, schemas: Vec<Schema>) -> Decoder {
    let known = Schemas::default();
    schemas.into_iter().for_each(|schema| known.add("plant", schema));
    Decoder::with_schemas(&plan(vec![stream]), Arc::new(known))
}

/// Whose key is a field.
pub(super) fn pumps_of(format: FormatPlan) -> StreamPlan {
    StreamPlan { format, key: json_path("id"), topics: None, ..pumps() }
}

pub(super) fn framed(id: i32, value: &[u8]) -> Message {
    let payload = [&[0], &id.to_be_bytes()[..], value].concat();
    message("plant", "plant.pumps", payload)
}

pub(super) fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
}

/// A pump's reading; `temp` is of this type.
pub(super) fn reading(temp: &str) -> String {
    let vib = record("Vib", r#"{"name":"peak","type":"float"},{"name":"rms","type":["null","float"]}"#);
    record(
        "Reading",
        &format!(
            r#"{{"name":"id","type":"string"}},{{"name":"ts","type":{{"type":"long","logicalType":"timestamp-micros"}}}},
            {{"name":"temp","type":{temp}}},{{"name":"vib","type":{vib}}}"#
        ),
    )
}

pub(super) fn field(name: &str, value: Value) -> (String, Value) {
    (name.to_owned(), value)
}

pub(super) fn value(temp: Value, rms: Option<f32>) -> Value {
    let rms = match rms {
        Some(rms) => Value::Union(1, Box::new(Value::Float(rms))),
        None => Value::Union(0, Box::new(Value::Null)),
    };
    Value::Record(vec![
        field("id", Value::String("p7".into())),
        field("ts", Value::TimestampMicros(NOW_NS / 1000)),
        field("temp", temp),
        field("vib", Value::Record(vec![field("peak", Value::Float(9.0)), field("rms", rms)])),
    ])
}

pub(super) fn written(schema: &str, value: Value) -> Vec<u8> {
    let schema = Avro::parse_str(schema).expect("a schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a schema");
    writer.write_value_to_vec(value).expect("it fits the schema")
}

fn read(schema: &str, value: Value) -> (Vec<Event>, Vec<DeadRow>) {
    let bytes = written(schema, value);
    run(&mut decoder(pumps_of(FormatPlan::Avro), vec![registered(ID, "AVRO", schema)]), &framed(ID, &bytes))
}

/// What a value of this type in `temp` is read as.
fn temp(temp: &str, of: Value) -> Result<Option<f32>, String> {
    let (events, dead) = read(&reading(temp), value(of, Some(2.5)));
    match (&events[..], &dead[..]) {
        ([event], []) => {
            assert_eq!((event.key.as_str(), event.time), ("p7", NOW_NS));
            assert_eq!(event.values()[1], Some(2.5));
            Ok(event.values()[0])
        }
        ([], [dead]) => Err(dead.detail.clone()),
        _ => panic!("{events:?} {dead:?}"),
    }
}

#[test]
fn every_type_of_numbers_is_one() {
    assert_eq!(temp(r#""double""#, Value::Double(61.5)), Ok(Some(61.5)));
    assert_eq!(temp(r#""float""#, Value::Float(-0.1)), Ok(Some(-0.1)));
    assert_eq!(temp(r#""int""#, Value::Int(i32::MIN)), Ok(Some(i32::MIN as f32)));
    assert_eq!(temp(r#""long""#, Value::Long(1 << 40)), Ok(Some((1_i64 << 40) as f32)));
    assert_eq!(temp(r#""boolean""#, Value::Boolean(true)), Ok(Some(1.0)));
    assert_eq!(
        temp(r#"["null","double"]"#, Value::Union(0, Box::new(Value::Null))),
        Ok(None),
        "null is missing, the rest is there"
    );
    let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":6,"scale":2}"#;
    assert_eq!(temp(decimal, Value::Decimal(Decimal::from([0xfb, 0x2e]))), Ok(Some(-12.34)));
    let fixed =
        r#"{"type":{"type":"fixed","name":"F","size":3},"logicalType":"decimal","precision":6,"scale":1}"#;
    assert_eq!(temp(fixed, Value::Decimal(Decimal::from([0, 4, 210]))), Ok(Some(123.4)));
}

#[test]
fn what_is_no_number_is_told_apart() {
    let refused = |of: Result<Option<f32>, String>, word: &str| {
        assert!(of.as_ref().is_err_and(|detail| detail.contains(word)), "{of:?}");
    };
    refused(temp(r#""string""#, Value::String("hot".into())), "the text \"hot\"");
    refused(temp(r#""bytes""#, Value::Bytes(vec![1, 2])), "bytes");
    refused(temp(r#"{"type":"fixed","name":"F","size":2}"#, Value::Fixed(2, vec![1, 2])), "bytes");
    refused(temp(r#"{"type":"array","items":"int"}"#, Value::Array(vec![Value::Int(1)])), "an array");
    refused(
        temp(r#"{"type":"map","values":"int"}"#, Value::Map([("a".into(), Value::Int(1))].into())),
        "an object",
    );
    let instant = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    refused(temp(instant, Value::TimestampMillis(5)), "a moment in time");
    refused(temp(r#""double""#, Value::Double(f64::NAN)), "no finite number");
}

/// One number, wherever its unit is said: by the schema, or by the stream where the schema has a mere count.
#[test]
fn times_of_every_unit_are_one_moment() {
    for (kind, of) in [
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, Value::TimestampMillis(NOW_NS / 1_000_000)),
        (r#"{"type":"long","logicalType":"timestamp-micros"}"#, Value::TimestampMicros(NOW_NS / 1_000)),
        (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, Value::TimestampNanos(NOW_NS)),
        (r#""long""#, Value::Long(NOW_NS / 1_000_000)),
        (r#""double""#, Value::Double((NOW_NS / 1_000_000) as f64)),
    ] {
        let schema = record(
            "R",
            &format!(
                r#"{{"name":"ts","type":{kind}}},{{"name":"id","type":"int"}},{{"name":"temp","type":"int"}}"#
            ),
        );
        let of = vec![field("ts", of), field("id", Value::Int(-7)), field("temp", Value::Int(1))];
        let (events, dead) = read(&schema, Value::Record(of));
        assert_eq!(dead, [], "{kind}");
        assert_eq!((events[0].time, events[0].key.as_str()), (NOW_NS, "-7"), "{kind}");
    }
}

#[test]
fn an_enum_is_a_text_and_a_map_has_fields() {
    let kind = r#"{"type":"enum","name":"E","symbols":["NORTH","SOUTH"]}"#;
    let schema = record(
        "R",
        &format!(
            r#"{{"name":"tags","type":{{"type":"map","values":"double"}}}},{{"name":"id","type":{kind}}},
            {{"name":"ts","type":"long"}}"#
        ),
    );
    let mut stream = pumps_of(FormatPlan::Avro);
    stream.columns = vec![column("a", "tags.a"), column("b", "tags.b")];
    let tags = [("a".to_owned(), Value::Double(1.5)), ("x".to_owned(), Value::Double(9.0))];
    let of = vec![
        field("tags", Value::Map(tags.into())),
        field("id", Value::Enum(1, "SOUTH".into())),
        field("ts", Value::Long(NOW_NS / 1_000_000)),
    ];
    let bytes = written(&schema, Value::Record(of));
    let (events, dead) =
        run(&mut decoder(stream, vec![registered(ID, "AVRO", &schema)]), &framed(ID, &bytes));
    assert_eq!(dead, []);
    assert_eq!((events[0].key.as_str(), events[0].values()), ("SOUTH", vec![Some(1.5), None]));
}

#[test]
fn points_in_an_array_are_rows() {
    let point = record("P", r#"{"name":"ts","type":"long"},{"name":"temp","type":"double"}"#);
    let schema = record(
        "R",
        &format!(
            r#"{{"name":"id","type":"string"}},{{"name":"points","type":{{"type":"array","items":{point}}}}}"#
        ),
    );
    let mut stream = pumps_of(FormatPlan::Avro);
    stream.layout = Layout::Wide { points: Some(json_path("points")) };
    stream.key = json_path("$.id");
    let point = |ms: i64, temp: f64| {
        let ts = Value::Long(NOW_NS / 1_000_000 + ms);
        Value::Record(vec![field("ts", ts), field("temp", Value::Double(temp))])
    };
    let of = vec![
        field("id", Value::String("p7".into())),
        field("points", Value::Array(vec![point(0, 1.0), point(1, f64::NAN), point(2, 3.0)])),
    ];
    let bytes = written(&schema, Value::Record(of));
    let (events, dead) =
        run(&mut decoder(stream, vec![registered(ID, "AVRO", &schema)]), &framed(ID, &bytes));
    assert_eq!(
        events.iter().map(|event| (event.row, event.values()[0])).collect::<Vec<_>>(),
        [(0, Some(1.0)), (2, Some(3.0))]
    );
    assert_eq!(dead.iter().map(|dead| (dead.row, dead.reason)).collect::<Vec<_>>(), [(1, Reason::BadValue)]);
}

/// A list that holds itself, and a type that another schema defines.
#[test]
fn types_may_hold_themselves_or_stand_in_another_schema() {
    let site = record("Site", r#"{"name":"next","type":["null","Site"]},{"name":"n","type":"int"}"#);
    let schema = record(
        "R",
        r#"{"name":"site","type":"Site"},{"name":"id","type":"string"},{"name":"ts","type":"long"},{"name":"temp","type":"int"}"#,
    );
    let leaf = |next: Value, n: i32| Value::Record(vec![field("next", next), field("n", Value::Int(n))]);
    let inner = leaf(Value::Union(0, Box::new(Value::Null)), 2);
    let of = Value::Record(vec![
        field("site", leaf(Value::Union(1, Box::new(inner)), 1)),
        field("id", Value::String("p7".into())),
        field("ts", Value::Long(NOW_NS / 1_000_000)),
        field("temp", Value::Int(61)),
    ]);
    let whole = schema.replace(r#""type":"Site""#, &format!(r#""type":{site}"#));
    let bytes = written(&whole, of);
    let reference = Reference { name: "Site".into(), text: site };
    let registered = Schema { references: vec![reference], ..registered(ID, "AVRO", &schema) };
    let (events, dead) = run(&mut decoder(pumps_of(FormatPlan::Avro), vec![registered]), &framed(ID, &bytes));
    assert_eq!(dead, []);
    assert_eq!(events[0].values(), [Some(61.0), None]);
}
