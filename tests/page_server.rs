//! The page in a real browser: one server for each scene, driven by `tests/dashboard/page.mjs`.
//!
//! Needs node, Chromium and the packages of `tests/dashboard/package.json`; `scripts/setup` brings them.

#[path = "dashboard/fixture.rs"]
mod fixture;

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use eddy::dashboard::{AppState, Parts, sample_each_second, serve};
use eddy::types::StreamId;
use fixture::{S, Scene, key, parts, point};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const SCENES: [(&str, Scene); 7] = [
    ("trouble", Scene::Trouble),
    ("calm", Scene::Calm),
    ("warming", Scene::Warming),
    ("empty", Scene::Empty),
    ("recovering", Scene::Recovering),
    ("hostile", Scene::Hostile),
    ("crowd", Scene::Crowd),
];

/// A scene that goes on: events are counted and windows end, as if the plant were running.
async fn go_on(status: Arc<eddy::status::Status>, history: Arc<eddy::dashboard::History>, from_ns: i64) {
    for i in 0.. {
        tokio::time::sleep(Duration::from_millis(250)).await;
        for p in 0..24 {
            status.partition(StreamId(0), p).events_total.fetch_add(105, Relaxed);
        }
        status.log_messages_total.fetch_add(2_520, Relaxed);
        if i % 4 == 3 {
            let n = i / 4;
            let windows =
                (1..=24).map(|pump| point(&key(Scene::Trouble, pump), from_ns + n * S, 900 + n, pump == 17));
            history.add(windows.collect());
        }
    }
}

/// Starts a scene's server; returns its address and what stops it.
async fn start(scene: Scene) -> (String, CancellationToken) {
    let now_ns = eddy::latency::Clock::start().now_ns();
    let mut parts: Parts = parts(scene, now_ns);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
    let address = listener.local_addr().expect("a bound address");
    let mut plan = (*parts.plan).clone();
    plan.dashboard.listen = address;
    parts.plan = Arc::new(plan);
    if matches!(scene, Scene::Trouble | Scene::Crowd) {
        tokio::spawn(go_on(parts.status.clone(), parts.history.clone(), now_ns));
    }
    let shutdown = parts.shutdown.clone();
    let state = tokio::task::spawn_blocking(move || AppState::new(parts)).await.expect("a first snapshot");
    tokio::spawn(sample_each_second(state.clone()));
    tokio::spawn(serve(listener, state));
    (format!("http://{address}"), shutdown)
}

fn need(path: &str) {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: run scripts/setup, which installs what the page test needs"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_in_a_browser() {
    let root = env!("CARGO_MANIFEST_DIR");
    let chromium = std::env::var("EDDY_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    need(&chromium);
    need(&format!("{root}/tests/dashboard/node_modules/playwright-core"));
    need(&format!("{root}/tests/dashboard/node_modules/axe-core"));
    let mut addresses = HashMap::new();
    let mut stops = HashMap::new();
    for (name, scene) in SCENES {
        let (address, stop) = start(scene).await;
        addresses.insert(name, address);
        stops.insert(name, stop);
    }
    let mut node = std::process::Command::new("node")
        .arg("page.mjs")
        .arg(serde_json::to_string(&addresses).expect("a map of texts"))
        .arg(format!("{root}/target/screenshots"))
        .arg(chromium)
        .current_dir(format!("{root}/tests/dashboard"))
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is missing: run scripts/setup, which installs what the page test needs");
    let output = node.stdout.take().expect("a pipe was asked for");
    let status = tokio::task::spawn_blocking(move || {
        use std::io::BufRead;
        for line in std::io::BufReader::new(output).lines().map_while(Result::ok) {
            println!("{line}");
            // The script decides when a server goes away.
            if let Some(stop) = line.strip_prefix("stop ").and_then(|name| stops.get(name)) {
                stop.cancel();
            }
        }
        node.wait()
    });
    let status = status.await.expect("the reading thread").expect("node's exit status");
    assert!(status.success(), "the browser found faults: read the lines starting with FAULT above");
}
