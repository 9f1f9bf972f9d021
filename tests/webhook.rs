//! Delivery from the outbox to real receivers, of HTTP and MQTT, that fail in real ways.

#[path = "webhook/alertmanager.rs"]
mod alertmanager;
#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/delivery.rs"]
mod delivery;
#[path = "webhook/grouped.rs"]
mod grouped;
#[path = "webhook/handshake.rs"]
mod handshake;
#[path = "support/mosquitto.rs"]
#[allow(dead_code)] // a part is used
mod mosquitto;
#[path = "webhook/mqtt.rs"]
mod mqtt;
#[path = "webhook/mqtt_limits.rs"]
mod mqtt_limits;
#[path = "webhook/mqtt_rival.rs"]
mod mqtt_rival;
#[path = "webhook/mqtt_wire.rs"]
mod mqtt_wire;
#[path = "webhook/now.rs"]
mod now;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "webhook/recovery.rs"]
mod recovery;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "webhook/torture.rs"]
mod torture;

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use delivery::{PATIENT, Rig, SHORT, SINK, STEP_MAX, THREE, TIMEOUT, alert, file, secrets};
use eddy::alert::outbox::DeliveryState;
use eddy::latency::Stage;
use eddy::types::Decision;
use receiver::{Behaviour, Receiver};

/// What is shown is shown a moment after it is written down.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + STEP_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn either_secret_of_a_rotation_verifies_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    let request = receiver.wait_for(1).await.remove(0);
    assert_eq!(request.id(), "a1_1");
    assert_eq!(request.header("content-type"), "application/json");
    for secret in secrets() {
        let verifier = standardwebhooks::Webhook::new(&format!("whsec_{}", STANDARD.encode(secret))).unwrap();
        verifier.verify(&request.body, &request.headers).unwrap();
    }
    let stranger = standardwebhooks::Webhook::from_bytes(vec![8; 32]).unwrap();
    assert!(stranger.verify(&request.body, &request.headers).is_err());
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["type"], "anomaly.raised");
    assert_eq!(body["timestamp"], "2023-11-14T22:14:24Z");
    assert_eq!(serde_json::from_value::<Decision>(body["data"].clone()).unwrap(), alert("a1", 1).decision);
    let delivery = rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!((delivery.attempts, delivery.last_status, delivery.last_error), (1, Some(200), None));
    until("its latency is recorded", || rig.latency.summary(Stage::Deliver).count == 1).await;
    rig.stop().await;
}

#[tokio::test]
async fn every_kind_of_failure_is_retried_with_one_id_and_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let failures = [
        Behaviour::Status(500),
        Behaviour::RedirectTo("/elsewhere"),
        Behaviour::CloseMidResponse,
        Behaviour::Hang,
        Behaviour::Status(404),
        Behaviour::Status(503),
    ];
    let receiver = Receiver::start(failures.clone()).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    let delivery = rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempts as usize, failures.len() + 1);
    assert!(delivery.first_attempt_at_ns < delivery.delivered_at_ns);
    let requests = receiver.received();
    assert_eq!(requests.len(), failures.len() + 1);
    let verifier = standardwebhooks::Webhook::from_bytes(secrets().remove(0)).unwrap();
    for request in &requests {
        assert_eq!(request.path, "/hook", "a redirect was followed");
        assert_eq!(request.id(), "a1_1");
        assert_eq!(request.body, requests[0].body);
        verifier.verify(&request.body, &request.headers).unwrap();
    }
    // One trace, of which each attempt is a span, and which nobody records here.
    let contexts: Vec<&str> = requests.iter().map(|request| request.header("traceparent")).collect();
    assert!(
        contexts.iter().all(|c| c.len() == 55 && c[..36] == contexts[0][..36] && c.ends_with("-00")),
        "{contexts:?}"
    );
    let spans: std::collections::BTreeSet<&str> = contexts.iter().map(|context| &context[36..52]).collect();
    assert_eq!(spans.len(), requests.len(), "{contexts:?}");
    let sink = &rig.status.sinks[0];
    assert_eq!(sink.attempts_failed_total.load(Ordering::Relaxed) as usize, failures.len());
    assert_eq!(sink.delivered_total.load(Ordering::Relaxed), 1);
    assert_eq!(*sink.last_error.lock().unwrap(), None, "success clears the error");
    rig.stop().await;
}

#[tokio::test]
async fn every_attempt_carries_the_time_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::RetryAfter(429, "2".into())]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    let requests = receiver.wait_for(2).await;
    let stamp = |i: usize| requests[i].header("webhook-timestamp").parse::<u64>().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(stamp(1) > stamp(0) && now - stamp(1) <= 5, "{} {} {now}", stamp(0), stamp(1));
    rig.stop().await;
}

#[tokio::test]
async fn retry_after_holds_back_the_message_and_the_whole_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::RetryAfter(429, "1".into())]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    let first = receiver.wait_for(1).await.remove(0);
    // Its failure has to be known before the next alert comes.
    until("an attempt", || rig.delivery("a1", 1).attempts > 0).await;
    rig.store(&[alert("a2", 1)]);
    let requests = receiver.wait_for(3).await;
    for request in &requests[1..] {
        let pause = request.at - first.at;
        assert!(pause >= Duration::from_millis(990), "{} came after {pause:?}", request.id());
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_410_disables_the_receiver_and_lists_what_it_misses_until_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(500), Behaviour::Status(410)]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    // The first waits an hour for its second attempt, so it is pending when the 410 comes.
    rig.store(&[alert("a1", 1)]);
    until("an attempt", || rig.delivery("a1", 1).attempts > 0).await;
    rig.store(&[alert("a2", 1)]);
    rig.wait_for_state("a2", 1, DeliveryState::Failed).await;
    rig.store(&[alert("a3", 1)]);
    let waiting = rig.delivery("a1", 1);
    let later = rig.delivery("a3", 1);
    for delivery in [&waiting, &later] {
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert!(delivery.last_error.as_ref().unwrap().contains("410"), "{delivery:?}");
    }
    let failed = rig.outbox.reader().unwrap().failed(9).unwrap();
    assert_eq!(failed.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["a1", "a2", "a3"]);
    let sink = &rig.status.sinks[0];
    until("all three are shown", || sink.failed.load(Ordering::Relaxed) == 3).await;
    assert!(sink.disabled.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 2, "nothing more after a 410");
    assert_eq!(sink.failed_total.load(Ordering::Relaxed), 2, "the third was not tried at all");

    assert_eq!(rig.outbox.replay_failed("a3", 1, SINK, rig.clock.now_ns()).unwrap().deliveries, 1);
    rig.wait_for_state("a3", 1, DeliveryState::Delivered).await;
    until("two are left", || sink.failed.load(Ordering::Relaxed) == 2).await;
    assert_eq!(sink.failed_total.load(Ordering::Relaxed), 2, "a counter does not fall");
    rig.store(&[alert("a4", 1)]);
    rig.wait_for_state("a4", 1, DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_hanging_request_does_not_hold_up_other_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Hang]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&(0..8).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    let requests = receiver.wait_for(8).await;
    let took = requests[7].at - requests[0].at;
    assert!(took < TIMEOUT, "eight requests took {took:?}");
    assert_eq!(requests.iter().map(|r| r.id()).collect::<std::collections::BTreeSet<_>>().len(), 8);
    let hanging = requests[0].id().trim_end_matches("_1");
    let delivery = rig.wait_for_state(hanging, 1, DeliveryState::Delivered).await;
    assert_eq!(delivery.attempts, 2, "what hangs is not sent a second time beside itself");
    assert_eq!(receiver.received().len(), 9);
    rig.stop().await;
}

#[tokio::test]
async fn a_storm_comes_through_once_each_and_never_more_than_eight_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    // Long enough that all who may come are there at once.
    let slow = vec![Behaviour::AcceptAfter(TIMEOUT / 4); 24];
    let receiver = Receiver::start(slow).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&(0..24).map(|i| alert(&format!("a{i:02}"), 1)).collect::<Vec<_>>());
    for i in 0..24 {
        rig.wait_for_state(&format!("a{i:02}"), 1, DeliveryState::Delivered).await;
    }
    assert_eq!(receiver.answering_max(), 8);
    let received = receiver.received();
    let ids: std::collections::BTreeSet<_> = received.iter().map(|r| r.id().to_owned()).collect();
    assert_eq!((received.len(), ids.len()), (24, 24));
    rig.stop().await;
}

/// A receiver that is down is no error of ours, and a url may hold a token: neither the outbox, the
/// status nor the log may show it, nor any secret.
#[tokio::test]
async fn failures_show_neither_url_nor_secret() {
    let (log, _heard) = Log::begin();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://user:pass-4711@127.0.0.1:{}/hook?token=token-4711", mosquitto::free_port());
    let rig = Rig::start(&file(&folder), &url, &THREE);
    rig.store(&[alert("a1", 1)]);
    let delivery = rig.wait_for_state("a1", 1, DeliveryState::Failed).await;
    let shown = format!("{delivery:?} {:?} {}", rig.status.sinks[0], log.text());
    assert!(shown.contains("cannot connect: "), "{shown}");
    assert!(log.text().contains("delivery given up"), "{}", log.text());
    for secret in ["4711", "/hook", &STANDARD.encode(vec![7; 32])] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    rig.stop().await;
}

#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    /// Hears what this thread says until what is given beside it is dropped.
    fn begin() -> (Log, (tracing::Dispatch, tracing::subscriber::DefaultGuard)) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        // With one alone, what another test says first decides by that test's thread whether anybody hears it.
        let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        (log, (second, tracing::subscriber::set_default(subscriber)))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn standard_output_goes_through_the_same_outbox() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let rig = Rig::start_stdout(&file(&folder), writer, &THREE);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    let mut reader = std::io::BufReader::new(reader);
    for kind in ["anomaly.raised", "anomaly.resolved"] {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["type"], kind);
    }
    drop(reader);
    rig.store(&[alert("a2", 1)]);
    // It is not lost with its reader: the next start prints it.
    until("why it waits", || rig.delivery("a2", 1).last_error.is_some()).await;
    let waits = rig.delivery("a2", 1);
    assert_eq!(waits.state, DeliveryState::Pending, "{waits:?}");
    assert!(waits.last_error.as_ref().unwrap().contains("has closed it"), "{waits:?}");
    rig.stop().await;
}
