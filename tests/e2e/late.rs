//! The late-data story at a real receiver and on the page: raised, revised, retracted.

use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect::read_webhook;
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row, SECOND_NS, START_NS, rows};

/// Seconds of the run, and those in which the first pump seems to go wrong.
const SECONDS: i64 = 70;
const WRONG: std::ops::Range<i64> = 30..40;

fn post(address: SocketAddr, rows: &[Row]) {
    let body = plant::ndjson(rows);
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(address, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
    assert_eq!(answer.json()["accepted"], rows.len(), "{}", answer.text());
}

/// So many right readings of a second of the first pump that its cell's mean is theirs.
fn correction(right: &[Row], second: i64) -> Vec<Row> {
    let at = START_NS + second * SECOND_NS;
    let row = right.iter().find(|row| row.key == "pump-0" && row.time_ns >= at).expect("a row a second");
    (1..200).map(|ms| Row { time_ns: row.time_ns + ms * 1_000_000, ..row.clone() }).collect()
}

fn states(receiver: &Receiver) -> Vec<(String, u64)> {
    let told = receiver.received().into_iter().map(|request| {
        let decision = read_webhook(&request).0;
        let state = decision["state"].as_str().expect("a state").to_owned();
        (state, decision["revision"].as_u64().expect("a number"))
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_raised_revised_and_retracted_at_a_receiver_and_on_the_page() {
    let receiver = Receiver::start([]).await;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url);
    let text = text.replace("lateness = \"32s\"", "disorder = \"2s\", lateness = \"60s\"");
    let deployment = Deployment::new(&text);
    let mut eddy: Eddy = deployment.start();

    let right = rows(2, SECONDS, 7, 0..0);
    post(address, &rows(2, SECONDS, 7, WRONG)[..100]);
    eddy.until("the alert is raised", |_| (states(&receiver) == [("raised".to_owned(), 1)]).then_some(()));
    // Time goes on between the late readings, two seconds each time.
    for (second, one) in WRONG.zip(right[100..].chunks(4)) {
        post(address, &correction(&right, second));
        post(address, one);
    }
    let retracted = |eddy: &Eddy| {
        let alerts = eddy.alerts();
        (alerts.first()?["alert"]["decision"]["state"] == "retracted").then_some(())
    };
    eddy.until("the alert is retracted", retracted);
    let last = eddy.alerts()[0]["alert"]["decision"].clone();
    let told = last["revision"].as_u64().expect("a number") as usize;
    receiver.wait_for(told).await;

    let story = states(&receiver);
    assert!(story.iter().zip(1..).all(|((_, revision), nth)| *revision == nth), "in order: {story:?}");
    assert_eq!(story[0].0, "raised");
    assert_eq!(story.last().map(|(state, _)| state.as_str()), Some("retracted"), "{story:?}");
    assert!(story[1..story.len() - 1].iter().all(|(state, _)| state == "revised"), "{story:?}");
    assert!(story.len() > 2, "less odd with each right reading: {story:?}");
    let ids: Vec<_> =
        receiver.received().iter().map(|request| read_webhook(request).0["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one alert: {ids:?}");

    let page = eddy.until("the page shows it", |eddy| {
        let page = http::get(eddy.page, "/").ok()?.text();
        page.contains("<span class=\"state\">retracted</span>").then_some(page)
    });
    assert!(!page.contains("<span class=\"state\">firing</span>"));
    assert_eq!(eddy.metric("eddy_stream_alerts_open{stream=\"pumps\"}"), 0);
    assert!(eddy.metric("eddy_stream_reopening_total{stream=\"pumps\"}") > 1000);
}

/// The newest first: most are late, and a start that reads them back within a second has nothing to say of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_rows_are_late_is_said_when_they_come_and_not_when_they_are_read_back() {
    let receiver = Receiver::start([]).await;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url));
    let mut eddy: Eddy = deployment.start();
    let mut reversed = rows(2, 1_000, 7, 0..0);
    reversed.reverse();
    post(address, &reversed);
    eddy.until("it is said", |eddy| eddy.said().contains("rows came too late").then_some(()));
    let late = |eddy: &Eddy| eddy.metric("eddy_stream_late_total{stream=\"pumps\"}");
    let all = reversed.len() as u64;
    let counted = |eddy: &Eddy| (eddy.events() + late(eddy) == all).then_some(());
    eddy.until("all are counted", counted);
    let before = late(&eddy);
    assert!(before > 1_000, "{before}");
    eddy.kill();

    let mut eddy = deployment.start();
    eddy.until("they are read back", counted);
    assert_eq!(late(&eddy), before);
    // It is looked once a second.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let (status, said) = eddy.stop();
    assert!(status.success() && !said.contains("came too late"), "{said}");
}
