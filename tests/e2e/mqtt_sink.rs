//! From MQTT to MQTT: readings come from one broker, alerts go to another, which is killed while nothing is to be told and
//! while alerts come. All of them reach a subscriber, and a webhook beside it feels nothing.
//!
//! Of the broker for readings a kill would lose what only it had; `mqtt.rs` restarts one.

use std::collections::BTreeMap;

use crate::e2e;
use crate::e2e::eddy::{Deployment, Eddy, config, mqtt_source};
use crate::e2e::expect::{self, by_the_engine};
use crate::e2e::mosquitto::Mosquitto;
use crate::e2e::publisher::Publisher;
use crate::e2e::receiver::Receiver;
use crate::plant::{self, Row};
use crate::subscriber::Subscriber;

const KEYS: usize = 20;
const SECONDS: i64 = 900;
const FAILED: &str = "eddy_sink_attempts_failed_total{sink=\"plant\"}";
const DELIVERED: &str = "eddy_sink_delivered_total{sink=\"plant\"}";

/// A pump breaks every half minute.
fn rows() -> Vec<Row> {
    let mut rows = plant::rows(KEYS, SECONDS, 11, 0..0);
    for key in 0..KEYS {
        expect::break_pump(&mut rows, key, 100 + 30 * key as i64..160 + 30 * key as i64);
    }
    let closers = expect::closers(&rows, KEYS);
    rows.into_iter().chain(closers).collect()
}

fn publish(publisher: &mut Publisher, rows: &[Row]) {
    rows.iter().for_each(|row| publisher.publish("plant/pumps", &row.message().payload));
    publisher.settle();
}

/// All that the engine decides over these rows has been told to the subscriber.
fn is_told(eddy: &mut Eddy, rows: &[Row]) {
    let count = by_the_engine(rows).decisions.len() as u64;
    assert!(count > 0, "there is something to tell");
    eddy.until("told", |eddy| (eddy.metric(DELIVERED) >= count).then_some(()));
}

/// `webhook-id` to body; a repetition must be the same to the byte.
fn told(subscriber: &Subscriber) -> BTreeMap<String, Vec<u8>> {
    let mut bodies = BTreeMap::new();
    for message in subscriber.received() {
        let properties = message.properties.expect("properties").user_properties;
        let id = properties.into_iter().find(|(name, _)| name == "webhook-id").expect("an id").1;
        let known = bodies.entry(id).or_insert_with(|| message.payload.to_vec());
        assert_eq!(*known, message.payload, "one id, two bodies");
    }
    bodies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_reach_a_subscriber_through_kills_of_the_broker_and_a_webhook_beside_it_feels_nothing() {
    let receiver = Receiver::start([]).await;
    let (readings, mut alerts) = (Mosquitto::start_quiet(), Mosquitto::start());
    let mut subscriber = Subscriber::start(alerts.port, "hall", "alerts/#").await;
    let around = config(&mqtt_source(readings.port), "[\"plant\"]", "max_future = \"none\"", &receiver.url);
    let sink = format!(
        "[sink.plant]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\ntopic = \"alerts/eddy\"\n",
        alerts.port
    );
    let deployment = Deployment::new(&(around + &sink));
    let mut eddy = deployment.start();
    let (all, mut publisher) = (rows(), Publisher::connect(readings.port));
    let (third, rest) = all.split_at(all.len() / 3);
    publish(&mut publisher, third);
    is_told(&mut eddy, third);
    // With nothing to tell.
    alerts.kill();
    alerts.launch();
    subscriber.has_subscribed(2).await;
    assert_eq!(eddy.metric(FAILED), 0);

    let (now, later) = rest.split_at(rest.len() / 2);
    let before = eddy.metric(DELIVERED);
    publish(&mut publisher, now);
    eddy.until("alerts under way", |eddy| (eddy.metric(DELIVERED) > before).then_some(()));
    alerts.kill();
    publish(&mut publisher, later);
    eddy.until("it misses the broker", |eddy| (eddy.metric(FAILED) > 0).then_some(()));
    alerts.launch();
    subscriber.has_subscribed(3).await;

    let expected = by_the_engine(&all);
    expect::settles(&mut eddy, &receiver, &expected);
    assert_eq!(receiver.received().len(), expected.decisions.len(), "the webhook was told once of each");
    assert_eq!(eddy.metric("eddy_sink_attempts_failed_total{sink=\"on_call\"}"), 0);
    e2e::poll(|| (told(&subscriber).len() >= expected.decisions.len()).then_some(()));
    let posted: BTreeMap<String, Vec<u8>> =
        receiver.received().into_iter().map(|request| (request.id().to_owned(), request.body)).collect();
    let published = told(&subscriber);
    assert_eq!(published.keys().collect::<Vec<_>>(), posted.keys().collect::<Vec<_>>(), "{}", eddy.said());
    assert_eq!(published, posted, "the very bytes that the webhook got");
    println!("{} alerts, {} attempts failed", posted.len(), eddy.metric(FAILED));

    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let said_goodbye =
        || alerts.log().contains("Received DISCONNECT from eddy-test-sink-plant").then_some(());
    assert!(e2e::poll(said_goodbye).is_some(), "it left without a word");
}
