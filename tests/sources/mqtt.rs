//! The MQTT source against a real Mosquitto.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::mosquitto::Mosquitto;
use crate::support::{FakeLog, Rig, STEP_MAX, mqtt_plan as plan, numbered, read, stop, texts};
use eddy::config::plan::{MqttPlan, SourceKind};
use eddy::source::broker;
use tokio::time::timeout;

fn rig(broker: &Mosquitto) -> (Rig, FakeLog) {
    Rig::new(SourceKind::Mqtt(plan(broker.port)))
}

/// Publishing blocks until Mosquitto has everything, so it gets a thread of its own.
async fn publish(broker: &Mosquitto, qos: u8, lines: &[String]) {
    tokio::task::block_in_place(|| broker.publish_lines("plant/1/telemetry", qos, lines));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_messages_arrive_once_in_order_and_are_acked() {
    let broker = Mosquitto::start();
    let (rig, mut log) = rig(&broker);
    let task = rig.spawn();
    rig.until_connected().await;
    let sent = numbered(0..2000);
    let received = tokio::spawn(async move { (log.accept(2000).await, log) });
    publish(&broker, 1, &sent).await;
    let (messages, mut log) = timeout(STEP_MAX, received).await.unwrap().unwrap();
    assert_eq!(texts(&messages), sent);
    assert!(messages.iter().all(|m| &*m.topic == "plant/1/telemetry" && &*m.source == "plant"));
    assert!(messages.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));
    rig.until_acked(2000).await;
    assert_eq!(read(&rig.status().messages_total), 2000);
    log.stays_empty(Duration::from_millis(300)).await;
    stop(&rig, task).await;
    assert_eq!(broker.log().matches("Received PUBACK from eddy-test").count(), 2000);
    assert!(broker.log().contains("Received DISCONNECT from eddy-test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restarted_mid_stream_loses_nothing() {
    loses_nothing_over_a_restart(plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribes_again_when_the_broker_forgot_the_session() {
    subscribes_to_a_broker_that_forgot(plan).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_of_one_id_are_told_that_they_put_each_other_out() {
    put_each_other_out(plan, "takes client id \"eddy-test\" and closes the connection again and again").await;
}

/// Two sources by this plan at one broker; what is said of it in either, and no longer once the broker is away.
pub async fn put_each_other_out(plan: fn(u16) -> MqttPlan, words: &str) {
    let mut broker = Mosquitto::start();
    let [(first, _log), (second, _other)] = [(); 2].map(|()| Rig::new(SourceKind::Mqtt(plan(broker.port))));
    let tasks = [first.spawn(), second.spawn()];
    for rig in [&first, &second] {
        rig.until(words, |status| {
            let told = status.rival.lately().unwrap_or_default();
            told.contains(words) && told.contains("write another `client_id` here")
        })
        .await;
    }
    tasks[1].abort();
    first
        .until("it stands, and in a minute there is no other", |status| {
            let in_a_minute = Instant::now() + Duration::from_secs(60);
            status.connected.load(Ordering::Relaxed) && status.rival.at(in_a_minute).is_none()
        })
        .await;
    assert!(first.status().rival.lately().is_some(), "so far it may come back");
    tokio::task::block_in_place(|| broker.stop());
    first.until_told("start it, or correct").await;
    assert_eq!(first.status().rival.lately(), None, "this has another remedy");
    tasks[0].abort();
}

/// Of a source by this plan, over either protocol.
pub async fn loses_nothing_over_a_restart(plan: fn(u16) -> MqttPlan) {
    let mut broker = Mosquitto::start();
    let (rig, mut log) = Rig::new(SourceKind::Mqtt(plan(broker.port)));
    let task = rig.spawn();
    rig.until_connected().await;
    publish(&broker, 1, &numbered(0..500)).await;
    // Some are acknowledged, some are in the log's hands, the others wait. Not more than one submission
    // is sure to be followed by another: after a PUBACK Mosquitto may send all it has, whatever its window.
    let acknowledged = log.accept(1).await;
    let held = log.next().await;
    tokio::task::block_in_place(|| broker.stop());
    let logged = log.accept_from_now_on();
    let mut seen: BTreeSet<String> = texts(&acknowledged).into_iter().collect();
    seen.extend(texts(&held.messages));
    let _ = held.logged.send(Ok(()));
    rig.until_told("start it, or correct").await;
    tokio::task::block_in_place(|| broker.launch());
    publish(&broker, 1, &numbered(500..1000)).await;
    rig.until("all logged", |_| {
        seen.iter().cloned().chain(texts(&logged.lock().unwrap())).collect::<BTreeSet<_>>().len() == 1000
    })
    .await;
    rig.until_connected().await;
    assert_eq!(*rig.status().last_error.lock().unwrap(), None);
    assert_eq!(read(&rig.status().reconnects_total), 1);
    stop(&rig, task).await;
}

/// The same.
pub async fn subscribes_to_a_broker_that_forgot(plan: fn(u16) -> MqttPlan) {
    let mut broker = Mosquitto::start();
    let (rig, mut log) = Rig::new(SourceKind::Mqtt(plan(broker.port)));
    let task = rig.spawn();
    rig.until_connected().await;
    tokio::task::block_in_place(|| {
        broker.stop();
        broker.forget();
        broker.launch();
    });
    rig.until("reconnected", |s| {
        read(&s.reconnects_total) == 1 && s.connected.load(std::sync::atomic::Ordering::Relaxed)
    })
    .await;
    publish(&broker, 1, &numbered(0..10)).await;
    assert_eq!(texts(&log.accept(10).await), numbered(0..10));
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acked_before_it_is_logged() {
    let broker = Mosquitto::start();
    let (first, mut log) = rig(&broker);
    let task = first.spawn();
    first.until_connected().await;
    publish(&broker, 1, &numbered(0..3)).await;
    let mut held = vec![log.next().await];
    while held.iter().map(|submission| submission.messages.len()).sum::<usize>() < 3 {
        held.push(log.next().await);
    }
    // Were an ack sent on receipt, it would be out by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!broker.log().contains("Received PUBACK from eddy-test"), "acknowledged before the log had it");
    task.abort();
    let _ = task.await;
    let (second, mut log) = rig(&broker);
    let task = second.spawn();
    assert_eq!(texts(&log.accept(3).await), numbered(0..3), "redelivered to the next process");
    second.until_acked(3).await;
    stop(&second, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_refuses_is_redelivered() {
    let broker = Mosquitto::start();
    let (rig, mut log) = rig(&broker);
    let task = rig.spawn();
    rig.until_connected().await;
    publish(&broker, 1, &numbered(0..1)).await;
    assert_eq!(texts(&log.refuse().await), numbered(0..1));
    assert_eq!(texts(&log.refuse().await), numbered(0..1));
    rig.until_told("free disk space").await;
    assert_eq!(read(&rig.status().acked_total), 0);
    publish(&broker, 1, &numbered(1..50)).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 50 {
        seen.extend(texts(&log.accept(1).await));
    }
    assert_eq!(seen, numbered(0..50).into_iter().collect());
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_settles_what_is_in_flight() {
    let broker = Mosquitto::start();
    let (rig, mut log) = rig(&broker);
    let task = rig.spawn();
    rig.until_connected().await;
    publish(&broker, 1, &numbered(0..5)).await;
    let first = log.next().await;
    rig.context.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!task.is_finished(), "it waits for the log");
    let mut taken = first.messages.len();
    let _ = first.logged.send(Ok(()));
    while let Ok(Some(more)) = timeout(Duration::from_secs(1), log.0.recv()).await {
        taken += more.messages.len();
        let _ = more.logged.send(Ok(()));
    }
    stop(&rig, task).await;
    assert_eq!(read(&rig.status().acked_total), taken as u64);
    assert_eq!(broker.log().matches("Received PUBACK from eddy-test").count(), taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_dropped_counted_and_acked() {
    let broker = Mosquitto::start();
    broker.publish_retained("plant/1/state", "old");
    let (rig, mut log) = rig(&broker);
    let task = rig.spawn();
    rig.until("dropped", |s| read(&s.retained_dropped_total) == 1).await;
    publish(&broker, 1, &numbered(0..1)).await;
    assert_eq!(texts(&log.accept(1).await), numbered(0..1));
    rig.until_acked(2).await;
    assert_eq!(read(&rig.status().messages_total), 1);
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_kept_when_asked_for() {
    let broker = Mosquitto::start();
    broker.publish_retained("plant/1/state", "old");
    let (rig, mut log) = Rig::new(SourceKind::Mqtt(MqttPlan { retained: true, ..plan(broker.port) }));
    let task = rig.spawn();
    assert_eq!(texts(&log.accept(1).await), ["old"]);
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qos_0_is_logged_and_never_acked() {
    let broker = Mosquitto::start();
    let (rig, mut log) = rig(&broker);
    let task = rig.spawn();
    rig.until_connected().await;
    publish(&broker, 0, &numbered(0..500)).await;
    assert_eq!(texts(&log.accept(500).await), numbered(0..500));
    stop(&rig, task).await;
    assert_eq!(read(&rig.status().acked_total), 0);
    assert!(!broker.log().contains("Received PUBACK from eddy-test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_log_does_not_cost_the_connection() {
    // A window wide enough that everything is on its way at once.
    let broker = Mosquitto::start_with("max_inflight_messages 3000");
    let (rig, mut log) =
        Rig::new(SourceKind::Mqtt(MqttPlan { keep_alive: Duration::from_secs(1), ..plan(broker.port) }));
    let task = rig.spawn();
    rig.until_connected().await;
    publish(&broker, 1, &numbered(0..3000)).await;
    let held = log.next().await;
    // Mosquitto closes after 1.5 keep-alives without a ping, for which it looks every 5 s.
    tokio::time::sleep(Duration::from_secs(9)).await;
    let rest = 3000 - held.messages.len();
    let mut received = texts(&held.messages);
    let _ = held.logged.send(Ok(()));
    received.extend(texts(&log.accept(rest).await));
    assert_eq!(received, numbered(0..3000));
    rig.until_acked(3000).await;
    assert_eq!(read(&rig.status().reconnects_total), 0);
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_broker_serves_the_source() {
    let broker = tokio::task::spawn_blocking(broker::start).await.unwrap().expect("it starts");
    let (rig, log) = Rig::new(SourceKind::Mqtt(plan(broker.port)));
    let task = rig.spawn();
    rig.until_connected().await;
    let options = rumqttc::MqttOptions::new("publisher", "127.0.0.1", broker.port);
    let (client, mut eventloop) = rumqttc::AsyncClient::new(options, 100);
    let publisher = tokio::spawn(async move { while eventloop.poll().await.is_ok() {} });
    let sent = numbered(0..300);
    let logged = log.accept_from_now_on();
    for payload in &sent {
        client
            .publish("plant/1/telemetry", rumqttc::QoS::AtLeastOnce, false, payload.as_bytes())
            .await
            .unwrap();
    }
    rig.until_acked(300).await;
    assert_eq!(texts(&logged.lock().unwrap()), sent);
    publisher.abort();
    stop(&rig, task).await;
}
