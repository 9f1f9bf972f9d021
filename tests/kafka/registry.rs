//! Avro and Protobuf from a real Kafka with a real schema registry beside it into the release binary. Messages are written
//! by Confluent's own serializers, and their schemas change mid-stream.
//!
//! `EDDY_REGISTRY_EVENTS` makes it longer.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::e2e;
use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect::{self, Outcome};
use crate::e2e::group::{self, NOBODY, assert_told_once, until_committed};
use crate::e2e::kafka::{Kafka, KafkaProducer, Sent};
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::e2e::registry::{Door, Job, Registry, url, written};
use crate::e2e::topic::{PARTITIONS, TOPIC, expected, partition_of, rows, setting};
use crate::plant::Row;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

fn source(kafka: &Kafka, registry: &str) -> String {
    format!(
        "[source.plant]\ntype = \"kafka\"\nbrokers = [\"{}\"]\ntopics = [\"{TOPIC}\"]\nregistry = {{ {registry} }}",
        kafka.brokers()
    )
}

fn stream(format: &str) -> String {
    format!("format = \"{format}\"\nmax_future = \"none\"")
}

const STAGES: usize = 4;

/// Which schema a row is written by: the third one's time is short, since it lacks a column.
fn stage(at: usize, rows: usize) -> usize {
    match at * 100 / rows {
        0..30 => 0,
        30..60 => 1,
        60..70 => 2,
        _ => 3,
    }
}

fn avro(stage: usize) -> String {
    let number = |name: &str, kind: &str| format!(r#"{{"name":"{name}","type":"{kind}"}}"#);
    let renamed = r#"{"name":"head","aliases":["pressure"],"type":"double"}"#.to_owned();
    let site = r#"{"name":"site","type":["null","string"],"default":null}"#.to_owned();
    let (t, v) = ("temperature", "vibration");
    let fields = match stage {
        0 => ["flow", "pressure", t, v].map(|name| number(name, "float")).to_vec(),
        1 => [vec![site], ["flow", "pressure", t, v].map(|name| number(name, "double")).to_vec()].concat(),
        2 => vec![site, renamed, number(t, "double"), number(v, "double")],
        _ => [v, t, "pressure", "flow"].map(|name| number(name, "double")).to_vec(),
    };
    let time = r#"{"name":"ts","type":{"type":"long","logicalType":"timestamp-micros"}}"#;
    let all = [vec![r#"{"name":"pump","type":"string"}"#.to_owned(), time.to_owned()], fields].concat();
    format!(r#"{{"type":"record","name":"Pump","namespace":"plant","fields":[{}]}}"#, all.join(","))
}

fn protobuf(stage: usize) -> String {
    let fields = match stage {
        0 => "float flow = 3; float pressure = 4; float temperature = 5; float vibration = 6;",
        1 => {
            "double flow = 3; double pressure = 4; double temperature = 5; double vibration = 6; string site = 7;"
        }
        2 => {
            "double head = 4 [json_name = \"pressure\"]; double temperature = 5; double vibration = 6; string site = 7;"
        }
        _ => "double flow = 3; double pressure = 4; double temperature = 5; double vibration = 6;",
    };
    // Not the first message of its file, so that its index is written out.
    format!(
        "syntax = \"proto3\"; package plant; message Other {{ int32 x = 1; }} \
         message Pump {{ string pump = 1; int64 ts = 2; {fields} }}"
    )
}

fn document(row: &Row, stage: usize, format: &str) -> Value {
    let [flow, pressure, temperature, vibration] = row.values.map(f64::from);
    let per_ms = if format == "avro" { 1_000 } else { 1_000_000 };
    let mut all = json!({
        "pump": row.key, "ts": row.time_ns / per_ms, "temperature": temperature, "vibration": vibration
    });
    let more = match (stage, format) {
        (0 | 3, _) => json!({ "flow": flow, "pressure": pressure }),
        (1, _) => json!({ "flow": flow, "pressure": pressure, "site": "north" }),
        (_, "avro") => json!({ "head": pressure, "site": null }),
        // By its name in JSON, which the writer reads.
        _ => json!({ "pressure": pressure, "site": "north" }),
    };
    for (name, value) in more.as_object().expect("an object") {
        all[name] = value.clone();
    }
    all
}

/// What is written of rows, under the schema of each.
fn payloads(registry: &Registry, rows: &[Row], format: &str) -> Vec<Vec<u8>> {
    payloads_of(registry, rows, 0..rows.len(), format)
}

fn payloads_of(registry: &Registry, rows: &[Row], range: Range<usize>, format: &str) -> Vec<Vec<u8>> {
    let schemas: Vec<String> =
        (0..STAGES).map(|stage| if format == "avro" { avro(stage) } else { protobuf(stage) }).collect();
    let job = |(at, row): (usize, &Row)| {
        let stage = stage(at, rows.len());
        Job { schema: &schemas[stage], message: "plant.Pump", value: document(row, stage, format) }
    };
    let jobs: Vec<Job<'_>> = rows.iter().enumerate().skip(range.start).take(range.len()).map(job).collect();
    written(&registry.url(), TOPIC, format, &jobs)
}

fn send(producer: &KafkaProducer, rows: &[Row], payloads: &[Vec<u8>]) {
    for (row, payload) in rows.iter().zip(payloads) {
        producer.send(&Sent::new(TOPIC, partition_of(&row.key), payload));
    }
    producer.flush();
}

fn changes(eddy: &Eddy) -> Vec<(&'static str, u64)> {
    let count = |change: &'static str| {
        let sample = format!("eddy_stream_schema_events_total{{stream=\"pumps\",change=\"{change}\"}}");
        (change, eddy.metric(&sample))
    };
    ["added", "dropped", "renamed", "widened", "retyped"].map(count).to_vec()
}

/// What the engine makes of rows of which the third schema lacks a column.
fn expected_of(rows: &[Row]) -> Outcome {
    let masked = rows.iter().enumerate().map(|(at, row)| {
        let mut row = row.clone();
        if stage(at, rows.len()) == 2 {
            row.values[0] = f32::NAN;
        }
        row
    });
    expected(&masked.collect::<Vec<Row>>())
}

async fn evolves(format: &'static str, told: [(&'static str, u64); 5]) {
    let rows = rows(setting("EDDY_REGISTRY_EVENTS", 40_000));
    let expected = expected_of(&rows);
    let (kafka, registry) = (Kafka::start(), Registry::start());
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let of = source(&kafka, &format!("url = \"{}\"", registry.url()));
    let deployment = Deployment::new(&config(&of, "[\"plant\"]", &stream(format), &receiver.url));
    let mut eddy = deployment.start();
    let payloads = payloads(&registry, &rows, format);
    send(&kafka.producer(), &rows, &payloads);
    expect::settles(&mut eddy, &receiver, &expected);
    assert_eq!(changes(&eddy), told);
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let lacking: Vec<&str> = said.lines().filter(|line| line.contains("has none of these fields")).collect();
    assert!(matches!(lacking[..], [line] if line.contains("flow")), "{lacking:?}");
    assert_eq!(deployment.dead_letters(), Vec::<Value>::new());
    assert_eq!(deployment.logged().len(), rows.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avro_goes_on_while_its_schema_changes() {
    evolves("avro", [("added", 3), ("dropped", 3), ("renamed", 1), ("widened", 4), ("retyped", 0)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protobuf_goes_on_while_its_schema_changes() {
    evolves("protobuf", [("added", 2), ("dropped", 2), ("renamed", 2), ("widened", 4), ("retyped", 0)]).await;
}

fn waits(eddy: &Eddy) -> bool {
    eddy.metric("eddy_source_registry_waits{source=\"plant\"}") == 1
}

/// Away, it is waited for; what was read once is read again without it; and what it does not know stops nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_costs_no_message() {
    let (kafka, registry) = (Kafka::start(), Registry::start());
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let port = free_port();
    let access = format!("url = \"{}\", username = \"eddy\", password = \"secret\"", url(port));
    let text = config(&source(&kafka, &access), "[\"plant\"]", &stream("avro"), &receiver.url);
    // Nothing is saved before the kill, so that all of it is read again.
    let deployment = Deployment::new(&(text + "snapshot_every = \"1h\"\n"));
    let rows = rows(4_000);
    let payloads = payloads(&registry, &rows, "avro");
    let producer = kafka.producer();
    send(&producer, &rows, &payloads);

    let mut eddy = deployment.start();
    eddy.until("it waits", |eddy| waits(eddy).then_some(()));
    eddy.until("why", |eddy| eddy.said().contains("cannot be reached").then_some(()));
    eddy.until("the page says so", |eddy| {
        let problems = eddy.get("/api/v1/status")["problems"].to_string();
        problems.contains("waits for its schema registry").then_some(())
    });
    let wrong = Door::open(port, registry.port, Some("Basic nobody"));
    eddy.until("it is refused", |eddy| eddy.said().contains("refuses Eddy (401").then_some(()));
    assert_eq!((eddy.events(), deployment.dead_letters().len()), (0, 0));
    drop(wrong);
    let authorization: &'static str = format!("Basic {}", STANDARD.encode("eddy:secret")).leak();
    let door = Door::open(port, registry.port, Some(authorization));
    eddy.until("all is taken", |eddy| (eddy.events() == rows.len() as u64).then_some(()));
    // Shown a moment after: a source looks at its door now and then.
    eddy.until("nothing waits", |eddy| (!waits(eddy)).then_some(()));
    assert!(!eddy.said().contains("secret"), "no password in the log");
    let before = eddy.partitions();
    eddy.kill();
    drop(door);

    let mut eddy = deployment.start();
    eddy.until("all is read again", |eddy| (eddy.events() == rows.len() as u64).then_some(()));
    assert_eq!(eddy.metric("eddy_recovered_messages_total"), rows.len() as u64);
    assert_eq!(eddy.partitions(), before, "the same decisions");
    assert_eq!(deployment.dead_letters(), Vec::<Value>::new());

    let door = Door::open(port, registry.port, Some(authorization));
    let unknown = [&[0], &4_242_i32.to_be_bytes()[..], &payloads[0][5..]].concat();
    let bad: [&[u8]; 4] = [b"{\"pump\":\"pump-0\"}", &unknown, &payloads[0][..9], &[0, 0]];
    bad.iter().for_each(|payload| producer.send(&Sent::new(TOPIC, 0, payload)));
    let later: Vec<Row> =
        expect::closers(&rows, 40).into_iter().map(|row| Row { values: [1.0; 4], ..row }).collect();
    let good = written(
        &registry.url(),
        TOPIC,
        "avro",
        &later
            .iter()
            .map(|row| Job {
                schema: Box::leak(avro(1).into_boxed_str()),
                message: "",
                value: document(row, 1, "avro"),
            })
            .collect::<Vec<_>>(),
    );
    send(&producer, &later, &good);
    let all = (rows.len() + later.len()) as u64;
    eddy.until("it goes on", |eddy| (eddy.events() == all).then_some(()));
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    drop(door);
    let letters = deployment.dead_letters();
    let reasons: Vec<&str> =
        letters.iter().map(|letter| letter["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["malformed", "no_schema", "malformed", "malformed"]);
}

/// Of a message: what lies behind its schema's id.
fn framed(id: i32, value: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], value].concat()
}

fn id_of(payload: &[u8]) -> i32 {
    i32::from_be_bytes(payload[1..5].try_into().expect("four bytes"))
}

fn partitions_waiting(eddy: &Eddy) -> u64 {
    eddy.metric("eddy_source_partitions_waiting{source=\"plant\"}")
}

/// A registry that fails for one schema holds up the partition that needs it, and ids that are made up hold up none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_schema_that_is_not_given_holds_up_its_partition_alone() {
    const BROKEN: i32 = 77_777;
    const MADE_UP: i32 = 3_000;
    let (kafka, registry) = (Kafka::start(), Registry::start());
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let (rows, port) = (rows(4_000), free_port());
    let door = Door::open(port, registry.port, None);
    door.breaks(BROKEN);
    let source = source(&kafka, &format!("url = \"{}\"", url(port)));
    let deployment = Deployment::new(&config(&source, "[\"plant\"]", &stream("avro"), &receiver.url));
    let mut eddy = deployment.start();
    let (payloads, producer) = (payloads(&registry, &rows, "avro"), kafka.producer());
    producer.send(&Sent::new(TOPIC, 0, &framed(BROKEN, &payloads[0][5..])));
    send(&producer, &rows, &payloads);
    let others = rows.iter().filter(|row| partition_of(&row.key) != 0).count() as u64;
    eddy.until("the others go on", |eddy| (eddy.events() == others).then_some(()));
    eddy.until("why", |eddy| (waits(eddy) && partitions_waiting(eddy) == 1).then_some(()));
    eddy.until("the page says so", |eddy| {
        let problems = eddy.get("/api/v1/status")["problems"].to_string();
        let words = ["1 of its 8 partitions stand", "schema 77777: ", "answers 500"];
        words.iter().all(|words| problems.contains(words)).then_some(())
    });
    eddy.until("the log says so", |eddy| eddy.said().contains("others go on").then_some(()));

    for id in 0..MADE_UP {
        producer.send(&Sent::new(TOPIC, 1 + id % 2, &framed(1_000_000 + id, &payloads[0][5..])));
    }
    producer.flush();
    let began = Instant::now();
    let refused =
        |eddy: &Eddy| eddy.metric("eddy_dead_letters_total{reason=\"no_schema\"}") == MADE_UP as u64;
    eddy.until("made-up ids are refused", |eddy| refused(eddy).then_some(()));
    println!("{MADE_UP} made-up ids are refused in {:.1} s", began.elapsed().as_secs_f64());
    // One by one, asked twice a second apart, they would take most of an hour.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!((eddy.events(), partitions_waiting(&eddy)), (others, 1), "that partition stands");

    door.breaks(0);
    eddy.until("it goes on", |eddy| (eddy.events() == rows.len() as u64).then_some(()));
    eddy.until("nothing waits", |eddy| (!waits(eddy) && partitions_waiting(eddy) == 0).then_some(()));
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    assert_eq!(deployment.logged().len(), rows.len() + MADE_UP as usize + 1);
    let letters = deployment.dead_letters();
    assert!(letters.iter().all(|letter| letter["reason"] == "no_schema"), "other reasons");
    assert_eq!(letters.len(), MADE_UP as usize + 1);
}

/// Avro's binary encoding of a row under the last schema.
fn by_the_last_schema(row: &Row) -> Vec<u8> {
    let long = |value: i64, to: &mut Vec<u8>| {
        let mut left = ((value << 1) ^ (value >> 63)) as u64;
        while left > 0x7f {
            to.push(left as u8 | 0x80);
            left >>= 7;
        }
        to.push(left as u8);
    };
    let mut bytes = Vec::new();
    long(row.key.len() as i64, &mut bytes);
    bytes.extend(row.key.as_bytes());
    long(row.time_ns / 1_000, &mut bytes);
    row.values.iter().rev().for_each(|value| bytes.extend(f64::from(*value).to_le_bytes()));
    bytes
}

/// Two members, each killed once. A message that came before its schema was registered is refused, and stays so when
/// another member, which can read it by then, reads it again.
#[test]
fn of_several_each_reads_by_the_schemas_that_the_first_read_by() {
    let rows = rows(setting("EDDY_REGISTRY_EVENTS", 40_000));
    let expected = expected_of(&rows);
    let (kafka, registry) = (Kafka::start(), Registry::start());
    kafka.make_topic(TOPIC, PARTITIONS);
    let of_registry = format!("registry = {{ url = \"{}\" }}\nshared = ", registry.url());
    let text = group::text(&kafka, "format = \"avro\"", NOBODY).replace("shared = ", &of_registry);
    // Nothing is saved before the kills, so that all of it is read again.
    let members = [(); 2].map(|()| Deployment::new(&(text.clone() + "snapshot_every = \"1h\"\n")));
    let mut running: [Option<Eddy>; 2] = [Some(members[0].start()), Some(members[1].start())];
    let last = (0..rows.len()).position(|at| stage(at, rows.len()) == 3).expect("a last schema");
    let (producer, early) = (kafka.producer(), payloads_of(&registry, &rows, 0..last, "avro"));
    send(&producer, &rows[..last], &early);
    until_committed(&kafka, last, |_| {});
    let next_id = early.iter().map(|payload| id_of(payload)).max().expect("some") + 1;
    // Were it read, it would make everything behind it late.
    let ahead = Row { time_ns: rows[last].time_ns + 86_400_000_000_000, ..rows[last].clone() };
    let partition = partition_of(&ahead.key);
    producer.send(&Sent::new(TOPIC, partition, &framed(next_id, &by_the_last_schema(&ahead))));
    producer.flush();
    until_committed(&kafka, last + 1, |_| {});
    let refused = || members.iter().flat_map(Deployment::dead_letters).collect::<Vec<Value>>();
    let letter = e2e::poll(|| refused().pop()).expect("a dead letter");
    assert!(letter["reason"] == "no_schema" && refused().len() == 1, "{:?}", refused());
    // So long it is known that the registry does not know it.
    std::thread::sleep(Duration::from_secs(31));
    let late = payloads_of(&registry, &rows, last..rows.len(), "avro");
    assert!(late.iter().all(|payload| id_of(payload) == next_id), "it has another id: this tests nothing");
    let half = last + (rows.len() - last) / 2;
    send(&producer, &rows[last..half], &late[..half - last]);
    for (member, deployment) in members.iter().enumerate() {
        until_committed(&kafka, half + 1, |_| {});
        running[member].take().expect("it runs").kill();
        running[member] = Some(deployment.start());
    }
    send(&producer, &rows[half..], &late[half - last..]);
    until_committed(&kafka, rows.len() + 1, |_| {});
    assert_told_once(&kafka, &expected);
    let again = running.iter().flatten().map(|eddy| eddy.metric("eddy_recovered_messages_total"));
    assert!(again.sum::<u64>() > last as u64, "little was read again");
    assert_eq!(refused().len(), 1, "it is told once");
}
