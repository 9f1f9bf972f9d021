//! What people say of alerts, by the command line and over HTTP: silences, acknowledgements, deliveries that are tried
//! again. All of it outlives `kill -9`, and none of it changes what is decided.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::{Behaviour, Receiver};
use crate::plant;
use serde_json::{Value, json};

const SECONDS: i64 = 120;
/// From here on the first pumps are broken, to the end.
const BROKEN: std::ops::Range<i64> = 60..SECONDS;

pub struct Plant {
    pub deployment: Deployment,
    rows: Vec<plant::Row>,
    http: SocketAddr,
}

impl Plant {
    pub fn new(receiver: &Receiver) -> Self {
        let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let page: SocketAddr = ([127, 0, 0, 1], free_port()).into();
        let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
        let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url);
        let text = text.replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{page}\""));
        let mut rows = plant::rows(6, SECONDS, 11, 0..0);
        (0..2).for_each(|key| expect::break_pump(&mut rows, key, BROKEN));
        Plant { deployment: Deployment::new(&text), rows, http }
    }

    pub fn post(&self) {
        let headers = [("Content-Type", "application/x-ndjson")];
        let body = plant::ndjson(&self.rows);
        let answer =
            http::request(self.http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
        assert_eq!(answer.json()["accepted"], self.rows.len(), "{}", answer.text());
    }

    /// `eddy WORDS…`; what it printed. It must succeed, or fail as `fails` says.
    pub fn eddy(&self, words: &[&str], fails: bool) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_eddy"))
            .current_dir(self.deployment.folder.path())
            .env_remove("RUST_LOG")
            .args(words)
            .output()
            .expect("it runs");
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(!output.status.success(), fails, "eddy {}: {said}", words.join(" "));
        said
    }
}

/// Newest revision and state of each alert's delivery, by key.
fn firing(eddy: &Eddy) -> Vec<(String, String, String)> {
    let mut rows: Vec<_> = eddy
        .alerts()
        .iter()
        .filter(|row| row["alert"]["decision"]["state"] == "raised")
        .map(|row| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let decision = &row["alert"]["decision"];
            (text(&decision["key"]), text(&decision["id"]), text(&row["deliveries"][0]["state"]))
        })
        .collect();
    rows.sort();
    rows
}

fn states(eddy: &Eddy) -> Vec<(String, String)> {
    firing(eddy).into_iter().map(|(key, _, state)| (key, state)).collect()
}

fn of(states: [(&str, &str); 2]) -> Vec<(String, String)> {
    states.map(|(key, state)| (key.to_owned(), state.to_owned())).into()
}

pub fn send(eddy: &Eddy, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let answer =
        http::request(eddy.page, method, path, &headers, body.to_string().as_bytes()).expect("an answer");
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_keeps_what_fires_from_being_sent_until_it_ends_even_over_a_kill() {
    let receiver = Receiver::start([]).await;
    let plant = Plant::new(&receiver);
    // Said before anything runs, and of one pump.
    let eddy = plant.deployment.start();
    eddy.stop();
    let said = plant.eddy(
        &[
            "silence",
            "add",
            "eddy.toml",
            "--matcher",
            "key=pump-0",
            "--for",
            "2h",
            "--author",
            "ann",
            "--comment",
            "bearing",
        ],
        false,
    );
    assert!(
        said.contains("it fits 0 alert(s) that fire now; how many keys is known once Eddy runs"),
        "{said}"
    );
    let id = said.split(' ').nth(1).expect("an id").to_owned();
    let slip = ["silence", "add", "eddy.toml", "--matcher", "stream=pump", "--for", "1s", "--author", "ann"];
    let said = plant.eddy(&slip, true);
    assert!(said.contains("names no stream of the config: it has pumps"), "{said}");
    let mut eddy = plant.deployment.start();
    plant.post();
    eddy.until("both fire, one is told", |eddy| {
        (states(eddy) == of([("pump-0", "silenced"), ("pump-1", "delivered")])).then_some(())
    });
    let told: Vec<String> = receiver.received().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    eddy.until("it is counted", |eddy| {
        (eddy.metric("eddy_sink_silenced{sink=\"on_call\"}") == 1).then_some(())
    });
    assert_eq!(eddy.metric("eddy_sink_queued{sink=\"on_call\"}"), 0);
    eddy.until("it is shown, and why", |eddy| {
        let page = http::get(eddy.page, "/").ok()?.text();
        (page.contains("firing, silenced") && page.contains("key=&#34;pump-0&#34;")).then_some(())
    });

    let decided = firing(&eddy).into_iter().map(|(_, id, _)| id).collect::<Vec<_>>();
    eddy.kill();
    let mut eddy = plant.deployment.start();
    eddy.until("it is as before", |eddy| {
        (states(eddy) == of([("pump-0", "silenced"), ("pump-1", "delivered")])).then_some(())
    });
    assert_eq!(receiver.received().len(), 1, "the kill told nobody");
    let noted = eddy.get("/api/v1/audit")["rows"][0].take();
    let what = format!("eddy silence add: {id}: key=\"pump-0\"");
    assert_eq!((&noted["who"], &noted["what"]), (&"command line".into(), &what.into()));
    let listed = plant.eddy(&["silence", "list", "eddy.toml"], false);
    assert!(listed.contains(&id) && listed.contains("active") && listed.contains("ann: bearing"), "{listed}");

    plant.eddy(&["silence", "expire", "eddy.toml", &id], false);
    eddy.until("it is told", |eddy| {
        (states(eddy) == of([("pump-0", "delivered"), ("pump-1", "delivered")])).then_some(())
    });
    assert_eq!(eddy.get("/api/v1/silences")["silences"][0]["state"], "expired");
    assert_eq!(
        firing(&eddy).into_iter().map(|(_, id, _)| id).collect::<Vec<_>>(),
        decided,
        "no id has changed"
    );
    let said = plant.eddy(&["silence", "expire", "eddy.toml", "nonsense"], true);
    assert!(said.contains("there is no silence nonsense") && !said.contains("may have been done"), "{said}");
    let said = plant.eddy(&slip, true);
    assert!(said.contains("names no stream of the config; it has pumps"), "{said}");
    assert!(!said.contains("may have been done"), "{said}");
    let add = |key: &str| {
        let matcher = format!("key={key}");
        plant.eddy(
            &["silence", "add", "eddy.toml", "--matcher", &matcher, "--for", "1s", "--author", "ann"],
            false,
        )
    };
    let said = add("pump-1");
    assert!(said.contains("it fits 1 alert(s) that fire now, and 1 known key(s)"), "{said}");
    let said = add("pump-77");
    assert!(said.contains("it fits no alert that fires now and no known key"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_stays_so_and_its_end_is_told() {
    let receiver = Receiver::start([]).await;
    let mut plant = Plant::new(&receiver);
    let mut eddy = plant.deployment.start();
    plant.post();
    eddy.until("both are told", |eddy| {
        (states(eddy) == of([("pump-0", "delivered"), ("pump-1", "delivered")])).then_some(())
    });
    let id = firing(&eddy)[0].1.clone();
    let path = format!("/api/v1/alerts/{id}/acknowledge");
    let (status, said) = send(&eddy, "POST", &path, &json!({"author": "", "comment": "seen"}));
    assert_eq!((status, said["detail"].as_str()), (400, Some("author is empty")));
    let (status, _) = send(&eddy, "POST", "/api/v1/alerts/none/acknowledge", &json!({"author": "ann"}));
    assert_eq!(status, 404);
    plant.eddy(
        &["alert", "acknowledge", "eddy.toml", &id, "--author", "ann", "--comment", "on my way"],
        false,
    );
    eddy.kill();
    let mut eddy = plant.deployment.start();
    let seen = eddy.get(&format!("/api/v1/alerts/{id}"))["rows"][0]["acknowledged"].clone();
    assert_eq!((&seen["author"], &seen["comment"]), (&"ann".into(), &"on my way".into()));
    eddy.until("the page says so", |eddy| {
        http::get(eddy.page, "/").ok()?.text().contains("acknowledged").then_some(())
    });
    let before = receiver.received().len();
    plant.rows = plant::rows(6, 2 * SECONDS, 11, 0..0).split_off(plant.rows.len());
    plant.post();
    eddy.until("the end of it is told", |eddy| {
        let rows = eddy.get(&format!("/api/v1/alerts/{id}"));
        let last = rows["rows"].as_array()?.last()?.clone();
        (last["alert"]["decision"]["state"] == "resolved" && last["deliveries"][0]["state"] == "delivered")
            .then_some(())
    });
    assert!(receiver.received().len() > before);
    let (status, said) = send(&eddy, "POST", &path, &json!({"author": "bob"}));
    assert_eq!(status, 409, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_listed_with_its_reason_and_told_when_asked_for() {
    let (receiver, is_back) = Receiver::refusing(Behaviour::Status(410)).await;
    let plant = Plant::new(&receiver);
    let mut eddy = plant.deployment.start();
    plant.post();
    eddy.until("both are given up", |eddy| {
        (states(eddy) == of([("pump-0", "failed"), ("pump-1", "failed")])).then_some(())
    });
    let failed = eddy.get("/api/v1/deliveries/failed");
    let first = &failed["rows"][0];
    assert!(first["reason"].as_str().is_some_and(|reason| reason.contains("410")), "{failed}");
    let listed = plant.eddy(&["delivery", "failed", "eddy.toml"], false);
    assert!(listed.lines().filter(|line| line.contains("410")).count() >= 2, "{listed}");
    let onset_ns = first["onset_ns"].as_i64().expect("a time");
    let onset = jiff::Timestamp::from_nanosecond(i128::from(onset_ns)).expect("a time");
    let alert_of = format!("pumps/{} since {onset}  ", first["key"].as_str().expect("a key"));
    assert!(listed.contains(&alert_of), "{alert_of} in {listed}");
    let alert = eddy.get(&format!("/api/v1/alerts/{}", first["id"].as_str().expect("an id")));
    assert_eq!(alert["rows"][0]["alert"]["decision"]["onset"], onset_ns, "{alert}");
    eddy.until("the page lists them", |eddy| {
        http::get(eddy.page, "/").ok()?.text().contains("Deliveries given up").then_some(())
    });
    is_back.store(true, SeqCst);
    let one = json!({"id": first["id"], "revision": first["revision"], "receiver": first["receiver"]});
    let without =
        http::request(eddy.page, "POST", "/api/v1/deliveries/replay", &[], one.to_string().as_bytes());
    assert_eq!(without.expect("an answer").status, 415, "a form of somebody else's page could send this");
    assert_eq!(
        send(&eddy, "POST", "/api/v1/deliveries/replay", &one),
        (200, json!({"replayed": 1, "superseded": 0}))
    );
    eddy.until("it is told", |_| (receiver.accepted().len() == 1).then_some(()));
    assert_eq!(send(&eddy, "POST", "/api/v1/deliveries/replay", &one).0, 404, "it is not failed any more");
    plant.eddy(&["delivery", "replay", "eddy.toml", "--all"], false);
    eddy.until("all are told", |eddy| {
        (states(eddy) == of([("pump-0", "delivered"), ("pump-1", "delivered")])).then_some(())
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    eddy.stop();
    let none = plant.eddy(&["delivery", "replay", "eddy.toml", "--all"], true);
    assert!(none.contains("no such delivery has failed"), "{none}");
}
