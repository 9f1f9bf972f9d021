//! Messages from Kafka: what they carry beside their value, and the partition of their rows.
use super::*;
use crate::config::plan::{ClusterPlan, KafkaField, KafkaPlan, KafkaStart};
use crate::types::{Header, KafkaOrigin, PartitionId, Reason, RecordRef, key_hash};

fn of_kafka(stream: StreamPlan) -> Decoder {
    let kafka = KafkaPlan {
        cluster: ClusterPlan { brokers: vec!["b:9092".to_owned()], tls: None, sasl: None },
        topics: vec!["^.*".to_owned()],
        group: "g".to_owned(),
        member: "m".to_owned(),
        start: KafkaStart::Earliest,
        dead_letters: None,
        registry: None,
        shared: None,
    };
    let mut plan = plan(vec![stream]);
    plan.sources[1].kind = SourceKind::Kafka(kafka);
    Decoder::new(&plan)
}

fn header(name: &str, value: &'static [u8]) -> Header {
    Header { name: name.into(), value: Some(bytes::Bytes::from_static(value)) }
}

fn sent(partition: i32, key: Option<&'static [u8]>) -> Message {
    let origin = KafkaOrigin {
        partition,
        offset: 5,
        timestamp_ms: Some(1_740_830_400_001),
        key: key.map(bytes::Bytes::from_static),
        headers: [header("load", b"0.5"), header("load", b"0.75"), header("bad", b"\xff")].into(),
    };
    let message = message("plant", "plant.a.pumps", r#"{"temp":61.5}"#);
    Message { origin: Some(Box::new(origin)), ..message }
}

fn by_key() -> StreamPlan {
    let mut load = column("load", "x");
    load.path = FieldPath::Kafka(KafkaField::Header("load".into()));
    StreamPlan {
        topics: Some("plant.+.pumps".to_owned()),
        key: FieldPath::Kafka(KafkaField::Key),
        time: TimePlan::Field { path: FieldPath::Kafka(KafkaField::Timestamp), unit: TimeUnit::Millis },
        columns: vec![column("temperature", "temp"), load],
        ..pumps()
    }
}

#[test]
fn key_time_and_headers_are_fields() {
    let (events, dead) = run(&mut of_kafka(by_key()), &sent(0, Some(b"p7")));
    assert_eq!(dead, []);
    assert_eq!((events[0].key.as_str(), events[0].time), ("p7", 1_740_830_400_001_000_000));
    assert_eq!(events[0].values(), [Some(61.5), Some(0.75)], "of equal headers the last counts");
    let by_topic = StreamPlan { key: FieldPath::Topic(2), ..by_key() };
    let (events, _) = run(&mut of_kafka(by_topic), &sent(0, None));
    assert_eq!(events[0].key, "a", "levels are between dots");
}

#[test]
fn a_key_that_is_missing_or_no_text_is_a_dead_letter() {
    for (key, words) in [(None, "`kafka.key` is missing"), (Some(&b"\xff"[..]), "no UTF-8")] {
        let (events, dead) = run(&mut of_kafka(by_key()), &sent(0, key));
        assert_eq!((events.len(), dead[0].reason), (0, Reason::NoKey));
        assert!(dead[0].detail.contains(words), "{}", dead[0].detail);
    }
    let mut bad = by_key();
    bad.columns[1].path = FieldPath::Kafka(KafkaField::Header("bad".into()));
    let (_, dead) = run(&mut of_kafka(bad), &sent(0, Some(b"p7")));
    assert_eq!(dead[0].reason, Reason::BadValue);
}

#[test]
fn rows_go_to_the_partition_of_their_message() {
    let partition_of = |message: &Message, decoder: &mut Decoder| {
        let mut found = None;
        decoder.decode(
            Position(7),
            message,
            &mut |r: RecordRef<'_>| found = Some(r.partition),
            &mut Vec::new(),
        );
        found.expect("a row")
    };
    let mut decoder = of_kafka(by_key());
    for (kafka, ours) in [(0, 0), (5, 5), (63, 63), (64, 0), (130, 2)] {
        assert_eq!(partition_of(&sent(kafka, Some(b"p7")), &mut decoder), PartitionId(ours));
    }
    let plain = message("plant", TOPIC, r#"{"ts":1740830400000,"temp":61.5}"#);
    let mut decoder = Decoder::new(&super::plan(vec![pumps()]));
    assert_eq!(partition_of(&plain, &mut decoder), PartitionId::of(key_hash(b"p7")));
}
