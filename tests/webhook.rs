//! Delivery from the outbox to a real HTTP receiver that fails in real ways.

#[path = "support/receiver.rs"]
mod receiver;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eddy::alert::outbox::{AlertFilter, DeliveryState, Outbox, OutboxHandle, Stored};
use eddy::config::plan::{DashboardPlan, DurablePlan, Plan, SinkKind, SinkPlan, WebhookPlan};
use eddy::latency::{Clock, Latency, Stage};
use eddy::sink::deliver::{self, Delivery};
use eddy::status::Status;
use eddy::types::{Alert, AlertState, ColumnEvidence, Decision, EventTime, Receipt};
use receiver::{Behaviour, Receiver};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SINK: &str = "on_call";
const TIMEOUT: Duration = Duration::from_millis(400);

/// Ten attempts like the real one, over half a second.
const SHORT: [Duration; 10] = [Duration::from_millis(50); 10];
/// The second attempt comes after the tests have ended.
const PATIENT: [Duration; 2] = [Duration::from_secs(3600); 2];
const THREE: [Duration; 3] = [Duration::from_millis(20); 3];

fn alert(id: &str, revision: u32) -> Alert {
    Alert {
        decision: Decision {
            id: id.into(),
            revision,
            state: if revision == 1 { AlertState::Raised } else { AlertState::Resolved },
            stream: "pumps".into(),
            key: "pump-17".into(),
            rule: "window".into(),
            onset: EventTime(1_700_000_000_000_000_000),
            window_start: EventTime(1_700_000_000_000_000_000),
            window_end: EventTime(1_700_000_064_000_000_000),
            epoch: 28_333_334,
            model: "m".into(),
            log_likelihood: -91.5,
            p_value: 1e-5,
            threshold: 1e-4,
            p_value_min: 1e-5,
            coverage: 1.0,
            columns: vec![ColumnEvidence {
                column: "vibration".into(),
                unit: Some("mm/s".into()),
                value: Some(7.9),
                expected: 2.75,
                expected_low: 2.1,
                expected_high: 3.4,
                share: 1.0,
            }],
        },
        receipt: Receipt::default(),
    }
}

fn secrets() -> Vec<Vec<u8>> {
    vec![vec![7; 32], (0..24).collect()]
}

/// One outbox, one sink, one worker.
struct Rig {
    outbox: OutboxHandle,
    status: Arc<Status>,
    latency: Latency,
    clock: Clock,
    shutdown: CancellationToken,
    worker: JoinHandle<Result<(), eddy::sink::SinkError>>,
}

impl Rig {
    fn start(path: &Path, url: &str, schedule: &'static [Duration]) -> Self {
        let webhook = WebhookPlan { url: url.to_owned(), secret: secrets(), timeout: TIMEOUT };
        let sink = SinkPlan { name: SINK.into(), kind: SinkKind::Webhook(webhook) };
        let clock = Clock::start();
        let outbox = OutboxHandle::new(Outbox::open(path, &[SINK.into()]).unwrap());
        let status = Arc::new(Status::new(&plan(sink.clone()), clock.now_ns()));
        let latency = Latency::new();
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(deliver::run(Delivery {
            sink,
            index: 0,
            outbox: outbox.clone(),
            status: Arc::clone(&status),
            latency: latency.clone(),
            clock,
            schedule,
            shutdown: shutdown.clone(),
        }));
        Rig { outbox, status, latency, clock, shutdown, worker }
    }

    fn store(&self, alerts: &[Alert]) -> Stored {
        self.outbox.store(alerts, self.clock.now_ns()).unwrap()
    }

    /// State, attempts, last status, last error of one delivery.
    fn delivery(&self, id: &str, revision: u32) -> eddy::alert::outbox::Delivery {
        let revisions = self.outbox.reader().unwrap().alert(id).unwrap();
        let stored = revisions.into_iter().find(|r| r.alert.decision.revision == revision).expect("stored");
        assert_eq!(stored.deliveries.len(), 1);
        stored.deliveries.into_iter().next().unwrap()
    }

    async fn wait_for_state(
        &self,
        id: &str,
        revision: u32,
        state: DeliveryState,
    ) -> eddy::alert::outbox::Delivery {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let delivery = self.delivery(id, revision);
            if delivery.state == state {
                return delivery;
            }
            assert!(Instant::now() < deadline, "still {delivery:?} after 20 s, not {state:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.worker.await.unwrap().unwrap();
    }
}

fn plan(sink: SinkPlan) -> Plan {
    Plan {
        deployment: "test".into(),
        sources: vec![],
        streams: vec![],
        sinks: vec![sink],
        dashboard: DashboardPlan { enabled: false, listen: ([127, 0, 0, 1], 0).into() },
        durable: DurablePlan { path: "unused".into(), segment_bytes: 0 },
        shards: 1,
    }
}

fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("outbox.db")
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
    assert_eq!(rig.latency.summary(Stage::Deliver).count, 1);
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
    assert!(stamp(1) >= stamp(0) + 1 && now - stamp(1) <= 5, "{} {} {now}", stamp(0), stamp(1));
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
    while rig.delivery("a1", 1).attempts == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    while rig.delivery("a1", 1).attempts == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.store(&[alert("a2", 1)]);
    rig.wait_for_state("a2", 1, DeliveryState::Failed).await;
    rig.store(&[alert("a3", 1)]);
    let waiting = rig.delivery("a1", 1);
    let later = rig.delivery("a3", 1);
    for delivery in [&waiting, &later] {
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert!(delivery.last_error.as_ref().unwrap().contains("410"), "{delivery:?}");
    }
    let failed = rig.outbox.reader().unwrap().failed().unwrap();
    assert_eq!(failed.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["a1", "a2", "a3"]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), 2, "nothing more after a 410");
    let sink = &rig.status.sinks[0];
    assert!(sink.disabled.load(Ordering::Relaxed));
    assert_eq!(sink.failed_total.load(Ordering::Relaxed), 3);

    assert!(rig.outbox.replay_failed("a3", 1, SINK, rig.clock.now_ns()).unwrap());
    rig.wait_for_state("a3", 1, DeliveryState::Delivered).await;
    rig.store(&[alert("a4", 1)]);
    rig.wait_for_state("a4", 1, DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_new_url_takes_a_disabled_receiver_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Receiver::start([Behaviour::Status(410)]).await;
    let rig = Rig::start(&file(&folder), &gone.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Failed).await;
    rig.stop().await;

    let same = Rig::start(&file(&folder), &gone.url, &SHORT);
    same.store(&[alert("a2", 1)]);
    same.wait_for_state("a2", 1, DeliveryState::Failed).await;
    same.stop().await;
    assert_eq!(gone.received().len(), 1, "a restart does not forget a 410");

    let moved = Receiver::start([]).await;
    let rig = Rig::start(&file(&folder), &moved.url, &SHORT);
    while rig.outbox.run(|outbox| outbox.counts(SINK)).await.unwrap().disabled {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.store(&[alert("a3", 1)]);
    rig.wait_for_state("a3", 1, DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_hanging_request_does_not_hold_up_other_alerts() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Hang]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    let start = Instant::now();
    rig.store(&(0..8).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    let requests = receiver.wait_for(8).await;
    assert!(start.elapsed() < TIMEOUT, "eight requests took {:?}", start.elapsed());
    assert_eq!(requests.iter().map(|r| r.id()).collect::<std::collections::BTreeSet<_>>().len(), 8);
    rig.wait_for_state(requests[0].id().trim_end_matches("_1"), 1, DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_storm_comes_through_once_each_and_never_more_than_eight_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let slow = vec![Behaviour::AcceptAfter(Duration::from_millis(100)); 24];
    let receiver = Receiver::start(slow).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    let start = Instant::now();
    rig.store(&(0..24).map(|i| alert(&format!("a{i:02}"), 1)).collect::<Vec<_>>());
    for i in 0..24 {
        rig.wait_for_state(&format!("a{i:02}"), 1, DeliveryState::Delivered).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(300), "24 in {:?}", start.elapsed());
    let received = receiver.received();
    let ids: std::collections::BTreeSet<_> = received.iter().map(|r| r.id().to_owned()).collect();
    assert_eq!((received.len(), ids.len()), (24, 24));
    rig.stop().await;
}

#[tokio::test]
async fn revisions_of_an_alert_go_out_in_order_even_if_the_first_fails() {
    let folder = tempfile::tempdir().unwrap();
    let failures = vec![Behaviour::Status(500), Behaviour::AcceptAfter(Duration::from_millis(100))];
    let receiver = Receiver::start(failures).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    let ids: Vec<_> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(ids, ["a1_1", "a1_1", "a1_2"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_schedule_used_up_is_a_listed_failure_that_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Status(500); 3]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &THREE);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    // The second revision no longer waits once the first is given up.
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    let failed = rig.outbox.reader().unwrap().failed().unwrap();
    assert_eq!(failed.len(), 1);
    let given_up = &failed[0];
    assert_eq!((given_up.id.as_str(), given_up.revision, given_up.key.as_str()), ("a1", 1, "pump-17"));
    assert_eq!((given_up.delivery.attempts, given_up.delivery.last_status), (3, Some(500)));
    assert_eq!(rig.status.sinks[0].failed_total.load(Ordering::Relaxed), 1);

    assert!(rig.outbox.replay_failed("a1", 1, SINK, rig.clock.now_ns()).unwrap());
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert!(!rig.outbox.replay_failed("a1", 1, SINK, rig.clock.now_ns()).unwrap(), "it is not failed now");
    let bodies: Vec<_> =
        receiver.received().into_iter().filter(|r| r.id() == "a1_1").map(|r| r.body).collect();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    rig.stop().await;
}

#[tokio::test]
async fn alerts_made_again_by_a_recovery_are_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    assert_eq!(rig.store(&[alert("a1", 1)]), Stored { new: 1, known: 0, differing: 0 });
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.stop().await;

    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    let mut again = alert("a1", 1);
    again.receipt.recovered = true;
    assert_eq!(rig.store(&[again, alert("a2", 1)]), Stored { new: 1, known: 1, differing: 0 });
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    let ids: Vec<_> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(ids, ["a1_1", "a2_1"]);
    let page = rig.outbox.reader().unwrap().alerts_page(None, 10, &AlertFilter::default()).unwrap();
    assert!(!page[1].alert.receipt.recovered, "the first receipt stays");
    rig.stop().await;
}

/// A receiver that is down is no error of ours, and a url may hold a token: neither the outbox, the
/// status nor the log may show it, nor any secret.
#[tokio::test]
async fn failures_show_neither_url_nor_secret() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:pass-4711@{}/hook?token=token-4711", free.local_addr().unwrap());
    drop(free);
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
async fn a_stop_still_sends_what_is_due_and_leaves_the_rest_for_later() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(500)]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("late", 1)]);
    while rig.delivery("late", 1).attempts == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.store(&(0..20).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    let (outbox, start) = (rig.outbox.clone(), Instant::now());
    rig.stop().await;
    assert!(start.elapsed() < Duration::from_secs(2), "stopped after {:?}", start.elapsed());
    let counts = outbox.run(|outbox| outbox.counts(SINK)).await.unwrap();
    assert_eq!((counts.pending, counts.failed), (1, 0));
    assert_eq!(receiver.received().len(), 21);
}

const CHILD_FILE: &str = "EDDY_TEST_OUTBOX";
const CHILD_URL: &str = "EDDY_TEST_URL";

/// The process that the next test kills. Does nothing when run by itself.
#[tokio::test]
async fn child_that_delivers_until_killed() {
    let (Ok(path), Ok(url)) = (std::env::var(CHILD_FILE), std::env::var(CHILD_URL)) else { return };
    let rig = Rig::start(Path::new(&path), &url, &SHORT);
    rig.store(&[alert("a1", 1), alert("a2", 1)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    rig.stop().await;
}

/// kill -9 after the receiver has the request and before the sender has the answer: the alert is
/// sent again by the next process, under the same id and with the same bytes.
#[tokio::test]
async fn killed_between_send_and_record_the_same_id_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let late = Behaviour::AcceptAfter(Duration::from_millis(300));
    let receiver = Receiver::start([late.clone(), late]).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_delivers_until_killed"])
        .env(CHILD_FILE, file(&folder))
        .env(CHILD_URL, &receiver.url)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let before = receiver.wait_for(2).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    let after = receiver.wait_for(4).await;
    for id in ["a1", "a2"] {
        rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
        let message_id = format!("{id}_1");
        let find = |requests: &[receiver::Received]| {
            requests.iter().find(|r| r.id() == message_id).expect(id).body.clone()
        };
        assert_eq!(find(&before), find(&after[2..]));
    }
    assert_eq!(receiver.received().len(), 4);
    rig.stop().await;
}
