//! What people say of alerts to one member of a group holds for all: over a real Kafka, release binaries that die, start late and
//! lose their broker.

mod held;
mod said;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::e2e::eddy::{Deployment, Eddy};
use crate::e2e::group::until_committed;
use crate::e2e::kafka::Kafka;
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{KEYS, send};
use crate::e2e::{self, expect, group, http};
use crate::plant::{self, Row};
use serde_json::{Value, json};

const BROKEN: usize = 10;

/// Pumps of which ten break and stay so: their alerts fire until the end.
fn rows() -> Vec<Row> {
    const SECONDS: i64 = 120;
    let mut rows = plant::rows(KEYS, SECONDS, 31, 0..0);
    (0..BROKEN).for_each(|key| expect::break_pump(&mut rows, key, 60..SECONDS));
    rows
}

/// Of pumps that are broken for good, and of nothing that the wall clock says.
fn text(kafka: &Kafka, webhook: &str) -> String {
    group::text(kafka, "idle_after = \"1h\"\nno_data = \"off\"", webhook) + "snapshot_every = \"1s\"\n"
}

fn deployment(kafka: &Kafka, webhook: &str) -> Deployment {
    Deployment::new(&text(kafka, webhook))
}

/// How many revisions there are to be told.
fn break_down(kafka: &Kafka) -> usize {
    let rows = rows();
    send(&kafka.producer(), &rows, &AtomicUsize::new(usize::MAX));
    until_committed(kafka, rows.len(), |_| {});
    let all = group::told(kafka);
    let fires = |(decision, _): &(Value, usize)| decision["state"] != "resolved";
    assert!(all.len() >= BROKEN && all.values().all(fires), "{all:?}");
    all.len()
}

fn ask(eddy: &Eddy, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let answer =
        http::request(eddy.page, method, path, &headers, body.to_string().as_bytes()).expect("an answer");
    (answer.status, answer.json())
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64
}

fn draft(matcher: &str) -> Value {
    let ends_at = now_ns() + 7_200 * plant::SECOND_NS;
    json!({"matchers": [matcher], "ends_at": ends_at.to_string(), "author": "ann", "comment": "belt"})
}

/// The id, once the member that was told knows it.
fn silence(eddy: &Eddy, matcher: &str) -> String {
    let (status, said) = ask(eddy, "POST", "/api/v1/silences", &draft(matcher));
    // Asked at once: whoever was answered finds what it said.
    let known = silences(eddy);
    assert_eq!(status, 200, "{said}; it said:\n{}", eddy.said());
    let id = said["id"].as_str().expect("an id").to_owned();
    assert_eq!(known.get(&id).map(String::as_str), Some("active"), "{known:?}");
    id
}

/// State of each, by id.
fn silences(eddy: &Eddy) -> BTreeMap<String, String> {
    let all = eddy.get("/api/v1/silences")["silences"].take();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    all.as_array().expect("a list").iter().map(|one| (text(&one["id"]), text(&one["state"]))).collect()
}

fn until_known(eddy: &mut Eddy, id: &str, state: &str) {
    eddy.until("it knows the silence", |eddy| {
        silences(eddy).get(id).is_some_and(|known| known == state).then_some(())
    });
}

fn held(eddies: &[&Eddy]) -> usize {
    eddies.iter().map(|eddy| eddy.metric("eddy_sink_silenced{sink=\"on_call\"}") as usize).sum()
}

fn until_held(eddies: &[&Eddy], count: usize) {
    let began = Instant::now();
    while held(eddies) != count {
        assert!(began.elapsed() < e2e::WAIT_MAX, "{} of {count} are held back", held(eddies));
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often a receiver was told of what.
fn told(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    receiver.received().iter().for_each(|request| *told.entry(request.id().to_owned()).or_default() += 1);
    told
}
