//! The handshake of CloudEvents' webhooks, by a receiver that answers `OPTIONS` in every way.

use std::time::Duration;

use eddy::alert::outbox::DeliveryState;
use eddy::config::plan::{BodyFormat, SinkKind, SinkPlan};
use eddy::status::SendRate;

use crate::delivery::{self, Rig, SHORT, THREE, alert, file};
use crate::receiver::{Behaviour, Received, Receiver};

const ALLOWED: &str = "WebHook-Allowed-Origin: test\r\nAllow: POST\r\n";

fn events(url: &str, format: BodyFormat) -> SinkPlan {
    let mut sink = delivery::webhook(delivery::SINK, url);
    let SinkKind::Webhook(webhook) = &mut sink.kind else { panic!("it is one") };
    webhook.format = format;
    sink
}

fn methods(received: &[Received]) -> Vec<&str> {
    received.iter().map(|request| request.method.as_str()).collect()
}

fn delivered(rig: &Rig) -> bool {
    (1..4).all(|n| rig.delivery(&format!("a{n}"), 1).state == DeliveryState::Delivered)
}

/// Three alerts to a receiver that behaves so, first to `OPTIONS`; what it received, and how often it is said to allow.
async fn three(format: BodyFormat, behaviours: &[Behaviour]) -> (Vec<Received>, Option<SendRate>) {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(behaviours.iter().cloned()).await;
    let rig = Rig::start_sink(&file(&folder), events(&receiver.url, format), &SHORT);
    rig.store(&[alert("a1", 1), alert("a2", 1), alert("a3", 1)]);
    for n in 1..4 {
        rig.wait_for_state(&format!("a{n}"), 1, DeliveryState::Delivered).await;
    }
    let rate = rig.status.sinks[0].rate();
    rig.stop().await;
    (receiver.received(), rate)
}

#[tokio::test]
async fn a_receiver_of_events_is_asked_once_and_told_who_sends() {
    for format in [BodyFormat::CloudEvents, BodyFormat::CloudEventsBinary] {
        let (received, rate) = three(format, &[Behaviour::AcceptSaying(ALLOWED)]).await;
        assert_eq!(rate, Some(SendRate { per_minute: None, permitted: true }));
        assert_eq!(methods(&received), ["OPTIONS", "POST", "POST", "POST"], "{format:?}");
        assert_eq!(received[0].header("webhook-request-origin"), "test");
        assert!(received[0].body.is_empty());
        assert!(received[1..].iter().all(|request| request.header("origin") == "test"));
    }
    let (received, rate) = three(BodyFormat::Standard, &[]).await;
    assert_eq!(rate, None);
    assert_eq!(methods(&received), ["POST"; 3], "others are not asked");
    assert!(received.iter().all(|request| request.headers.get("origin").is_none()));
}

#[tokio::test]
async fn the_rate_that_it_allows_is_kept() {
    const FIFTY: &str = "WebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: 50\r\n";
    let (received, rate) = three(BodyFormat::CloudEvents, &[Behaviour::AcceptSaying(FIFTY)]).await;
    assert_eq!(rate, Some(SendRate { per_minute: Some(50), permitted: true }));
    assert_eq!(methods(&received), ["OPTIONS", "POST", "POST", "POST"]);
    // 2.4 s, and half of it at twice that rate. The handshake is part of the first attempt, so the stretch is shorter by it.
    let took = received[3].at - received[1].at;
    assert!(took > Duration::from_millis(1_600), "{took:?}");
}

#[tokio::test]
async fn one_that_is_down_is_tried_again_and_one_that_is_gone_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let behaviours = [Behaviour::Status(503), Behaviour::Close, Behaviour::AcceptSaying(ALLOWED)];
    let receiver = Receiver::start(behaviours).await;
    let rig = Rig::start_sink(&file(&folder), events(&receiver.url, BodyFormat::CloudEvents), &SHORT);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.stop().await;
    assert_eq!(methods(&receiver.received()), ["OPTIONS", "POST", "POST"]);
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(410)]).await;
    let rig = Rig::start_sink(&file(&folder), events(&receiver.url, BodyFormat::CloudEvents), &THREE);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Failed).await;
    assert_eq!(methods(&receiver.received()), ["OPTIONS"]);
    rig.stop().await;
}

#[tokio::test]
async fn one_that_fails_whenever_it_is_asked_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::choosing(|request| match request.method.as_str() {
        "OPTIONS" => Behaviour::Status(500),
        _ => Behaviour::Accept,
    })
    .await;
    let rig = Rig::start_sink(&file(&folder), events(&receiver.url, BodyFormat::CloudEvents), &THREE);
    rig.store(&[alert("a1", 1), alert("a2", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    assert_eq!(rig.status.sinks[0].rate(), Some(SendRate { per_minute: Some(10), permitted: false }));
    rig.stop().await;
    assert_eq!(methods(&receiver.received()), ["OPTIONS", "POST", "POST"]);
}

#[tokio::test]
async fn without_permission_little_is_sent_rather_than_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(405)]).await;
    let rig = Rig::start_sink(&file(&folder), events(&receiver.url, BodyFormat::CloudEvents), &SHORT);
    rig.store(&[alert("a1", 1), alert("a2", 1), alert("a3", 1)]);
    receiver.wait_for(2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(methods(&receiver.received()), ["OPTIONS", "POST"], "the next one waits for six seconds");
    assert!(!delivered(&rig));
    let shown = rig.status.sinks[0].rate();
    assert_eq!(shown, Some(SendRate { per_minute: Some(10), permitted: false }), "whoever asks sees why");
    receiver.wait_for(3).await;
    rig.stop().await;
}
