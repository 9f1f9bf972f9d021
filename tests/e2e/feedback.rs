//! Somebody follows the link in an alert and calls it expected: the same is not told again, over `kill -9` too, until it
//! is taken back.

use std::net::SocketAddr;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant::{Row, SECOND_NS, START_NS};
use crate::{e2e, plant};
use eddy::alert::outbox::{AlertFilter, OutboxReader};
use serde_json::Value;

/// When the first pump vibrates by so much more, each time for so long; seconds.
const FAULTS_S: [i64; 4] = [120, 320, 520, 720];
const LASTS_S: i64 = 30;
const FAULT: f32 = 3.0;
const SECONDS: i64 = 900;
const IN_FORCE: &str = "eddy_stream_feedback_in_force{stream=\"pumps\"}";
const HELD_BACK: &str = "eddy_stream_windows_held_back_total{stream=\"pumps\"}";

struct Plant {
    rows: Vec<Row>,
    sent: usize,
    http: SocketAddr,
    receiver: Receiver,
}

impl Plant {
    /// Sends what was read before this second, and waits until it is judged.
    fn send(&mut self, eddy: &mut Eddy, until_s: i64) {
        let end = self.rows.partition_point(|row| row.time_ns < START_NS + until_s * SECOND_NS);
        let headers = [("Content-Type", "application/x-ndjson")];
        for rows in self.rows[self.sent..end].chunks(400) {
            let body = plant::ndjson(rows);
            let answer =
                http::request(self.http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
            assert_eq!(answer.json()["accepted"], rows.len(), "{}", answer.text());
        }
        self.sent = end;
        let events = end as u64;
        eddy.until("all is judged", |eddy| {
            (eddy.metric("eddy_stream_events_total{stream=\"pumps\"}") == events).then_some(())
        });
    }

    /// Where the faults were of which the receiver was told, seconds. Alerts that were stored together may come in any order.
    fn told(&self) -> Vec<i64> {
        let bodies = self.receiver.received().into_iter().map(|request| e2e::json(&request.body));
        let raised =
            bodies.filter(|body| body["type"] == "anomaly.raised" && body["data"]["key"] == "pump-0");
        let second = |body: Value| (body["data"]["onset"].as_i64().expect("a time") - START_NS) / SECOND_NS;
        let near = |second: i64| FAULTS_S.into_iter().find(|at| (at - 20..at + LASTS_S).contains(&second));
        let mut told: Vec<i64> = raised.filter_map(|body| near(second(body))).collect();
        told.sort_unstable();
        told
    }

    /// The path of the link in the first alert.
    fn link(&self, page: SocketAddr) -> String {
        let body = e2e::json(&self.receiver.received()[0].body);
        let link = body["data"]["feedback_url"].as_str().expect("a link").to_owned();
        link.strip_prefix(&format!("http://{page}")).expect("the page's own address").to_owned()
    }
}

/// How many revisions are in the outbox of a stopped deployment.
fn stored(deployment: &Deployment) -> usize {
    let reader = OutboxReader::open(&deployment.data().join("outbox.sqlite")).expect("an outbox");
    reader.alerts_page(None, 500, &AlertFilter::default()).expect("it reads").len()
}

fn say(page: SocketAddr, link: &str, verdict: &str) -> String {
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("verdict={verdict}&reason=maintenance");
    let done = http::request(page, "POST", link, &kind, body.as_bytes()).expect("an answer");
    assert_eq!(done.status, 200, "{}", done.text());
    done.text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_link_calls_expected_is_not_told_again_until_it_is_taken_back() {
    let receiver = Receiver::start([]).await;
    let local = || -> SocketAddr { ([127, 0, 0, 1], free_port()).into() };
    let (http, page) = (local(), local());
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url)
        .replace("p_value = 1e-4", "p_value = 1e-6")
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{page}\"\nurl = \"http://{page}\""));
    let deployment = Deployment::new(&text);
    let mut rows = plant::rows(2, SECONDS, 7, 0..0);
    for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        let broken = FAULTS_S.iter().any(|at| (*at..at + LASTS_S).contains(&second));
        row.values[3] += if broken { FAULT } else { 0.0 };
    }
    let mut plant = Plant { rows, sent: 0, http, receiver };
    let mut eddy = deployment.start();
    plant.send(&mut eddy, 240);
    eddy.until("the first is told", |_| (plant.told() == [120]).then_some(()));
    let link = plant.link(page);
    let answered = say(page, &link, "expected");
    assert!(answered.contains("Noted as expected") && answered.contains("for thirty days"), "{answered}");
    let again = http::get(page, &link).expect("a page").text();
    assert!(again.contains("vibration ") && again.contains(", normal "), "{again}");
    assert!(
        again.contains("Called expected by link: maintenance") && again.contains("value=\"undone\""),
        "{again}"
    );
    let id = link.split(['/', '?']).nth(2).expect("an id").to_owned();
    let alert = |eddy: &Eddy| http::get(eddy.page, &format!("/alerts/{id}")).expect("a page").text();
    assert!(
        alert(&eddy).contains("which does not act: it does from the key's next minute on"),
        "{}",
        alert(&eddy)
    );

    plant.send(&mut eddy, 300);
    eddy.until("it is in force", |eddy| (eddy.metric(IN_FORCE) == 1).then_some(()));
    eddy.kill();
    let mut eddy = deployment.start();
    eddy.until("it is in force again", |eddy| (eddy.metric(IN_FORCE) == 1).then_some(()));
    let before = eddy.metric(HELD_BACK);
    plant.send(&mut eddy, 440);
    assert!(eddy.metric(HELD_BACK) >= before + 3, "windows that would have been told");
    let shown = alert(&eddy);
    assert!(shown.contains("Told less since") && shown.contains("by link: maintenance"), "{shown}");
    let shown = http::get(eddy.page, "/keys/pumps/pump-0").expect("a page").text();
    assert!(shown.contains("Told less since") && shown.contains("data-verdict=\"undone\""), "{shown}");
    assert_eq!(plant.told(), [120], "the same again");

    assert!(say(page, &link, "undone").contains("Taken back"));
    plant.send(&mut eddy, SECONDS);
    eddy.until("they are told again", |_| (plant.told() == [120, 520, 720]).then_some(()));
    assert_eq!(eddy.metric(IN_FORCE), 0);
    assert!(!alert(&eddy).contains("Told less since"));

    // From the log and the control log alone, all of it is decided again. A stop stores what was decided.
    assert!(eddy.stop().0.success());
    let alerts = stored(&deployment);
    std::fs::remove_dir_all(deployment.data().join("snapshots")).expect("there are some");
    let mut eddy = deployment.start();
    eddy.until("all is judged again", |eddy| {
        (eddy.metric("eddy_stream_events_total{stream=\"pumps\"}") == plant.rows.len() as u64).then_some(())
    });
    let (status, said) = eddy.stop();
    assert!(status.success() && !said.contains("decided differently"), "{said}");
    assert_eq!(stored(&deployment), alerts);
}
