//! SIGTERM under load: what was accepted is logged, what is logged is scored, what was raised is delivered.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::e2e::eddy::{Deployment, config};
use crate::e2e::expect::{self, by_the_engine};
use crate::e2e::http;
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::{Behaviour, Receiver};
use crate::plant::{self, Row};
use eddy::alert::outbox::{AlertFilter, DeliveryState, OutboxReader};
use serde_json::Value;

const KEYS: usize = 24;
const ROWS_A_REQUEST: usize = 6;
const CLIENTS: usize = 4;

/// Posts one batch after the other until one is not accepted; gives the accepted ones. A client is at
/// most one batch behind another, far less than the lateness.
fn post_all(http: SocketAddr, batches: &[Vec<Row>], next: &AtomicUsize) -> Vec<usize> {
    let mut accepted = Vec::new();
    loop {
        let batch = next.fetch_add(1, SeqCst);
        assert!(batch < batches.len(), "stopped too late to meet any load");
        let headers = [("Content-Type", "application/x-ndjson")];
        match http::request(http, "POST", "/v1/events/pumps", &headers, &plant::ndjson(&batches[batch])) {
            Ok(answer) if answer.status == 200 => accepted.push(batch),
            Ok(answer) => panic!("{}: {}", answer.status, answer.text()),
            Err(_) => return accepted,
        }
    }
}

fn batches() -> Vec<Vec<Row>> {
    let mut rows = plant::rows(KEYS, 3000, 41, 0..0);
    for key in 0..20 {
        expect::break_pump(&mut rows, key, 40 + 7 * key as i64..100 + 7 * key as i64);
    }
    rows.chunks(ROWS_A_REQUEST).map(<[Row]>::to_vec).collect()
}

/// `webhook-id` to decision; every delivery must have been made.
fn outbox(path: &Path) -> BTreeMap<String, Value> {
    let reader = OutboxReader::open(path).expect("an outbox");
    let rows = reader.alerts_page(None, 500, &AlertFilter::default()).expect("it reads");
    assert!(rows.len() < 500, "one page holds all");
    let entry = |row: eddy::alert::outbox::StoredAlert| {
        assert!(row.deliveries.iter().all(|d| d.state == DeliveryState::Delivered), "{row:?}");
        (row.alert.decision.message_id(), expect::as_json(&row.alert.decision))
    };
    rows.into_iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_and_drains_the_outbox() {
    // Slow at first, so that deliveries are still due when the stop comes.
    let slow = vec![Behaviour::AcceptAfter(Duration::from_millis(150)); 40];
    let receiver = Receiver::start(slow).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", "max_future = \"none\"", &receiver.url));
    let mut eddy = deployment.start();
    let batches = batches();
    let next = AtomicUsize::new(0);
    let (accepted, status, said) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| post_all(http, &batches, &next))).collect();
        eddy.until("alerts under way", |eddy| (eddy.alerts().len() >= 6).then_some(()));
        let (status, said) = eddy.stop();
        let accepted: Vec<usize> =
            clients.into_iter().flat_map(|client| client.join().expect("it ends")).collect();
        (accepted, status, said)
    });
    assert_eq!(status.code(), Some(0), "{said}");

    let number: HashMap<Vec<u8>, usize> =
        batches.iter().enumerate().map(|(i, rows)| (plant::ndjson(rows), i)).collect();
    let logged: Vec<usize> = deployment.logged().iter().map(|message| number[&message.payload[..]]).collect();
    let missing: Vec<_> = accepted.iter().filter(|batch| !logged.contains(batch)).collect();
    assert!(missing.is_empty(), "accepted and not in the log: {missing:?}");

    let rows: Vec<Row> = logged.iter().flat_map(|batch| batches[*batch].clone()).collect();
    let decided = by_the_engine(&rows).decisions;
    assert_eq!(
        outbox(&deployment.data().join("outbox.sqlite")),
        decided,
        "everything logged was scored; {said}"
    );
    assert_eq!(expect::received(&receiver), decided, "the outbox was drained; {said}");
    let mut eddy = deployment.start();
    eddy.until("ready again", |eddy| (eddy.metric("eddy_ready") == 1).then_some(()));
    assert_eq!(eddy.metric("eddy_recovered_messages_total"), 0, "the stop saved everything: {said}");
    // Though nothing has come since, and nothing was read back.
    eddy.until("what was restored", |eddy| (eddy.events() as usize == rows.len()).then_some(()));
    println!("{} requests accepted, {} logged, {} alerts", accepted.len(), logged.len(), decided.len());
}
