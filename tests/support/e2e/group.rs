//! Several release binaries on one topic: their config, how far they are, and what they have told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::eddy::{Deployment, config};
use super::expect::Outcome;
use super::kafka::Kafka;
use super::topic::{GROUP, PARTITIONS, TOPIC};

pub const ALERTS: &str = "plant-alerts";
pub const STATE: &str = "plant-eddy-state";
/// A member that is killed is given up after 10 s, again and again.
const PROGRESS_MAX: Duration = Duration::from_secs(240);
/// Nothing comes twice a while later.
pub const QUIET: Duration = Duration::from_secs(3);
pub const NOBODY: &str = "http://127.0.0.1:9/hook";

pub fn text(kafka: &Kafka, stream: &str, webhook: &str) -> String {
    let source = format!(
        "[source.plant]\ntype = \"kafka\"\nbrokers = [\"{}\"]\ntopics = [\"{TOPIC}\"]\n\
         shared = {{ alerts = \"{ALERTS}\", state = \"{STATE}\" }}",
        kafka.brokers().replace(',', "\", \"")
    );
    config(&source, "[\"plant\"]", &format!("max_future = \"none\"\n{stream}"), webhook)
}

pub fn deployment(kafka: &Kafka, webhook: &str, every: &str) -> Deployment {
    Deployment::new(&(text(kafka, "", webhook) + &format!("snapshot_every = \"{every}\"\n")))
}

/// How far the group is.
pub fn committed(kafka: &Kafka) -> usize {
    kafka.committed(GROUP, TOPIC, PARTITIONS).into_iter().flatten().sum::<i64>() as usize
}

/// Waits until the group has come so far.
pub fn until_committed(kafka: &Kafka, count: usize, mut seen: impl FnMut(usize)) {
    let began = Instant::now();
    loop {
        let now = committed(kafka);
        seen(now);
        if now >= count {
            return;
        }
        assert!(began.elapsed() < PROGRESS_MAX, "{now} of {count} events");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the alerts topic holds, by webhook-id: the decision, and how often it is there.
pub fn told(kafka: &Kafka) -> BTreeMap<String, (Value, usize)> {
    let mut told = BTreeMap::<String, (Value, usize)>::new();
    for message in kafka.all_committed(ALERTS) {
        let mut data = super::json(&message.payload.expect("no tombstone"))["data"].clone();
        data.as_object_mut().expect("an object").remove("receipt").expect("a receipt");
        let id = message.headers["webhook-id"].clone();
        assert_eq!(id, format!("{}_{}", data["id"].as_str().expect("an id"), data["revision"]));
        assert_eq!(Some(message.key.as_str()), data["id"].as_str());
        told.entry(id).or_insert((data, 0)).1 += 1;
    }
    told
}

pub fn assert_told_once(kafka: &Kafka, expected: &Outcome) {
    let began = Instant::now();
    while told(kafka).len() < expected.decisions.len() && began.elapsed() < super::WAIT_MAX {
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(QUIET);
    let told = told(kafka);
    let twice: Vec<&String> = told.iter().filter(|(_, (_, times))| *times > 1).map(|(id, _)| id).collect();
    assert!(twice.is_empty(), "{} of {} revisions are there more than once", twice.len(), told.len());
    let decisions: BTreeMap<String, Value> =
        told.into_iter().map(|(id, (decision, _))| (id, decision)).collect();
    assert_eq!(decisions.len(), expected.decisions.len());
    assert!(decisions == expected.decisions, "other decisions");
}
