//! Bad messages of many kinds in between good ones, over MQTT and HTTP, at the release binary: every good
//! one counts, every bad one is set aside with its bytes, position and reason, and no client is left
//! without an answer that says what to do.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, config, mqtt_source};
use crate::e2e::http::{self, Response};
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::publisher::Publisher;
use crate::plant::{Row, SECOND_NS, START_NS};
use crate::{e2e, plant};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eddy::types::Message;
use serde_json::Value;

const TOKEN: &str = "Bearer let-me-in";
const NDJSON: &str = "application/x-ndjson";
const TOPIC: &str = "plant/pumps";

struct Bad {
    name: &'static str,
    topic: &'static str,
    payload: Vec<u8>,
    reason: &'static str,
}

fn row(fields: &str) -> Vec<u8> {
    format!("{{{fields}}}").into_bytes()
}

/// One message each. Times are those of the good rows' first second, unless the time is what is bad.
fn kinds() -> Vec<Bad> {
    let ts = START_NS / 1_000_000;
    let ahead = jiff::Timestamp::now().as_millisecond() + 2 * 3_600_000;
    let long_key = "k".repeat(256);
    let deep = "[".repeat(1500);
    let bad = |name, reason, payload| Bad { name, topic: TOPIC, payload, reason };
    vec![
        bad("truncated", "malformed", format!("{{\"pump\":\"pump-0\",\"ts\":{ts},\"fl").into_bytes()),
        bad("not JSON", "malformed", b"flow=20.5".to_vec()),
        bad("empty", "malformed", Vec::new()),
        bad("not UTF-8", "malformed", b"{\"pump\":\"\xff\"}".to_vec()),
        bad("nested too deeply", "malformed", row(&format!("\"pump\":\"pump-0\",\"x\":{deep}"))),
        bad("no key", "no_key", row(&format!("\"ts\":{ts},\"flow\":20"))),
        bad("empty key", "no_key", row(&format!("\"pump\":\"\",\"ts\":{ts},\"flow\":20"))),
        bad("key too long", "too_large", row(&format!("\"pump\":\"{long_key}\",\"ts\":{ts},\"flow\":20"))),
        bad("no time", "bad_time", row("\"pump\":\"pump-0\",\"flow\":20")),
        bad("time in µs", "bad_time", row(&format!("\"pump\":\"pump-0\",\"ts\":{ts}000,\"flow\":20"))),
        bad("value is a text", "bad_value", row(&format!("\"pump\":\"pump-0\",\"ts\":{ts},\"flow\":\"20\""))),
        bad("value is NaN", "bad_value", row(&format!("\"pump\":\"pump-0\",\"ts\":{ts},\"flow\":NaN"))),
        bad("value beyond f32", "bad_value", row(&format!("\"pump\":\"pump-0\",\"ts\":{ts},\"flow\":1e39"))),
        bad("no column", "no_columns", row(&format!("\"pump\":\"pump-0\",\"ts\":{ts},\"state\":1"))),
        bad("clock ahead", "future", row(&format!("\"pump\":\"pump-0\",\"ts\":{ahead},\"flow\":20"))),
    ]
}

/// Kinds that only the whole pipeline can tell.
fn kinds_of_mqtt() -> Vec<Bad> {
    let early = (START_NS - 1000 * SECOND_NS) / 1_000_000;
    let late = row(&format!("\"pump\":\"pump-0\",\"ts\":{early},\"flow\":20"));
    let nobody = row(&format!("\"pump\":\"pump-0\",\"ts\":{early},\"flow\":21"));
    vec![
        Bad { name: "too late", topic: TOPIC, payload: late, reason: "late" },
        Bad { name: "nobody's topic", topic: "plant/fans", payload: nobody, reason: "no_stream" },
    ]
}

fn deployment(broker: &Mosquitto, http: SocketAddr) -> Deployment {
    let line = format!(
        "[source.line]\ntype = \"http\"\nlisten = \"{http}\"\ntoken = \"let-me-in\"\nmax_body = \"4kB\""
    );
    let sources = format!("{}\n{line}", mqtt_source(broker.port));
    let stream = format!("max_future = \"1h\"\ntopics = \"{TOPIC}\"");
    Deployment::new(&config(&sources, "[\"plant\", \"line\"]", &stream, "http://127.0.0.1:1/none"))
}

fn post(http: SocketAddr, body: &[u8]) -> Response {
    let headers = [("Content-Type", NDJSON), ("Authorization", TOKEN)];
    http::request(http, "POST", "/v1/events/pumps", &headers, body).expect("an answer")
}

/// Says what is wrong and what to do.
fn is_told(answer: &Response, status: u16, what: &str) -> Value {
    let body = answer.json();
    assert_eq!(answer.status, status, "{what}: {body}");
    for field in ["error", "remedy"] {
        assert!(body[field].as_str().is_some_and(|text| text.len() > 5), "{what}: no {field} in {body}");
    }
    body
}

#[test]
fn bad_messages_are_set_aside_and_the_good_ones_around_them_all_count() {
    let broker = Mosquitto::start();
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let deployment = deployment(&broker, http);
    let mut eddy = deployment.start();
    let good = plant::rows(4, 60, 5, 0..0);
    let (over_mqtt, over_http) = good.split_at(good.len() / 2);
    let (bad, of_mqtt) = (kinds(), kinds_of_mqtt());

    let mut expected: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut publisher = Publisher::connect(broker.port);
    let mut all_bad = bad.iter().chain(&of_mqtt);
    for rows in over_mqtt.chunks(4) {
        rows.iter().for_each(|row| publisher.publish(TOPIC, &row.message().payload));
        if let Some(bad) = all_bad.next() {
            publisher.publish(bad.topic, &bad.payload);
            *expected.entry(bad.reason).or_default() += 1;
        }
    }
    assert!(all_bad.next().is_none(), "every kind was sent");
    publisher.settle();
    // In the log before the rows by HTTP: those would make the last ones late otherwise.
    eddy.until("the rows by MQTT", |eddy| (eddy.events() == over_mqtt.len() as u64).then_some(()));

    for (rows, bad) in over_http.chunks(over_http.len().div_ceil(bad.len())).zip(&bad) {
        refused_alone(http, bad);
        taken_with_good_rows(http, rows, bad, &mut expected);
    }

    eddy.until("all good rows", |eddy| (eddy.events() == good.len() as u64).then_some(()));
    let dead: u64 = expected.values().sum();
    eddy.until("all dead letters", |eddy| (counted(eddy).values().sum::<u64>() == dead).then_some(()));
    assert_eq!(counted(&eddy), expected.into_iter().map(|(r, n)| (r.to_owned(), n)).collect());
    assert!(eddy.stop().0.success());
    letters_hold_the_bytes(&deployment, bad.iter().chain(&of_mqtt));
}

/// `eddy_dead_letters_total` by reason, as far as not 0.
fn counted(eddy: &e2e::eddy::Eddy) -> BTreeMap<String, u64> {
    let reasons = eddy::types::Reason::ALL.map(|reason| reason.as_str().to_owned());
    let count = |reason: &String| eddy.metric(&format!("eddy_dead_letters_total{{reason=\"{reason}\"}}"));
    reasons.into_iter().map(|reason| (reason.clone(), count(&reason))).filter(|(_, n)| *n > 0).collect()
}

fn refused_alone(http: SocketAddr, bad: &Bad) {
    let body = is_told(&post(http, &bad.payload), 400, bad.name);
    assert_eq!(body["accepted"], 0, "{}: {body}", bad.name);
    assert_eq!(body["rejected"][0]["reason"], bad.reason, "{}: {body}", bad.name);
}

fn taken_with_good_rows(
    http: SocketAddr,
    rows: &[Row],
    bad: &Bad,
    expected: &mut BTreeMap<&'static str, u64>,
) {
    let lines: Vec<Message> = rows.iter().map(Row::message).collect();
    let mut body = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        body.extend_from_slice(&line.payload);
        body.push(b'\n');
        if i == 0 && !bad.payload.is_empty() {
            body.extend_from_slice(&bad.payload);
            body.push(b'\n');
        }
    }
    let answer = post(http, &body);
    let told = answer.json();
    assert_eq!(answer.status, 200, "{}: {told}", bad.name);
    assert_eq!(told["accepted"], rows.len(), "{}: {told}", bad.name);
    let rejected = told["rejected"].as_array().expect("a list");
    assert_eq!(rejected.len(), usize::from(!bad.payload.is_empty()), "{}: {told}", bad.name);
    for row in rejected {
        assert_eq!(
            (&row["row"], &row["reason"]),
            (&Value::from(1), &Value::from(bad.reason)),
            "{}",
            bad.name
        );
        *expected.entry(bad.reason).or_default() += 1;
    }
}

/// Each kind has a line with its own bytes and reason, at the position where the log holds them.
fn letters_hold_the_bytes<'a>(deployment: &Deployment, bad: impl Iterator<Item = &'a Bad>) {
    let (letters, log) = (deployment.dead_letters(), deployment.logged());
    let bytes = |letter: &Value| match (letter["payload"].as_str(), letter["payload_base64"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (_, Some(coded)) => Some(STANDARD.decode(coded).expect("base64")),
        _ => None,
    };
    let in_log = |letter: &Value, payload: &[u8]| {
        let at = letter["position"].as_u64().expect("a position") as usize;
        let held = &log[at].payload;
        payload.is_empty() && held.is_empty()
            || held.windows(payload.len().max(1)).any(|part| part == payload)
    };
    for bad in bad {
        let found = letters.iter().find(|letter| {
            // What came too late was decoded: its line holds the values, the log its bytes.
            let own = bytes(letter)
                .map_or(bad.reason == "late" && letter["values"].is_array(), |b| b == bad.payload);
            own && letter["reason"] == bad.reason
        });
        let letter = found.unwrap_or_else(|| panic!("no dead letter for {:?} in {letters:#?}", bad.name));
        assert!(in_log(letter, &bad.payload), "{}: not at the position of {letter}", bad.name);
        let detail = letter["detail"].as_str().expect("a detail");
        assert!(detail.contains("; "), "{}: no remedy in {detail:?}", bad.name);
    }
}

#[test]
fn every_refusal_by_http_says_what_is_wrong_and_what_to_do() {
    let broker = Mosquitto::start();
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let deployment = deployment(&broker, http);
    let mut eddy = deployment.start();
    let row = plant::rows(1, 1, 1, 0..0)[0].message().payload;
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        http::request(http, method, path, headers, body).expect("an answer")
    };
    let (json, auth) = (("Content-Type", "application/json"), ("Authorization", TOKEN));
    let events = "/v1/events/pumps";

    is_told(&ask("POST", events, &[json], &row), 401, "no token");
    is_told(&ask("POST", events, &[json, ("Authorization", "Bearer guess")], &row), 401, "wrong token");
    let unknown = is_told(&ask("POST", "/v1/events/fans", &[json, auth], &row), 404, "unknown stream");
    assert!(unknown["remedy"].as_str().unwrap().contains("pumps"), "{unknown}");
    is_told(&ask("POST", "/v2/events", &[json, auth], &row), 404, "unknown path");
    is_told(&ask("GET", events, &[auth], b""), 405, "GET");
    is_told(&ask("POST", events, &[json, auth], &b" ".repeat(4_500)), 413, "too large");
    is_told(&ask("POST", events, &[("Content-Type", "text/csv"), auth], &row), 415, "content type");
    is_told(&ask("POST", events, &[json, auth, ("Content-Encoding", "gzip")], &row), 415, "compressed");
    let once = ("Idempotency-Key", "once");
    assert_eq!(ask("POST", events, &[json, auth, once], &row).status, 200);
    let other = plant::rows(1, 2, 1, 0..0)[1].message().payload;
    is_told(&ask("POST", events, &[json, auth, once], &other), 422, "a key used again");
    is_told(&ask("POST", events, &[json, auth, ("Idempotency-Key", "")], &row), 400, "an empty key");
    is_told(&ask("POST", events, &[json, auth], b"{}"), 400, "no good row");

    assert_eq!(eddy.metric("eddy_log_messages_total"), 1, "nothing that was refused is in the log");
    let note = eddy.until("a note of what was refused", |eddy| {
        let status = eddy.get("/api/v1/status");
        assert!(
            !status["problems"].to_string().contains("refused"),
            "a stranger's mistake is none of the box"
        );
        let notes = status["notes"].as_array().expect("notes").clone();
        notes
            .into_iter()
            .find(|note| note["what"].as_str().is_some_and(|what| what.contains("refused requests")))
    });
    let why = note["remedy"].as_str().expect("a text");
    assert!(why.contains("`pump`"), "the last one, by its reason: {why}");
}
