//! What a schema of Protobuf may hold, and what of it is kept ready.
use prost_reflect::Value;

use super::avro::{decoder, framed, pumps_of, registered};
use super::protobuf::{ID, first, head, message_of, message_with, written};
use super::*;
use crate::config::plan::FormatPlan;

/// What came before changes nothing: indices that lead nowhere are made up as easily as they are refused.
#[test]
fn whether_a_message_is_read_depends_on_it_and_its_schema_alone() {
    const MESSAGES: i64 = 300;
    let one = |i: i64| format!("message P{i} {{ string id = 1; int64 ts = 2; double temp = 3; }} ");
    let text = format!("syntax = \"proto3\"; {}", (0..MESSAGES).map(one).collect::<String>());
    let mut fields = head("p7");
    fields.push(("temp", Value::F64(61.5)));
    let value = written(&message_of(&text, "P0"), fields);
    let zigzag = |index: i64| {
        let (low, high) = ((index << 1) as u8 & 0x7f, (index >> 6) as u8);
        if high == 0 { vec![low] } else { vec![low | 0x80, high] }
    };
    let mut decoder = decoder(pumps_of(FormatPlan::Protobuf), vec![registered(ID, "PROTOBUF", &text)]);
    let mut read = |index: i64| {
        let bytes = [&[2], &zigzag(index)[..], &value].concat();
        let (events, dead) = run(&mut decoder, &framed(ID, &bytes));
        events.first().map(|event| event.values()[0]).ok_or_else(|| dead[0].detail.clone())
    };
    for index in MESSAGES..2 * MESSAGES {
        let refused = read(index).unwrap_err();
        assert!(refused.contains(&format!("no message at index [{index}]")), "{refused}");
    }
    // More than are kept ready, and the first ones again.
    for index in (0..MESSAGES).chain(0..3) {
        assert_eq!(read(index), Ok(Some(61.5)), "{index}");
    }
}

/// Confluent's serializers neither register these nor name them as references.
#[test]
fn what_comes_with_confluents_serializers_is_known() {
    let text =
        "syntax = \"proto3\"; import \"confluent/meta.proto\"; import \"confluent/type/decimal.proto\";
        message Pump {
          option (confluent.message_meta) = { doc: \"a pump\" };
          string id = 1; int64 ts = 2;
          confluent.type.Decimal temp = 3 [(confluent.field_meta) = {
            doc: \"degC\", params: [ { key: \"precision\", value: \"9\" } ] }];
        }";
    let plain =
        "syntax = \"proto3\"; message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
        message Pump { string id = 1; int64 ts = 2; Decimal temp = 3; }";
    let (of, decimal) = (message_of(plain, "Pump"), message_of(plain, "Decimal"));
    let mut decoder = decoder(pumps_of(FormatPlan::Protobuf), vec![registered(ID, "PROTOBUF", text)]);
    let mut read = |unscaled: &'static [u8], scale: i32| {
        let parts = vec![
            ("value", Value::Bytes(unscaled.into())),
            ("precision", Value::U32(9)),
            ("scale", Value::I32(scale)),
        ];
        let mut fields = head("p7");
        fields.push(("temp", Value::Message(message_with(&decimal, parts))));
        let (events, dead) = run(&mut decoder, &framed(ID, &first(&written(&of, fields))));
        assert_eq!(dead, []);
        events[0].values()[0]
    };
    assert_eq!(read(&[0x04, 0xd2], 2), Some(12.34));
    assert_eq!(read(&[0xfb, 0x2e], 2), Some(-12.34));
    assert_eq!(read(&[7], 0), Some(7.0), "a scale of zero is not written");
    assert_eq!(read(&[7], -2), Some(700.0));
}
