//! The MQTT source over MQTT 5 against a real Mosquitto: the promises of 3.1.1, and what only 5 has.

use std::time::Duration;

use crate::mqtt;
use crate::support::mosquitto::Mosquitto;
use crate::support::{FakeLog, Rig, broker_plan, mqtt_plan, numbered, read, stop, texts};
use eddy::config::plan::{MqttPlan, Protocol, SourceKind};

fn plan(port: u16) -> MqttPlan {
    let protocol = Protocol::V5 { session_expiry: Duration::from_secs(3600), receive_maximum: u16::MAX };
    MqttPlan { protocol, ..mqtt_plan(port) }
}

fn rig(plan: MqttPlan) -> (Rig, FakeLog) {
    Rig::new(SourceKind::Mqtt(plan))
}

async fn publish(broker: &Mosquitto, lines: &[String]) {
    tokio::task::block_in_place(|| broker.publish_lines("plant/1/telemetry", 1, lines));
}

/// Packet ids of the log's lines with these words, in order.
fn packet_ids(broker: &Mosquitto, words: &str) -> Vec<u16> {
    let id = |line: &str| {
        let text = line.split(", m").nth(1).or_else(|| line.split("Mid: ").nth(1)).expect("a packet id");
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
    };
    broker.log().lines().filter(|line| line.contains(words)).map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn acks_follow_the_log_in_receive_order_and_the_session_stays() {
    let broker = Mosquitto::start();
    let (first, mut log) = rig(plan(broker.port));
    let task = first.spawn();
    first.until_connected().await;
    assert!(broker.log().contains("as eddy-test (p5, c0"), "MQTT 5, clean start off");
    publish(&broker, &numbered(0..3)).await;
    let held = log.next().await;
    // Were an ack sent on receipt, it would be out by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(packet_ids(&broker, "Received PUBACK from eddy-test").is_empty(), "before the log had it");
    let _ = held.logged.send(Ok(()));
    log.accept(3 - held.messages.len()).await;
    first.until_acked(3).await;
    stop(&first, task).await;
    let sent = packet_ids(&broker, "Sending PUBLISH to eddy-test");
    assert_eq!(packet_ids(&broker, "Received PUBACK from eddy-test"), sent);
    // The broker keeps what comes while nobody is there.
    publish(&broker, &numbered(3..6)).await;
    let (second, mut log) = rig(plan(broker.port));
    let task = second.spawn();
    assert_eq!(texts(&log.accept(3).await), numbered(3..6));
    second.until_acked(3).await;
    stop(&second, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restarted_mid_stream_loses_nothing() {
    mqtt::loses_nothing_over_a_restart(plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_of_one_id_are_told_that_they_put_each_other_out() {
    mqtt::put_each_other_out(plan, "client id \"eddy-test\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribes_again_when_the_broker_forgot_the_session() {
    mqtt::subscribes_to_a_broker_that_forgot(plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_in_one_group_take_every_message_once_between_them() {
    let broker = Mosquitto::start();
    let shared = |id: &str| MqttPlan {
        broker: broker_plan(broker.port, id),
        topics: vec!["$share/eddies/plant/#".into()],
        ..plan(broker.port)
    };
    let (a, log_a) = rig(shared("a"));
    let (b, log_b) = rig(shared("b"));
    let tasks = [a.spawn(), b.spawn()];
    a.until_connected().await;
    b.until_connected().await;
    let (taken_a, taken_b) = (log_a.accept_from_now_on(), log_b.accept_from_now_on());
    publish(&broker, &numbered(0..1000)).await;
    a.until("all acked", |s| read(&s.acked_total) + read(&b.status().acked_total) >= 1000).await;
    // A message that went to both would come about now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (taken_a, taken_b) = (texts(&taken_a.lock().unwrap()), texts(&taken_b.lock().unwrap()));
    assert!(!taken_a.is_empty() && !taken_b.is_empty(), "{} and {}", taken_a.len(), taken_b.len());
    let mut all: Vec<String> = taken_a.into_iter().chain(taken_b).collect();
    let mut sent = numbered(0..1000);
    all.sort();
    sent.sort();
    assert_eq!(all, sent);
    let [task_a, task_b] = tasks;
    stop(&a, task_a).await;
    stop(&b, task_b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_dropped_counted_and_acked() {
    let broker = Mosquitto::start();
    broker.publish_retained("plant/1/state", "old");
    let (rig, mut log) = rig(plan(broker.port));
    let task = rig.spawn();
    rig.until("dropped", |s| read(&s.retained_dropped_total) == 1).await;
    publish(&broker, &numbered(0..1)).await;
    assert_eq!(texts(&log.accept(1).await), numbered(0..1));
    rig.until_acked(2).await;
    assert_eq!(read(&rig.status().messages_total), 1);
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_receive_maximum_is_on_its_way() {
    let broker = Mosquitto::start();
    let protocol = Protocol::V5 { session_expiry: Duration::from_secs(60), receive_maximum: 3 };
    let (rig, mut log) = rig(MqttPlan { protocol, ..plan(broker.port) });
    let task = rig.spawn();
    rig.until_connected().await;
    publish(&broker, &numbered(0..50)).await;
    let held = log.next().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(read(&rig.status().messages_total), 3);
    let _ = held.logged.send(Ok(()));
    log.accept(50 - held.messages.len()).await;
    rig.until_acked(50).await;
    stop(&rig, task).await;
}
