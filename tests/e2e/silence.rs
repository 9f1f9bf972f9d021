//! A device dies and comes back, at a real receiver, with a `kill -9` in between.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect::up_to_now;
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant::{Row, SECOND_NS};
use crate::{e2e, plant};
use eddy::types::{PartitionId, key_hash};
use serde_json::Value;

/// What is said of idle partitions in the control log.
const IDLE: &[u8] = b"{\"idle\":";

/// After so long without a row a partition may have an entry, s.
const IDLE_AFTER_S: u64 = 1;

/// A row may take so long until it is heard.
const HEARD_MAX: Duration = Duration::from_millis(500);

fn post(address: SocketAddr, rows: &[Row]) {
    let body = plant::ndjson(rows);
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(address, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
    assert_eq!(answer.json()["accepted"], rows.len(), "{}", answer.text());
}

/// Type and data of everything about silences of this key. On a machine that stands still for seconds the other has one too.
fn told(receiver: &Receiver, key: &str) -> Vec<(String, Value)> {
    let bodies = receiver.received().into_iter().map(|request| e2e::json(&request.body));
    let of_silence = bodies.filter(|body| body["data"]["rule"] == "no_data" && body["data"]["key"] == key);
    of_silence.map(|body| (body["type"].as_str().expect("a type").to_owned(), body["data"].clone())).collect()
}

fn entries(deployment: &Deployment) -> usize {
    let folder = std::fs::read_dir(deployment.data().join("control")).expect("a control log");
    let bytes: Vec<u8> =
        folder.flat_map(|file| std::fs::read(file.expect("a file").path()).expect("it reads")).collect();
    bytes.windows(IDLE.len()).filter(|window| *window == IDLE).count()
}

fn silent(eddy: &Eddy) -> u64 {
    eddy.metric("eddy_stream_keys_silent{stream=\"pumps\"}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_is_told_of_once_and_so_is_its_return_over_a_kill() {
    let partition = |key: &str| PartitionId::of(key_hash(key.as_bytes()));
    let names = (0..).map(|n| format!("pump-{n}"));
    let (dead, alive) =
        ("pump-0".to_owned(), names.skip(1).find(|key| partition(key) != partition("pump-0")));
    let alive = alive.expect("most of them");
    let receiver = Receiver::start([]).await;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let text = config(
        &source,
        "[\"line\"]",
        &format!("idle_after = \"{IDLE_AFTER_S}s\"\nno_data = \"4s\""),
        &receiver.url,
    );
    // As many cells as the model has, and windows that have all closed before the silence is told of.
    let text = text.replace(
        r#"size = "16s", every = "2s", grid = "1s", lateness = "32s""#,
        r#"size = "1600ms", every = "200ms", grid = "100ms", lateness = "1s""#,
    );
    assert!(text.contains("1600ms"), "{text}");
    let deployment = Deployment::new(&text);
    let mut eddy: Eddy = deployment.start();
    post(address, &[up_to_now(&dead, 30), up_to_now(&alive, 30)].concat());
    // Only the wall clock can say that nothing comes: the other key is elsewhere and goes on.
    let fed = Cell::new(Instant::now());
    // How many entries may have been written of the other meanwhile: on a slow machine it is silent over a start, or between
    // two rows, for longer than `idle_after`.
    let feed = || {
        post(address, &up_to_now(&alive, 1));
        (fed.replace(Instant::now()).elapsed() + HEARD_MAX).as_secs() / IDLE_AFTER_S
    };
    eddy.until("the silence is told of", |_| {
        feed();
        std::thread::sleep(Duration::from_millis(300));
        (!told(&receiver, &dead).is_empty()).then_some(())
    });
    let (kind, raised) = told(&receiver, &dead).remove(0);
    assert_eq!(
        (kind.as_str(), &raised["key"], &raised["revision"]),
        ("no_data.raised", &dead.as_str().into(), &1.into())
    );
    assert_eq!(raised["expected_every_ns"], 4 * SECOND_NS);
    assert_eq!(raised["due"].as_i64(), raised["last_seen"].as_i64().map(|seen| seen + 4 * SECOND_NS));
    assert!(["p_value", "columns", "window_end"].iter().all(|of_window| raised.get(of_window).is_none()));
    let wrote = entries(&deployment);
    assert!(wrote > 0);
    eddy.kill();

    let mut eddy = deployment.start();
    eddy.until("it is known again", |eddy| (silent(eddy) >= 1).then_some(()));
    // Long enough for several entries, were any written that change nothing.
    let mut of_the_other = 0;
    for _ in 0..15 {
        of_the_other += feed();
        std::thread::sleep(Duration::from_millis(300));
    }
    let more = (entries(&deployment) - wrote) as u64;
    assert!(more <= of_the_other, "{more} entries: the dead key has nothing left that time could change");
    let page = http::get(eddy.page, "/").expect("the page").text();
    assert!(page.contains("no data since") && page.contains("expected every"), "{page}");
    assert_eq!(told(&receiver, &dead).len(), 1, "once, over a restart too");

    post(address, &up_to_now(&dead, 1));
    eddy.until("its return is told of", |_| {
        post(address, &[up_to_now(&alive, 1), up_to_now(&dead, 1)].concat());
        std::thread::sleep(Duration::from_millis(300));
        (told(&receiver, &dead).len() > 1).then_some(())
    });
    let told = told(&receiver, &dead);
    let (kind, resolved) = &told[1];
    assert_eq!((told.len(), kind.as_str(), &resolved["revision"]), (2, "no_data.resolved", &2.into()));
    assert_eq!((&resolved["id"], &resolved["last_seen"]), (&raised["id"], &raised["last_seen"]));
    assert!(resolved["resumed"].as_i64() > raised["due"].as_i64(), "{resolved}");
    eddy.until("nobody is silent", |eddy| {
        post(address, &[up_to_now(&alive, 1), up_to_now(&dead, 1)].concat());
        (silent(eddy) == 0).then_some(())
    });
    let is_of_dead = |decision: &Value| decision["rule"] == "no_data" && decision["key"] == dead.as_str();
    let stored = eddy.alerts();
    assert_eq!(stored.iter().filter(|row| is_of_dead(&row["alert"]["decision"])).count(), 2);
}
