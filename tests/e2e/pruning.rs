//! Alerts that have been over for `durable.retain_alerts` go, are not told again, and whoever follows a link to one is told
//! what became of it.

use std::net::SocketAddr;

use crate::e2e;
use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::http::{self, Response};
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant;

const SECONDS: i64 = 300;
const DAY_NS: i64 = 86_400_000_000_000;

/// The alert of a pump once it is over and told to be.
fn told(eddy: &mut Eddy, key: &str) -> String {
    eddy.until("its end is told", |eddy| {
        let rows = eddy.alerts();
        let over = rows.iter().find(|row| {
            let decision = &row["alert"]["decision"];
            decision["key"] == key
                && decision["state"] == "resolved"
                && row["deliveries"][0]["state"] == "delivered"
        })?;
        Some(over["alert"]["decision"]["id"].as_str()?.to_owned())
    })
}

fn is_said_to_be_gone(answer: &Response) {
    let text = answer.text();
    assert_eq!(answer.status, 404, "{text}");
    assert!(text.contains("no alert of this id is kept"), "{text}");
    assert!(text.contains("once they have been over for 24 h (`durable.retain_alerts`)"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_has_been_over_for_long_goes_and_a_link_to_it_says_so() {
    let receiver = Receiver::start([]).await;
    let local = || -> SocketAddr { ([127, 0, 0, 1], free_port()).into() };
    let (line, page) = (local(), local());
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{line}\"");
    let text = config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url)
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"{page}\"\nurl = \"http://{page}\""));
    let deployment = Deployment::new(&(text + "retain_alerts = \"1d\"\n"));
    let mut rows = plant::rows(6, SECONDS, 11, 0..0);
    expect::break_pump(&mut rows, 0, 60..90);
    expect::break_pump(&mut rows, 1, 150..180);
    let mut eddy = deployment.start();
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = http::request(line, "POST", "/v1/events/pumps", &headers, &plant::ndjson(&rows));
    assert_eq!(answer.expect("an answer").json()["accepted"], rows.len());
    let (old, young) = (told(&mut eddy, "pump-0"), told(&mut eddy, "pump-1"));
    let raised = receiver.received().into_iter().find(|request| request.id() == format!("{old}_1"));
    let body = e2e::json(&raised.expect("it was told").body);
    let link = body["data"]["feedback_url"].as_str().expect("a link");
    let link = link.strip_prefix(&format!("http://{page}")).expect("the page's own address").to_owned();
    assert_eq!(http::get(page, &link).expect("a page").status, 200);
    eddy.stop();
    let received = receiver.received().len();

    // Two days pass for the first of them.
    let outbox = rusqlite::Connection::open(deployment.data().join("outbox.sqlite")).expect("the outbox");
    let aged =
        outbox.execute("UPDATE alerts SET stored_at = stored_at - ?2 WHERE id = ?1", (&old, 2 * DAY_NS));
    assert_eq!(aged.expect("rows"), 2, "raised and resolved");
    drop(outbox);
    // Nor does a start from the log alone, which decides all of it again, bring it back.
    for from_snapshots in [true, false] {
        if !from_snapshots {
            std::fs::remove_dir_all(deployment.data().join("snapshots")).expect("there are some");
        }
        let mut eddy = deployment.start();
        eddy.until("it is gone", |eddy| {
            let answer = http::get(eddy.page, &format!("/api/v1/alerts/{old}")).ok()?;
            (answer.status == 404).then(|| is_said_to_be_gone(&answer))
        });
        let browser = [("Accept", "text/html,*/*;q=0.8")];
        for (method, path) in [("GET", format!("/alerts/{old}")), ("GET", link.clone())] {
            is_said_to_be_gone(&http::request(page, method, &path, &browser, b"").expect("a page"));
        }
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        is_said_to_be_gone(&http::request(page, "POST", &link, &form, b"verdict=real").expect("a page"));
        let list = http::get(page, "/alerts?state=all").expect("a page").text();
        assert!(list.contains(&young) && !list.contains(&old), "{list}");
        assert_eq!(http::get(page, &format!("/alerts/{young}")).expect("a page").status, 200);
        eddy.until("all is judged", |eddy| {
            (eddy.metric("eddy_stream_events_total{stream=\"pumps\"}") == rows.len() as u64).then_some(())
        });
        eddy.stop();
        assert_eq!(receiver.received().len(), received, "nothing is told again");
    }
}
