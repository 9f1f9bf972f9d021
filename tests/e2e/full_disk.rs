//! The release binary on a small disk of its own that really fills: nothing is acknowledged while it is
//! full, what was acknowledged is decided and told, and it goes on by itself when there is room.

use std::fs;
use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, config, mqtt_source};
use crate::e2e::expect::{self, by_the_engine};
use crate::e2e::http;
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::publisher::Publisher;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row};
use crate::small_disk::SmallDisk;

const KEYS: usize = 24;
/// Rows are posted and published by this many seconds of all pumps.
const STEP: usize = 10 * KEYS;

fn post(http: SocketAddr, rows: &[Row]) -> http::Response {
    let body = plant::ndjson(rows);
    let headers = [("Content-Type", "application/x-ndjson")];
    http::request(http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_loses_nothing_acknowledged_and_changes_no_decision() {
    let receiver = Receiver::start([]).await;
    let broker = Mosquitto::start();
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let line = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"\n{}", mqtt_source(broker.port));
    let stream = "max_future = \"none\"";
    let deployment = Deployment::new(&config(&line, "[\"line\", \"plant\"]", stream, &receiver.url));
    let Some(disk) = SmallDisk::mount(&deployment.data(), "size=24m") else { return };
    let mut eddy = deployment.start();
    let ballast = deployment.data().join("ballast");
    let reserve = fs::metadata(&ballast).expect("a ballast").len();
    assert!(reserve > 0, "a reserve is held");

    let mut rows = plant::rows(KEYS, 300, 23, 0..0);
    for key in 0..16 {
        expect::break_pump(&mut rows, key, 20 + 12 * key as i64..90 + 12 * key as i64);
    }
    let closers = expect::closers(&rows, KEYS);
    let expected = by_the_engine(&[&rows[..], &closers].concat());
    assert!(expected.decisions.len() >= 20, "{} alerts are too few", expected.decisions.len());

    let steps: Vec<&[Row]> = rows.chunks(STEP).collect();
    steps[..14].iter().for_each(|step| assert_eq!(post(http, step).status, 200));
    // Alerts of the last steps are still to be stored.
    disk.fill();
    assert_eq!(post(http, steps[14]).status, 503);
    assert_eq!(eddy.metric("eddy_log_safe"), 0);
    assert!(!ballast.exists(), "the reserve was given up");
    assert_eq!(post(http, steps[14]).status, 503, "nothing new is taken into what the reserve left");
    let mut publisher = Publisher::connect(broker.port);
    steps[15].iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
    publisher.settle();
    let sent = "eddy_source_messages_total{source=\"plant\"}";
    eddy.until("MQTT messages arrive", |eddy| (eddy.metric(sent) > 0).then_some(()));
    assert_eq!(eddy.metric("eddy_source_acked_total{source=\"plant\"}"), 0);
    // The page looks once a second.
    eddy.until("the page says what to do", |eddy| {
        let problems = eddy.get("/api/v1/status")["problems"].to_string();
        problems.contains("Free disk space under").then_some(())
    });
    let taken = 14 * STEP as u64;
    eddy.until("what was acknowledged is decided", |eddy| (eddy.events() == taken).then_some(()));

    disk.make_room();
    eddy.until("it goes on by itself", |eddy| (eddy.metric("eddy_log_safe") == 1).then_some(()));
    assert_eq!(fs::metadata(&ballast).expect("a ballast again").len(), reserve);
    assert_eq!(post(http, steps[14]).status, 200);
    let whole = 16 * STEP as u64;
    eddy.until("MQTT delivers what was refused", |eddy| (eddy.events() >= whole).then_some(()));
    steps[16..].iter().for_each(|step| assert_eq!(post(http, step).status, 200));
    assert_eq!(post(http, &closers).status, 200);
    expect::settles(&mut eddy, &receiver, &expected);
    let (status, said) = eddy.stop();
    assert!(status.success(), "{said}");
}

#[test]
fn a_data_folder_that_is_read_only_is_refused_with_the_remedy() {
    let http = free_port();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"127.0.0.1:{http}\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "", "http://127.0.0.1:1/none"));
    let Some(disk) = SmallDisk::mount(&deployment.data(), "size=8m") else { return };
    disk.remount("ro");
    let output = deployment.output("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written") && said.contains("mount it writable"), "{said}");
}
