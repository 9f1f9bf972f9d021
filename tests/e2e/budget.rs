//! An alert budget on the release binary: the number of the stream's keys is written down as it grows and read back
//! with the log, so that a start decides as the run before it did.

use std::net::SocketAddr;
use std::path::Path;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row};
use eddy::durable::{ControlEvent, ControlLog, DirLock, RealDisk};

const KEYS: usize = 12;

fn post(http: SocketAddr, rows: &[Row]) {
    for rows in rows.chunks(200) {
        let headers = [("Content-Type", "application/x-ndjson")];
        let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &plant::ndjson(rows));
        assert_eq!(answer.expect("an answer").status, 200);
    }
}

/// Position and keys of every entry. No process may be running.
fn noted(data: &Path) -> Vec<(u64, u64)> {
    let _lock = DirLock::acquire(data).expect("nobody uses the folder");
    let (_, entries) = ControlLog::open(Box::new(RealDisk::new()), data).expect("a sound log");
    let keys = entries.iter().filter_map(|entry| match entry.event {
        ControlEvent::Keys { keys, .. } => Some((entry.precedes.0, keys)),
        _ => None,
    });
    keys.collect()
}

fn judged(eddy: &Eddy) -> u64 {
    eddy.metric("eddy_stream_events_total{stream=\"pumps\"}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_decides_by_the_keys_that_were_written_down() {
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    // No snapshot but one that is asked for: a start reads everything back.
    let text =
        config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url) + "snapshot_every = \"1h\"\n";
    let deployment = Deployment::new(&text.replace("p_value = 1e-4", "alert_budget = \"50/day\""));
    let mut rows = plant::rows(KEYS, 400, 3, 0..0);
    expect::break_pump(&mut rows, 0, 200..400);
    let mut eddy = deployment.start();
    post(http, &rows[..KEYS * 20]);
    eddy.until("the entry", |_| {
        let file = std::fs::read_dir(deployment.data().join("control")).ok()?.next()?.ok()?.path();
        String::from_utf8_lossy(&std::fs::read(file).ok()?).contains("\"keys\":{").then_some(())
    });
    post(http, &rows[KEYS * 20..]);
    post(http, &expect::closers(&rows, KEYS));
    let all = (rows.len() + KEYS) as u64;
    eddy.until("all is judged", |eddy| (judged(eddy) == all).then_some(()));
    let opened = eddy.metric("eddy_stream_alerts_opened_day{stream=\"pumps\"}");
    assert!(opened > 0, "nothing was told");
    // The page looks once a second.
    let stream = eddy.until("openings on the page", |eddy| {
        let stream = eddy.get("/api/v1/status")["streams"][0].clone();
        (stream["alerts_opened_day"] == opened).then_some(stream)
    });
    // What is decided is stored a moment later.
    eddy.until("some of it is stored", |eddy| (!eddy.alerts().is_empty()).then_some(()));
    assert_eq!(
        (&stream["p_value"], &stream["alert_budget_per_day"]),
        (&serde_json::Value::Null, &50.0.into())
    );
    assert_eq!(eddy.metric("eddy_stream_alert_budget_per_day{stream=\"pumps\"}"), 50);
    let before = eddy.partitions();
    eddy.kill();
    let entries = noted(&deployment.data());
    assert!(!entries.is_empty() && entries.last().expect("one").1 == KEYS as u64, "{entries:?}");

    let mut eddy = deployment.start();
    eddy.until("all is judged", |eddy| (judged(eddy) == all).then_some(()));
    assert_eq!(eddy.partitions(), before, "decided otherwise");
    // Long enough for a look or two: what is known is not written again.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    let (status, said) = eddy.stop();
    assert!(status.success() && !said.contains("decided differently"), "{said}");
    assert_eq!(noted(&deployment.data()), entries);
}
