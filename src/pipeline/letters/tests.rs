//! What a letter carries, and which messages become one.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::message::Headers as _;

use super::*;
use crate::config;
use crate::types::{Arrival, KafkaOrigin, Reason, StreamId};

const CONFIG: &str = r#"[source.plant]
type = "kafka"
brokers = "b:9092"
topics = "^plant.*"
dead_letters = "plant.dead"

[stream.pumps]
from = "plant"
key = "kafka.key"
time = { path = "ts", unit = "ms" }
window = { type = "hopping", size = "64s", every = "1s" }
columns.vibration = "vib"

[sink.out]
type = "stdout"
"#;

fn plan(text: &str) -> Plan {
    config::parse(text, "eddy.toml", &BTreeMap::new()).expect("a good config")
}

fn message(topic: &str, payload: Vec<u8>) -> Message {
    let header = |name: &str, value: Option<&'static [u8]>| Carried {
        name: name.into(),
        value: value.map(Bytes::from_static),
    };
    let origin = KafkaOrigin {
        partition: 3,
        offset: 41,
        timestamp_ms: Some(1_740_830_400_001),
        key: Some(Bytes::from_static(b"P-1")),
        headers: [header("line", Some(b"north")), header("line", None)].into(),
    };
    Message {
        source: Arc::from("plant"),
        topic: topic.into(),
        payload: payload.into(),
        arrival: Arrival(1),
        idempotency_key: None,
        origin: Some(Box::new(origin)),
    }
}

fn row(row: u32, reason: Reason) -> DeadRow {
    DeadRow { stream: Some(StreamId(0)), row, reason, detail: format!("row {row}"), range: 0..1 }
}

#[test]
fn a_letter_is_the_message_as_it_came_and_says_what_was_wrong() {
    let plan = plan(CONFIG);
    let rows = vec![row(2, Reason::BadTime), row(5, Reason::NoKey)];
    let letter = Letter::new(Position(7), &message("plant.pumps", b"{\xff".to_vec()), rows);
    let of = source_of(&plan, &letter.message).expect("it goes to a topic");
    assert_eq!(of.1, "plant.dead");
    let record = fill(BaseRecord::to(of.1), &letter, (&plan, of.0), Some("box-1"));
    assert_eq!((record.key, record.payload), (Some(&b"P-1"[..]), Some(&b"{\xff"[..])));
    assert_eq!(record.timestamp, None, "when it is written");
    let headers = record.headers.expect("headers");
    let texts: Vec<(&str, Option<&str>)> = headers
        .iter()
        .map(|header| (header.key, header.value.map(|value| std::str::from_utf8(value).unwrap())))
        .collect();
    assert_eq!(texts[..2], [("line", Some("north")), ("line", None)], "in the order they were sent");
    let made: BTreeMap<&str, &str> = texts[2..].iter().map(|(key, value)| (*key, value.unwrap())).collect();
    let wanted = [
        ("__connect.errors.connector.name", "eddy-eddy-plant"),
        ("__connect.errors.exception.class.name", "bad_time"),
        ("__connect.errors.exception.message", "row 2"),
        ("__connect.errors.offset", "41"),
        ("__connect.errors.partition", "3"),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
        ("__connect.errors.task.id", "box-1"),
        ("__connect.errors.topic", "plant.pumps"),
        ("eddy.row", "2"),
        ("eddy.rows", "2"),
        ("eddy.stream", "pumps"),
        ("eddy.timestamp_ms", "1740830400001"),
    ];
    assert_eq!(made, BTreeMap::from(wanted));
}

#[test]
fn what_a_topic_cannot_take_goes_to_the_file() {
    let letters = plan(CONFIG);
    let goes = |plan: &Plan, message: &Message| source_of(plan, message).is_some();
    assert!(goes(&letters, &message("plant.pumps", vec![b'x'; 890_000])));
    assert!(!goes(&letters, &message("plant.pumps", vec![b'x'; 899_000])), "too long with its headers");
    let alerts = "[sink.bus]\ntype = \"kafka\"\nbrokers = [\"b:9092\", \"c:9092\"]\ntopic = \"plant.told\"\n\
                  [sink.other]\ntype = \"kafka\"\nbrokers = \"d:9092\"\ntopic = \"plant.more\"\n";
    let told = plan(&format!("{CONFIG}{alerts}"));
    let own = own_topics(&told, &told.sources[0]);
    assert_eq!(
        *own,
        ["plant.dead", "plant.told"].map(str::to_owned),
        "nothing that comes from there is taken in"
    );
    let file = plan(&CONFIG.replace("dead_letters = \"plant.dead\"\n", ""));
    assert!(!goes(&file, &message("plant.pumps", Vec::new())));
}

#[test]
fn of_a_long_reason_the_beginning_is_told() {
    assert_eq!(start_of(&"ü".repeat(1000)), "ü".repeat(500));
    assert_eq!(start_of("short"), "short");
}
