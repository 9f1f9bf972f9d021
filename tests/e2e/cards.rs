//! Card payments on the release binary: charge-backs posted days later warn of the terminal, whoever pays there next; and
//! so they do after a kill.

use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, Eddy};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::{e2e, plant};
use serde_json::{Value, json};

const START_MS: i64 = plant::START_NS / 1_000_000;
const HOUR_MS: i64 = 3_600_000;
const CARDS: i64 = 24;
const TERMINALS: i64 = 9;
const BAD: i64 = 4;

fn config(listen: SocketAddr, webhook: &str) -> String {
    format!(
        r#"deployment = "test"
shards = 2
[source.shop]
type = "http"
listen = "{listen}"
[stream.cards]
from = "shop"
key = "card"
time = {{ path = "time", unit = "ms" }}
columns.amount = "amount"
columns.terminal = {{ path = "terminal", aggregate = "risk" }}
outcome = "fraud"
window = {{ type = "sliding", size = "1h", lateness = "10s" }}
model = {{ type = "transactions", amount = "amount" }}
p_value = 0.005
no_data = "off"
idle_after = "off"
[sink.on_call]
type = "webhook"
url = "{webhook}"
secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
[dashboard]
listen = "127.0.0.1:0"
[durable]
path = "data"
segment = "1MB"
snapshot_every = "1h"
"#
    )
}

fn payment(card: i64, terminal: i64, time_ms: i64) -> Value {
    json!({"card": format!("c-{card}"), "terminal": format!("t-{terminal}"), "time": time_ms, "amount": 20.0})
}

fn post(http: SocketAddr, rows: &[Value]) -> Value {
    let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer =
        http::request(http, "POST", "/v1/events/cards", &headers, body.as_bytes()).expect("an answer");
    answer.json()
}

fn cards(metric: &str) -> String {
    format!("eddy_stream_{metric}{{stream=\"cards\"}}")
}

/// Payments of every card in each of some minutes from `hour` on, so that every partition ends an epoch.
fn minutes(hour: i64, minutes: i64) -> Vec<Value> {
    let at = |minute, card| payment(card, 0, START_MS + hour * HOUR_MS + minute * 90_000 + card);
    (0..minutes).flat_map(|minute| (0..CARDS).map(move |card| at(minute, card))).collect()
}

fn taken(eddy: &mut Eddy, events: usize) {
    eddy.until("all is taken", |eddy| (eddy.metric(&cards("events_total")) == events as u64).then_some(()));
}

/// Of the alerts raised so far, the card and the column of the largest share.
fn raised(receiver: &Receiver) -> Vec<(String, String)> {
    let bodies = receiver.received().into_iter().map(|received| e2e::json(&received.body));
    let mut found: Vec<_> = bodies
        .filter(|body| body["type"] == "anomaly.raised")
        .map(|body| {
            let columns = body["data"]["columns"].as_array().expect("columns").clone();
            let share = |column: &Value| column["share"].as_f64().expect("a share");
            let top = columns.into_iter().max_by(|a, b| share(a).total_cmp(&share(b))).expect("a column");
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            (text(&body["data"]["key"]), text(&top["column"]))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charge_backs_warn_of_the_terminal_and_are_not_forgotten_by_a_kill() {
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let deployment = Deployment { folder: tempfile::TempDir::new().expect("a temporary folder") };
    deployment.configure(&config(http, &receiver.url));
    // No card comes to a terminal twice, and the last one never to the bad one.
    let at = |hour: i64| {
        (0..CARDS).map(move |card| payment(card, (card + hour) % TERMINALS, START_MS + hour * HOUR_MS + card))
    };
    let last = CARDS - 1;
    let payments: Vec<Value> = (0..8)
        .flat_map(at)
        .filter(|row| row["card"] != format!("c-{last}") || row["terminal"] != format!("t-{BAD}"))
        .collect();
    let mut eddy = deployment.start();
    let mut events = payments.len();
    post(http, &payments);
    let bad = payments.iter().filter(|row| row["terminal"] == format!("t-{BAD}"));
    let charge_backs: Vec<Value> = bad
        .map(|row| {
            let mut row = row.clone();
            row["fraud"] = true.into();
            row
        })
        .collect();
    let answer = post(
        http,
        &[&charge_backs[..], &[json!({"card": "c-1", "time": START_MS, "amount": 1.0, "fraud": "perhaps"})]]
            .concat(),
    );
    assert_eq!(
        (&answer["accepted"], answer["rejected"].as_array().map(Vec::len)),
        (&charge_backs.len().into(), Some(1)),
        "{answer}"
    );
    let rows = minutes(24, 3);
    events += rows.len();
    post(http, &rows);
    let at_risk = cards("second_keys_at_risk");
    eddy.until("the entry", |eddy| (eddy.metric(&at_risk) == 1).then_some(()));
    assert_eq!(eddy.metric(&cards("outcomes_total")), charge_backs.len() as u64);
    assert_eq!(eddy.metric(&cards("late_total")), 0, "charge-backs are never late");
    let rows = minutes(25, 3);
    events += rows.len();
    post(http, &rows);
    events += 1;
    post(http, &[payment(last, BAD, START_MS + 26 * HOUR_MS)]);
    taken(&mut eddy, events);
    let first = (format!("c-{last}"), "terminal".to_owned());
    eddy.until("the alert", |_| raised(&receiver).contains(&first).then_some(()));
    assert_eq!(raised(&receiver), std::slice::from_ref(&first));
    // What was said of it becomes final.
    let rows = minutes(27, 2);
    events += rows.len();
    post(http, &rows);
    taken(&mut eddy, events);
    let before = eddy.partitions();
    eddy.kill();

    let mut eddy = deployment.start();
    taken(&mut eddy, events);
    assert_eq!(eddy.partitions(), before, "decided otherwise");
    eddy.until("what is written down", |eddy| (eddy.metric(&at_risk) == 1).then_some(()));
    post(http, &[payment(2, BAD, START_MS + 28 * HOUR_MS)]);
    let second = ("c-2".to_owned(), "terminal".to_owned());
    eddy.until("the alert", |_| raised(&receiver).contains(&second).then_some(()));
    assert_eq!(raised(&receiver), [second, first]);
}
