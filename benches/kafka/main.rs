//! One topic of Kafka, decode to verdict, beside a bare consumer of the same library that only counts: A/B/A/B in one
//! run, at 1,000 and 100,000 keys. `--json FILE` writes the figures, `--messages N` is the length of the topic.
//!
//! Eight partitions, messages of 105 bytes in producers' batches. Both begin at the first offset; each is timed from its
//! first message on. Broker and reader share the machine. Eddy has every message in its log, fsynced, and every fourth
//! brings a verdict where the topic is long beside its keys; the counter has nothing. A run in which a message or a verdict is
//! missing fails. With `--shared` Eddy is one of a group, of which it is the only one: nothing is
//! logged, and offsets are committed in transactions.

#[path = "../load/appliance.rs"]
#[allow(dead_code)] // the load bench uses all of it
mod appliance;
#[path = "../load/deployment.rs"]
mod deployment;
#[path = "../load/fleet.rs"]
#[allow(dead_code)]
mod fleet;
#[path = "../load/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../../tests/support/kafka.rs"]
#[allow(dead_code)]
mod kafka;
#[path = "../../tests/support/mosquitto.rs"]
#[allow(dead_code)]
mod mosquitto;

use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use tempfile::TempDir;

use appliance::{Appliance, cpu_s};
use kafka::{Kafka, Sent};

const PARTITIONS: i32 = 8;
const ROUNDS: usize = 2;
const LOOK: Duration = Duration::from_millis(10);
const VERDICTS_MAX: Duration = Duration::from_secs(30);
/// As the deployment has them, s.
const EVERY_S: u64 = 4;
const LATENESS_S: u64 = 4;

#[derive(Debug, Serialize)]
struct Run {
    reader: &'static str,
    keys: u64,
    messages: u64,
    seconds: f64,
    messages_per_s: f64,
    verdicts: u64,
    cpu_s_per_million_messages: f64,
}

fn run(reader: &'static str, keys: u64, messages: u64, (took, cpu): (Duration, f64)) -> Run {
    let seconds = took.as_secs_f64();
    let run = Run {
        reader,
        keys,
        messages,
        seconds,
        messages_per_s: messages as f64 / seconds,
        verdicts: if reader == "eddy" { verdicts(keys, messages) } else { 0 },
        cpu_s_per_million_messages: cpu / messages as f64 * 1e6,
    };
    println!(
        "{:<8} {:>7} keys  {:>9.0} messages/s  {:>7} verdicts  {:.2} CPU-s a million",
        run.reader, run.keys, run.messages_per_s, run.verdicts, run.cpu_s_per_million_messages
    );
    run
}

fn fill(kafka: &Kafka, topic: &str, keys: u64, messages: u64) {
    kafka.make_topic(topic, PARTITIONS);
    let producer = kafka.producer();
    let mut payload = Vec::new();
    for row in 0..messages {
        payload.clear();
        let key = row % keys;
        fleet::push_json(&mut payload, key, row / keys);
        producer.send(&Sent::new(topic, (key % PARTITIONS as u64) as i32, &payload));
    }
    producer.flush();
}

/// Verdicts that are final once a topic is read, counted without any code of Eddy's: of each key one every four seconds,
/// from its first row to where its partition's newest row closes windows.
fn verdicts(keys: u64, messages: u64) -> u64 {
    let rows = |key: u64| messages / keys + u64::from(key < messages % keys);
    // The first key of a partition has as many rows as any other of it.
    let newest = |key: u64| rows(key % PARTITIONS as u64).saturating_sub(1);
    (0..keys).filter(|key| rows(*key) > 0).map(|key| newest(key).saturating_sub(LATENESS_S) / EVERY_S).sum()
}

/// Polls and counts.
fn count(kafka: &Kafka, topic: &str, messages: u64) -> (Duration, f64) {
    let consumer: BaseConsumer = kafka.client().set("group.id", "counter").create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("it is assigned");
    let cpu = cpu_s("self");
    let (mut counted, mut begun) = (0, None);
    while counted < messages {
        if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
            counted += 1;
            begun.get_or_insert_with(Instant::now);
        }
    }
    (begun.expect("a message").elapsed(), cpu_s("self") - cpu)
}

/// The release binary on a folder without anything in it; `shared`: as the only one of a group of this number.
fn judge(
    folder: &Path,
    model: &Path,
    kafka: &Kafka,
    (topic, keys, messages): (&str, u64, u64),
    shared: Option<usize>,
) -> (Duration, f64) {
    // A group of its own: to the member of the topic before the brokers would give that one's partitions.
    let shared = shared.map_or(format!("\ngroup = \"{topic}\""), |n| {
        format!("\ngroup = \"{topic}-{n}\"\nshared = {{ alerts = \"{topic}-alerts-{n}\", state = \"{topic}-state-{n}\" }}")
    });
    let source = format!("type = \"kafka\"\nbrokers = \"{}\"\ntopics = \"{topic}\"{shared}", kafka.brokers());
    let deployed = Appliance::prepare(folder, &source, model);
    let appliance = Appliance::start(&deployed);
    let mut first = appliance.totals().events;
    let mut begun = Instant::now();
    while first == 0 {
        std::thread::sleep(LOOK);
        begun = Instant::now();
        first = appliance.totals().events;
    }
    let (mut totals, verdicts) = (appliance.drained(messages), verdicts(keys, messages));
    let drained = Instant::now();
    while totals.windows < verdicts && drained.elapsed() < VERDICTS_MAX {
        std::thread::sleep(LOOK);
        totals = appliance.totals();
    }
    let took = begun.elapsed();
    assert_eq!((totals.events, totals.late), (messages, 0), "every message is taken once");
    assert_eq!(totals.windows, verdicts, "every window has its verdict");
    // What was there at the first look took time, too.
    let whole = took.mul_f64(messages as f64 / (messages - first) as f64);
    (whole, appliance.cpu_s())
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn main() {
    let messages = argument("--messages").map_or(2_000_000, |text| text.parse().expect("a number"));
    // Beside the binary, on the disk.
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let model = deployment::train(folder.path());
    let kafka = Kafka::start();
    let mut runs = Vec::new();
    for keys in [1_000, 100_000] {
        let topic = format!("plant.{keys}");
        fill(&kafka, &topic, keys, messages);
        for round in 0..ROUNDS {
            runs.push(run("counter", keys, messages, count(&kafka, &topic, messages)));
            let shared = std::env::args().any(|argument| argument == "--shared").then_some(round);
            let judged = judge(folder.path(), &model, &kafka, (&topic, keys, messages), shared);
            runs.push(run("eddy", keys, messages, judged));
        }
        let rate = |reader: &str| {
            let of = runs.iter().filter(|run| run.keys == keys && run.reader == reader);
            of.map(|run| run.messages_per_s).sum::<f64>() / ROUNDS as f64
        };
        println!("ratio at {keys} keys: {:.2}", rate("eddy") / rate("counter"));
    }
    if let Some(path) = argument("--json") {
        let text = serde_json::to_string_pretty(&runs).expect("figures are JSON");
        std::fs::write(path, text + "\n").expect("the file can be written");
    }
}
