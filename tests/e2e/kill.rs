//! The release binary killed with SIGKILL ten times under load and started again on the same data: what it
//! decides, and tells its receiver, equals what an undisturbed run decides.
//!
//! A killed process leaves its writes in the operating system's cache, so these tests cannot tell whether
//! anything was fsynced; the simulated power cuts of tests/simulation.rs do.

mod http_client;

use std::time::Duration;

use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::expect::{self, Outcome, by_the_engine};
use crate::e2e::mosquitto::{Mosquitto, free_port};
use crate::e2e::publisher::{Gate, Publisher};
use crate::e2e::receiver::Receiver;
use crate::plant::Row;
use crate::{e2e, plant};
use http_client::Client;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KEYS: usize = 24;
const SECONDS: i64 = 600;
const KILLS: u64 = 10;
const STREAM: &str = "max_future = \"none\"";
/// Every restart reads back the whole log, however slow the machine; snapshots have tests/e2e/snapshot.rs.
const NO_SNAPSHOT: &str = "snapshot_every = \"1h\"\n";

/// Pumps of which ten go wrong, one after the other, so that alerts are under way at any time.
fn rows() -> (Vec<Row>, Vec<Row>) {
    let mut rows = plant::rows(KEYS, SECONDS, 23, 0..0);
    for key in 0..10 {
        let start = 40 + 50 * key as i64;
        expect::break_pump(&mut rows, key, start..start + 60);
    }
    let closers = expect::closers(&rows, KEYS);
    (rows, closers)
}

fn expected() -> Outcome {
    let (rows, closers) = rows();
    let outcome = by_the_engine(&[rows, closers].concat());
    assert!(outcome.decisions.len() >= 20, "{} alerts are too few to be hit", outcome.decisions.len());
    outcome
}

/// What a kill met.
struct Hit {
    /// Sent to Eddy and not acknowledged by it.
    unacknowledged: u64,
    /// In the log, but the acknowledgement had not got through.
    logged_unacknowledged: u64,
    /// Read back from the log: logged, and no verdict on them was on any disk.
    reread: u64,
}

/// The other side's view.
trait Sender {
    /// Messages Eddy has acknowledged.
    fn acknowledged(&self) -> u64;
    /// Messages that were sent and whose acknowledgement was lost with a process, so far.
    fn unacknowledged(&self) -> u64;
    /// Whether a message comes into the log again when only its acknowledgement was lost.
    fn logs_again(&self) -> bool;
    /// Told how many events Eddy has taken in.
    fn goes_on(&self, events: u64);
}

/// Kills and restarts at random moments of the stream.
fn kill_again_and_again(deployment: &Deployment, mut eddy: Eddy, total: u64, sender: &dyn Sender) -> Eddy {
    let mut rng = ChaCha8Rng::seed_from_u64(plant::seeds(1)[0]);
    let mut hits = Vec::new();
    let mut logged_again = 0;
    for kill in 0..KILLS {
        let share = total * 8 / 10 / KILLS;
        let moment = share * kill + rng.random_range(share / 4..share);
        let before = sender.unacknowledged();
        flows_until(&mut eddy, sender, moment, |eddy| eddy.events() >= moment);
        std::thread::sleep(Duration::from_micros(rng.random_range(0..5_000)));
        eddy.kill();
        let acked = sender.acknowledged();
        eddy = deployment.start();
        let reread = eddy.metric("eddy_recovered_messages_total");
        assert!(reread >= acked, "kill {kill}: {acked} messages were acknowledged, {reread} are in the log");
        // What was in flight comes again only now.
        flows_until(&mut eddy, sender, total, |eddy| eddy.metric("eddy_log_messages_total") > 0);
        let unacknowledged = sender.unacknowledged() - before;
        let logged_unacknowledged = reread - acked - logged_again;
        if sender.logs_again() {
            logged_again = reread - acked;
        }
        hits.push(Hit { unacknowledged, logged_unacknowledged, reread });
    }
    report(&hits);
    eddy
}

/// Lets the sender go on, but not far beyond `limit` events, until something has come true. Without a
/// limit duplicates, which count as events until their cell is final, would let it come to its end
/// before the last kill.
fn flows_until(eddy: &mut Eddy, sender: &dyn Sender, limit: u64, holds: impl Fn(&Eddy) -> bool) {
    eddy.until("the stream goes on", |eddy| {
        sender.goes_on(eddy.events().min(limit));
        holds(eddy).then_some(())
    });
}

fn report(hits: &[Hit]) {
    println!("kill  in flight, unacknowledged  of these in the log  re-read at the start");
    for (i, hit) in hits.iter().enumerate() {
        let Hit { unacknowledged, logged_unacknowledged, reread } = hit;
        println!("{:>4}  {unacknowledged:>25}  {logged_unacknowledged:>19}  {reread:>20}", i + 1);
    }
    let total = |of: fn(&Hit) -> u64| hits.iter().map(of).sum::<u64>();
    assert!(total(|hit| hit.unacknowledged) > 0, "no kill met a message in flight");
    assert!(total(|hit| hit.reread) > 0, "no kill met a message that was logged and had to be scored again");
}

/// Mosquitto's log tells what it sent again (DUP) and which acknowledgements it got.
struct OverMqtt<'a> {
    broker: &'a Mosquitto,
    gate: Gate,
}

impl Sender for OverMqtt<'_> {
    fn acknowledged(&self) -> u64 {
        // It has read everything of a connection once it has noticed that it is closed.
        let noticed = || {
            let log = self.broker.log();
            let ended = log.matches("lient eddy-test-plant").count();
            (ended >= log.matches("as eddy-test-plant").count()).then_some(())
        };
        e2e::poll(noticed).expect("the broker notices the end of the connection");
        self.broker.log().matches("Received PUBACK from eddy-test-plant").count() as u64
    }

    fn unacknowledged(&self) -> u64 {
        self.broker.log().matches("Sending PUBLISH to eddy-test-plant (d1").count() as u64
    }

    fn logs_again(&self) -> bool {
        true
    }

    fn goes_on(&self, events: u64) {
        self.gate.follow(events);
    }
}

impl Sender for Client {
    fn acknowledged(&self) -> u64 {
        self.acked()
    }

    fn unacknowledged(&self) -> u64 {
        self.broken()
    }

    /// Its `Idempotency-Key` is in the log.
    fn logs_again(&self) -> bool {
        false
    }

    fn goes_on(&self, _: u64) {}
}

/// Runs the rows through Mosquitto, with or without kills, and holds the end to `expected`.
async fn over_mqtt(kills: bool, expected: &Outcome) {
    let (rows, closers) = rows();
    let receiver = Receiver::start([]).await;
    let broker = Mosquitto::start();
    let deployment = Deployment::new(
        &(config(&mqtt_source(broker.port), "[\"plant\"]", STREAM, &receiver.url) + NO_SNAPSHOT),
    );
    let mut eddy = deployment.start();
    let total = rows.len() as u64;
    let mut publisher = Publisher::connect(broker.port);
    let gate = publisher.gate.clone();
    if kills {
        gate.follow(0);
    }
    let publishing = std::thread::spawn(move || {
        rows.iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
        publisher.settle();
        publisher
    });
    if kills {
        let sender = OverMqtt { broker: &broker, gate: gate.clone() };
        eddy = kill_again_and_again(&deployment, eddy, total, &sender);
    }
    gate.open();
    let mut publisher = publishing.join().expect("the publisher ends");
    closers.iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
    publisher.settle();
    expect::settles(&mut eddy, &receiver, expected);
}

/// The same by HTTP, with a client that repeats whatever was not answered 2xx.
async fn over_http(kills: bool, expected: &Outcome) {
    let (rows, closers) = rows();
    let receiver = Receiver::start([]).await;
    let port = free_port();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"127.0.0.1:{port}\"");
    let deployment = Deployment::new(&(config(&source, "[\"line\"]", STREAM, &receiver.url) + NO_SNAPSHOT));
    let mut eddy = deployment.start();
    let total = rows.len() as u64;
    let client = Client::new(port, &rows);
    let posting = client.start();
    if kills {
        eddy = kill_again_and_again(&deployment, eddy, total, &client);
    }
    posting.into_iter().for_each(|worker| worker.join().expect("the client ends"));
    let last = Client::new(port, &closers).named("closers");
    last.start().into_iter().for_each(|worker| worker.join().expect("the client ends"));
    expect::settles(&mut eddy, &receiver, expected);
    let duplicates: u64 = eddy.partitions().iter().map(|p| p.duplicates_total).sum();
    assert_eq!(duplicates, 0, "a repeated Idempotency-Key is not logged again");
    eddy.kill();
    assert_eq!(
        deployment.logged().len() as u64,
        client.requests() + last.requests(),
        "each request is logged once"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_change_nothing_over_mqtt() {
    let expected = expected();
    over_mqtt(false, &expected).await;
    over_mqtt(true, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_kills_change_nothing_over_http() {
    let expected = expected();
    over_http(false, &expected).await;
    over_http(true, &expected).await;
}
