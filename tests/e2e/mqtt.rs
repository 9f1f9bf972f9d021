//! 20,000 QoS 1 messages from a publisher through a real Mosquitto into the release binary; the broker
//! is stopped and started again in mid-stream. All are scored once.
//!
//! The broker is stopped by SIGTERM: Mosquitto 2.0 writes its queues to disk then. After `kill -9` it has
//! lost what it had acknowledged to the publisher since its last autosave; that loss is the broker's, and
//! nothing behind it could make it good.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::expect::{self, by_the_engine};
use crate::e2e::mosquitto::Mosquitto;
use crate::e2e::publisher::{Gate, Publisher};
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row, SECOND_NS, START_NS};

const KEYS: usize = 20;
const MESSAGES: usize = 20_000;
const BROKEN_S: std::ops::Range<i64> = 400..470;

/// Rows and, as the last ones, those that close every window: [`MESSAGES`] together.
fn rows() -> (Vec<Row>, Vec<Row>) {
    let rows = plant::rows(KEYS, (MESSAGES / KEYS) as i64 - 1, 11, BROKEN_S);
    let closers = expect::closers(&rows, KEYS);
    assert_eq!(rows.len() + closers.len(), MESSAGES);
    (rows, closers)
}

fn publish(publisher: &mut Publisher, rows: &[Row]) {
    rows.iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
    publisher.settle();
}

/// Stops the broker in mid-stream and starts it again; gives how many messages it had acknowledged.
fn restart(broker: &mut Mosquitto, eddy: &mut Eddy, acked: &AtomicUsize, gate: &Gate) -> usize {
    eddy.until("the middle of the stream", |eddy| {
        gate.follow(eddy.events());
        (acked.load(SeqCst) > MESSAGES * 2 / 5).then_some(())
    });
    broker.stop();
    let acked_at_stop = acked.load(SeqCst);
    eddy.until("it misses the broker", |eddy| {
        (eddy.metric("eddy_source_connected{source=\"plant\"}") == 0).then_some(())
    });
    broker.launch();
    gate.open();
    acked_at_stop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_messages_are_scored_once_through_a_restart_of_the_broker() {
    let (rows, closers) = rows();
    let all: Vec<Row> = rows.iter().chain(&closers).cloned().collect();
    let receiver = Receiver::start([]).await;
    let mut broker = Mosquitto::start();
    let deployment = Deployment::new(&config(
        &mqtt_source(broker.port),
        "[\"plant\"]",
        "max_future = \"none\"",
        &receiver.url,
    ));
    let mut eddy = deployment.start();

    let mut publisher = Publisher::connect(broker.port);
    let (acked, gate) = (publisher.acked.clone(), publisher.gate.clone());
    gate.follow(0);
    let publishing = std::thread::spawn(move || {
        publish(&mut publisher, &rows);
        publish(&mut publisher, &closers);
        publisher
    });
    let acked_at_stop = restart(&mut broker, &mut eddy, &acked, &gate);
    assert!(acked_at_stop < MESSAGES, "the broker was stopped before the publisher was done");
    let publisher = publishing.join().expect("the publisher ends");
    assert!(publisher.reconnects > 0, "the publisher felt the restart");
    assert_eq!(acked.load(SeqCst), MESSAGES);

    let expected = by_the_engine(&all);
    expect::settles(&mut eddy, &receiver, &expected);
    let counted: Vec<_> =
        eddy.partitions().iter().map(|p| (p.partition, (p.events_total, p.windows_total))).collect();
    assert_eq!(
        counted,
        expect::count(&all).into_iter().collect::<Vec<_>>(),
        "events and windows by partition"
    );
    assert_eq!(eddy.events(), MESSAGES as u64);
    assert_eq!(receiver.received().len(), expected.decisions.len(), "each alert was delivered once");
    planted_is_told_under_one_id(&receiver);

    let duplicates: u64 = eddy.partitions().iter().map(|p| p.duplicates_total).sum();
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    log_holds_each(&deployment, &all, duplicates);
    println!(
        "{MESSAGES} messages: {acked_at_stop} acknowledged by the broker when it was stopped, {} resent by the \
         publisher, {duplicates} duplicates dropped, {} alerts",
        publisher.resent,
        expected.decisions.len()
    );
}

fn planted_is_told_under_one_id(receiver: &Receiver) {
    let raised: Vec<_> = expect::received(receiver)
        .into_iter()
        .filter(|(_, decision)| {
            let onset_s = (decision["onset"].as_i64().unwrap() - START_NS) / SECOND_NS;
            decision["key"] == "pump-0"
                && decision["state"] == "raised"
                && (BROKEN_S.start - expect::SIZE_S..BROKEN_S.end).contains(&onset_s)
        })
        .collect();
    assert_eq!(raised.len(), 1, "{raised:?}");
}

/// Every message, and beside them exactly what was counted as redelivered.
fn log_holds_each(deployment: &Deployment, rows: &[Row], duplicates: u64) {
    let mut times: HashMap<Vec<u8>, u64> = HashMap::new();
    for message in deployment.logged() {
        *times.entry(message.payload.to_vec()).or_default() += 1;
    }
    let missing = rows.iter().filter(|row| !times.contains_key(&row.message().payload[..])).count();
    assert_eq!(missing, 0, "messages that are not in the log");
    assert_eq!(times.len(), rows.len(), "nothing else is in the log");
    assert_eq!(times.values().map(|n| n - 1).sum::<u64>(), duplicates);
}
