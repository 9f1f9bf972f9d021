//! Receipts held against clocks outside the process: the client's when it sends, the receiver's when the
//! webhook has arrived. All run on one machine, so wall clocks can be compared.
//!
//! What lies between those two instants and is in no receipt is the way of the request to Eddy and of the
//! webhook to the receiver. Where Eddy works for most of a second that is well below 2 % of the whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::expect::{self, LATENESS_S, by_the_engine, read_webhook};
use crate::e2e::http;
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::publisher::Publisher;
use crate::e2e::receiver::{Received, Receiver};
use crate::plant::{self, Row, SECOND_NS, START_NS};
use serde_json::Value;

const ROUNDS: usize = 5;
const ROUND_S: i64 = 240;
/// Enough that Eddy works on a round for most of a second.
const KEYS: usize = 1200;
const STREAM: &str = "max_future = \"none\"";
/// Clock readings of one machine may disagree by this much.
const CLOCKS_NS: i64 = 1_000_000;

/// Long beside what a busy machine adds to it.
const REST: Duration = Duration::from_secs(6);

/// Two at once would measure each other.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The receiver's readings as wall time.
struct Wall {
    ns: i64,
    at: Instant,
}

impl Wall {
    fn start() -> Self {
        Wall { ns: wall_ns(), at: Instant::now() }
    }

    fn of(&self, at: Instant) -> i64 {
        self.ns + at.duration_since(self.at).as_nanos() as i64
    }
}

fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64
}

fn ns(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no time"))
}

fn segment_ns(receipt: &Value, stage: &str) -> i64 {
    let segments = receipt["segments"].as_array().expect("segments");
    let of = segments.iter().find(|segment| segment["stage"] == stage);
    of.map_or(0, |segment| ns(&segment["ns"]))
}

/// A receipt's own promises.
fn adds_up(receipt: &Value) {
    let segments = receipt["segments"].as_array().expect("segments");
    let sum: i64 = segments.iter().map(|segment| ns(&segment["ns"])).sum();
    assert_eq!(sum, ns(&receipt["total_ns"]), "{receipt}");
    assert_eq!(sum, ns(&receipt["end_ns"]) - ns(&receipt["start_ns"]), "{receipt}");
}

/// The stored alert of a webhook, once its delivery is recorded; both must show the same receipt.
fn stored(eddy: &mut Eddy, request: &Received) -> Value {
    let (decision, receipt) = read_webhook(request);
    let row = eddy.until("the delivery is recorded", |eddy| {
        let rows = eddy.alerts().into_iter();
        let mut own = rows.filter(|row| {
            let stored = &row["alert"]["decision"];
            stored["id"] == decision["id"] && stored["revision"] == decision["revision"]
        });
        own.next().filter(|row| row["deliveries"][0]["state"] == "delivered")
    });
    assert_eq!(row["alert"]["receipt"], receipt, "webhook and API show one receipt");
    assert_eq!(row["alert"]["decision"], decision);
    row
}

fn raised_of(receiver: &Receiver, key: &str) -> Option<Received> {
    let received = receiver.received().into_iter();
    received.filter(|r| r.id().ends_with("_1")).find(|r| read_webhook(r).0["key"] == key)
}

/// One request a round. Most pumps report every fifteenth second: many windows a byte. Pump number `round`
/// reports every second and goes wrong in its round.
fn rounds() -> Vec<Vec<Row>> {
    let seconds = ROUND_S * ROUNDS as i64;
    let mut rows = plant::rows(KEYS, seconds, 31, 0..0);
    for round in 0..ROUNDS {
        let start = ROUND_S * round as i64 + 100;
        expect::break_pump(&mut rows, round, start..start + 60);
    }
    let second = |row: &Row| (row.time_ns - START_NS) / SECOND_NS;
    let number = |row: &Row| row.key["pump-".len()..].parse::<i64>().expect("a number");
    rows.retain(|row| number(row) < ROUNDS as i64 || (second(row) + number(row)) % 15 == 0);
    (0..ROUNDS as i64)
        .map(|round| rows.iter().filter(|row| second(row) / ROUND_S == round).cloned().collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_accounts_for_the_time_between_client_and_receiver() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let wall = Wall::start();
    let receiver = Receiver::start([]).await;
    let http: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{http}\"\nmax_body = \"64MB\"");
    let deployment = Deployment::new(&config(&source, "[\"line\"]", STREAM, &receiver.url));
    let mut eddy = deployment.start();
    let mut unexplained = Vec::new();
    println!("round  client to receiver   receipt and delivery  in neither");
    for (round, rows) in rounds().iter().enumerate() {
        let body = plant::ndjson(rows);
        let sent_ns = wall_ns();
        let headers = [("Content-Type", "application/x-ndjson")];
        let answer = http::request(http, "POST", "/v1/events/pumps", &headers, &body).expect("an answer");
        assert_eq!(answer.status, 200);
        let key = format!("pump-{round}");
        let request = eddy.until("the webhook", |_| raised_of(&receiver, &key));
        let row = stored(&mut eddy, &request);
        let (receipt, arrived_ns) = (&row["alert"]["receipt"], wall.of(request.at));
        adds_up(receipt);
        assert_eq!(receipt["recovered"], false);
        let delivered_ns = ns(&row["total_to_2xx_ns"]) + ns(&receipt["start_ns"]);
        assert!(sent_ns <= ns(&receipt["start_ns"]) + CLOCKS_NS, "sent before it arrived");
        assert!(ns(&receipt["end_ns"]) <= arrived_ns + CLOCKS_NS, "durable before it was told");
        assert!(arrived_ns <= delivered_ns + CLOCKS_NS, "told before it was answered");
        assert_eq!(
            segment_ns(receipt, "wait_watermark"),
            0,
            "one message holds the row and what closes its window"
        );

        let (outside_ns, inside_ns) = (arrived_ns - sent_ns, ns(&row["total_to_2xx_ns"]));
        let share = (outside_ns - inside_ns) as f64 / outside_ns as f64;
        println!(
            "{round:>5}  {:>15.1} ms  {:>18.1} ms  {:>8.2} %",
            ms(outside_ns),
            ms(inside_ns),
            share * 100.0
        );
        unexplained.push(share.abs());
    }
    assert!(middle(&mut unexplained) <= 0.02, "shares in no receipt: {unexplained:?}");
}

fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

/// One pump that goes wrong three times.
struct Wait {
    rows: Vec<Row>,
    /// Ends of the windows that raise an alert, s.
    ends_s: Vec<usize>,
}

impl Wait {
    fn new() -> Self {
        let mut rows = plant::rows(1, 640, 8, 0..0);
        [100, 300, 500].into_iter().for_each(|start| expect::break_pump(&mut rows, 0, start..start + 60));
        let decisions = by_the_engine(&rows).decisions.into_values();
        let raised = decisions.filter(|decision| decision["state"] == "raised");
        let mut ends_s: Vec<_> =
            raised.map(|d| ((ns(&d["window_end"]) - START_NS) / SECOND_NS) as usize).collect();
        ends_s.sort_unstable();
        assert!(ends_s.len() >= 3, "each fault raises an alert: {ends_s:?}");
        Wait { rows, ends_s }
    }

    /// Publishes all rows one by one and rests after the last row of each of these windows. Gives the
    /// times at which that row, and the one that makes the window final, were published.
    fn publish(&self, port: u16, rest: Duration) -> Vec<(i64, i64)> {
        let mut publisher = Publisher::connect(port);
        let send = |(second, row): (usize, &Row)| {
            let sent_ns = wall_ns();
            publisher.publish("plant/pumps", &row.message().payload);
            publisher.settle();
            if self.ends_s.contains(&(second + 1)) {
                // Not to wait for anything: this is the time that the receipt must tell.
                std::thread::sleep(rest);
            }
            sent_ns
        };
        let sent_ns: Vec<i64> = self.rows.iter().enumerate().map(send).collect();
        self.ends_s.iter().map(|end| (sent_ns[end - 1], sent_ns[end + LATENESS_S as usize])).collect()
    }
}

fn raised_at(receiver: &Receiver, window_end_s: usize) -> Option<Received> {
    let end_ns = START_NS + window_end_s as i64 * SECOND_NS;
    let raised = |r: &Received| r.id().ends_with("_1") && ns(&read_webhook(r).0["window_end"]) == end_ns;
    receiver.received().into_iter().find(raised)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_the_watermark_is_told_apart_and_a_restart_is_marked() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let wall = Wall::start();
    let receiver = Receiver::start([]).await;
    let broker = Mosquitto::start();
    let source = mqtt_source(broker.port);
    // What a snapshot knows is not made again.
    let text = config(&source, "[\"plant\"]", STREAM, &receiver.url) + "snapshot_every = \"1h\"\n";
    let deployment = Deployment::new(&text);
    let mut eddy = deployment.start();
    let wait = Wait::new();
    let sent = wait.publish(broker.port, REST);

    let (mut waits, mut wholes) = (Vec::new(), Vec::new());
    for (&end_s, (last_ns, trigger_ns)) in wait.ends_s.iter().zip(sent) {
        let request = eddy.until("the webhook", |_| raised_at(&receiver, end_s));
        let row = stored(&mut eddy, &request);
        let (receipt, arrived_ns) = (&row["alert"]["receipt"], wall.of(request.at));
        adds_up(receipt);
        let told_ns = segment_ns(receipt, "wait_watermark");
        assert_eq!(ns(&row["eddy_ns"]) + told_ns, ns(&receipt["total_ns"]), "the wait is not Eddy's");
        assert!(ns(&receipt["start_ns"]) >= last_ns - CLOCKS_NS);
        assert!(ns(&receipt["start_ns"]) + told_ns >= trigger_ns - CLOCKS_NS);
        waits.push(share_off("the wait", trigger_ns - last_ns, told_ns));
        wholes.push(share_off("all", arrived_ns - last_ns, ns(&row["total_to_2xx_ns"])));
    }
    assert!(middle(&mut waits) <= 0.02, "{waits:?}");
    assert!(middle(&mut wholes) <= 0.02, "{wholes:?}");

    // Nothing may be under way any more.
    expect::settles(&mut eddy, &receiver, &by_the_engine(&wait.rows));
    let before = alerts(&eddy);
    eddy.kill();
    let eddy = deployment.start();
    assert_eq!(alerts(&eddy), before, "a restart changes no receipt that was given");
    eddy.kill();
    recovered_receipts_are_marked(&deployment, &before);
}

/// Decisions and receipts.
fn alerts(eddy: &Eddy) -> Vec<Value> {
    eddy.alerts().into_iter().map(|mut row| row["alert"].take()).collect()
}

fn share_off(what: &str, outside_ns: i64, inside_ns: i64) -> f64 {
    let off = (outside_ns - inside_ns).abs() as f64 / outside_ns as f64;
    let (outside, inside) = (ms(outside_ns), ms(inside_ns));
    println!("{what}: {outside:.1} ms outside, {inside:.1} ms by the receipt, {:.2} % off", off * 100.0);
    off
}

/// Of an odd number of rounds: a single one may have met a pause of the machine.
fn middle(shares: &mut [f64]) -> f64 {
    shares.sort_by(f64::total_cmp);
    shares[shares.len() / 2]
}

/// Without its outbox the process has to make every alert again from the log.
fn recovered_receipts_are_marked(deployment: &Deployment, before: &[Value]) {
    for name in ["outbox.sqlite", "outbox.sqlite-wal", "outbox.sqlite-shm"] {
        let _ = std::fs::remove_file(deployment.data().join(name));
    }
    let mut eddy = deployment.start();
    let again = eddy.until("the alerts come again", |eddy| {
        let alerts = alerts(eddy);
        (alerts.len() == before.len()).then_some(alerts)
    });
    for (now, then) in again.iter().zip(before) {
        assert_eq!(now["decision"], then["decision"]);
        assert_eq!(now["receipt"]["recovered"], true, "{now}");
        assert_eq!(now["receipt"]["start_ns"], then["receipt"]["start_ns"], "arrivals are kept in the log");
        assert!(segment_ns(&now["receipt"], "recovery") > 0, "{now}");
        adds_up(&now["receipt"]);
    }
}
