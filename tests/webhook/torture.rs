//! Receivers that are sick in every way there is, beside one that is well. None of them is to lose an alert, to see one
//! under two ids, or to hold up another.
//!
//! With `EDDY_DELIVERY_TABLE=FILE` what was seen is written there; `benches/delivery.json` holds such a run.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddy::alert::outbox::{Outbox, OutboxHandle};
use eddy::config::plan::SinkPlan;
use eddy::latency::{Clock, Latency};
use eddy::sink::deliver::{self, Delivery};
use eddy::status::Status;
use eddy::types::Alert;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::certificates::Certificates;
use crate::delivery::{PATIENT, Rig, STEP_MAX, THREE, alert, file, plan, webhook};
use crate::mosquitto::free_port;
use crate::receiver::{Behaviour, Receiver};

/// Twenty attempts over two seconds and more, so that no alert is given up while its receiver is sick.
const OFTEN: [Duration; 40] = [Duration::from_millis(50); 40];
const ALERTS: usize = 24;
/// So many requests each sick receiver is sick for.
const SICK: usize = 6;

static NOTES: Mutex<()> = Mutex::new(());

/// Adds to the table, if one is wanted.
pub fn note(name: &str, seen: Value) {
    let Some(path) = std::env::var_os("EDDY_DELIVERY_TABLE") else { return };
    let _one = NOTES.lock().unwrap();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let mut table: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    table.insert(name.to_owned(), seen);
    std::fs::write(&path, serde_json::to_string_pretty(&table).unwrap() + "\n").unwrap();
}

fn sicknesses() -> Vec<(&'static str, Behaviour)> {
    vec![
        ("answers 500", Behaviour::Status(500)),
        ("answers 429, Retry-After", Behaviour::RetryAfter(429, "1".into())),
        ("answers 410", Behaviour::Status(410)),
        ("redirects", Behaviour::RedirectTo("/elsewhere")),
        ("never answers", Behaviour::Hang),
        ("closes without an answer", Behaviour::Close),
        ("closes midway", Behaviour::CloseMidResponse),
        ("answers a byte at a time", Behaviour::Drip),
        ("answers without end", Behaviour::Flood),
    ]
}

/// One outbox, and a worker for each of many receivers.
struct Ward {
    outbox: OutboxHandle,
    status: Arc<Status>,
    clock: Clock,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl Ward {
    fn open(folder: &tempfile::TempDir, sinks: &[SinkPlan]) -> Self {
        let clock = Clock::start();
        let names: Vec<String> = sinks.iter().map(|sink| sink.name.clone()).collect();
        let outbox = OutboxHandle::new(Outbox::open(&file(folder), &names).unwrap());
        let status = Arc::new(Status::new(&plan(sinks.to_vec()), clock.now_ns()));
        let (stop, mut workers) = (CancellationToken::new(), JoinSet::new());
        for (index, sink) in sinks.iter().enumerate() {
            let delivery = Delivery {
                sink: sink.clone(),
                index,
                outbox: outbox.clone(),
                status: status.clone(),
                latency: Latency::new(),
                clock,
                tracer: Default::default(),
                schedule: &OFTEN,
                again: Duration::from_secs(60),
                shutdown: stop.clone(),
            };
            workers.spawn(async move { deliver::run(delivery).await.unwrap() });
        }
        Ward { outbox, status, clock, stop, workers }
    }

    /// Until all that waits for a receiver is told or given up; how long that took.
    async fn settled(&self, name: &str, since: Instant) -> Duration {
        let deadline = since + Duration::from_secs(90);
        loop {
            let of = name.to_owned();
            let counts = self.outbox.run(move |outbox| outbox.counts(&of)).await.unwrap();
            if counts.pending == 0 {
                return since.elapsed();
            }
            assert!(Instant::now() < deadline, "{name}: {counts:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn alerts() -> Vec<Alert> {
    (0..ALERTS).flat_map(|i| [alert(&format!("a{i:02}"), 1), alert(&format!("a{i:02}"), 2)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sick_receivers_lose_nothing_and_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let well = Receiver::start([]).await;
    let mut sinks = vec![webhook("well", &well.url)];
    let mut sick = Vec::new();
    for (name, behaviour) in sicknesses() {
        let receiver = Receiver::start(vec![behaviour; SICK]).await;
        sinks.push(webhook(name, &receiver.url));
        sick.push((name, receiver));
    }
    let mut ward = Ward::open(&folder, &sinks);
    let (alerts, start) = (alerts(), Instant::now());
    ward.outbox.store(&alerts, ward.clock.now_ns()).unwrap();
    let well_took = ward.settled("well", start).await;
    assert!(well_took < Duration::from_secs(10), "held up for {well_took:?} by the others");
    let mut rows = vec![row("is well", &well, &alerts, &ward.status, 0, well_took)];
    for (index, (name, receiver)) in sick.iter().enumerate() {
        let mut took = ward.settled(name, start).await;
        if *name == "answers 410" {
            // It is left alone, says so, and is told everything once somebody asks for it.
            assert!(ward.status.sinks[index + 1].disabled.load(Relaxed), "{name}");
            let asked = receiver.received().len();
            // As many as are under way at once may be answered before the first 410 is known.
            assert!(asked <= 16, "{asked} requests after a 410");
            let failed = ward.outbox.reader().unwrap().failed(999).unwrap();
            assert_eq!(
                failed.len(),
                alerts.len() - delivered(receiver).len(),
                "all that it misses is listed"
            );
            assert!(failed.iter().all(|failed| failed.delivery.last_error.as_ref().unwrap().contains("410")));
            while delivered(receiver).len() < alerts.len() {
                let waiting =
                    ward.outbox.replay_all_failed(Some(name), ward.clock.now_ns()).unwrap().deliveries;
                assert!(waiting > 0, "neither told nor failed");
                took = ward.settled(name, start).await;
            }
        }
        rows.push(row(name, receiver, &alerts, &ward.status, index + 1, took));
    }
    for row in &rows {
        assert_eq!(
            (&row["lost"], &row["under_two_ids"], &row["in_two_versions"]),
            (&0.into(), &0.into(), &0.into()),
            "{row}"
        );
        println!("{row}");
    }
    note("receivers", Value::from(rows));
    ward.stop.cancel();
    while ward.workers.join_next().await.is_some() {}
}

/// What was answered by 200, by id.
fn delivered(receiver: &Receiver) -> BTreeSet<String> {
    receiver.accepted().into_iter().collect()
}

fn row(
    name: &str,
    receiver: &Receiver,
    alerts: &[Alert],
    status: &Status,
    index: usize,
    took: Duration,
) -> Value {
    let received = receiver.received();
    let (mut ids, mut bodies) =
        (BTreeMap::<Vec<u8>, BTreeSet<String>>::new(), BTreeMap::<String, BTreeSet<Vec<u8>>>::new());
    for request in &received {
        ids.entry(request.body.clone()).or_default().insert(request.id().to_owned());
        bodies.entry(request.id().to_owned()).or_default().insert(request.body.clone());
    }
    let accepted = delivered(receiver);
    let lost = alerts.iter().filter(|alert| !accepted.contains(&alert.decision.message_id())).count();
    json!({
        "receiver": name,
        "alerts": alerts.len(),
        "lost": lost,
        "under_two_ids": ids.values().filter(|ids| ids.len() > 1).count(),
        "in_two_versions": bodies.values().filter(|bodies| bodies.len() > 1).count(),
        "requests": received.len(),
        "attempts_failed": status.sinks[index].attempts_failed_total.load(Relaxed),
        "seconds": (took.as_secs_f64() * 100.0).round() / 100.0,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sick_receiver_is_probed_and_not_beaten() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, well) = Receiver::refusing(Behaviour::Status(500)).await;
    let sinks = [webhook("sick", &receiver.url)];
    let mut ward = Ward::open(&folder, &sinks);
    let alerts: Vec<Alert> = (0..200).map(|i| alert(&format!("a{i:03}"), 1)).collect();
    ward.outbox.store(&alerts, ward.clock.now_ns()).unwrap();
    receiver.wait_for(8).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let beaten = receiver.received().len();
    assert!(beaten <= 40, "{beaten} requests in two seconds");
    assert!(ward.status.sinks[0].circuit_open.load(Relaxed));
    well.store(true, Relaxed);
    ward.settled("sick", Instant::now()).await;
    assert_eq!(delivered(&receiver).len(), 200, "and told everything once it is well");
    assert!(!ward.status.sinks[0].circuit_open.load(Relaxed));
    ward.stop.cancel();
    while ward.workers.join_next().await.is_some() {}
}

/// Whoever refuses every message at first, and takes it then, has taken something once it is asked by one that it has
/// refused before; by new ones it would refuse for ever longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_is_what_has_waited_longest() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    let receiver = Receiver::choosing(move |request| {
        let first = seen.insert(request.id().to_owned());
        if first { Behaviour::Status(500) } else { Behaviour::Accept }
    })
    .await;
    let sinks = [webhook("sick", &receiver.url)];
    let mut ward = Ward::open(&folder, &sinks);
    let alerts: Vec<Alert> = (0..60).map(|i| alert(&format!("a{i:03}"), 1)).collect();
    ward.outbox.store(&alerts, ward.clock.now_ns()).unwrap();
    let told = async {
        while delivered(&receiver).is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(STEP_MAX, told).await.expect("by the first probe or the second");
    ward.stop.cancel();
    while ward.workers.join_next().await.is_some() {}
}

/// The second attempt of each would be its last, and is an hour away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_takes_nothing_of_the_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::choosing(|_| Behaviour::Status(500)).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    let alerts: Vec<Alert> = (0..12).map(|i| alert(&format!("a{i:03}"), 1)).collect();
    rig.outbox.store(&alerts, rig.clock.now_ns()).unwrap();
    let asked_again = async {
        let mut seen = BTreeSet::new();
        while receiver.received().iter().all(|request| seen.insert(request.id().to_owned())) {
            seen.clear();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(STEP_MAX, asked_again).await.expect("a probe");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.status.sinks[0].failed_total.load(Relaxed), 0, "given up before its time");
    assert_eq!(rig.outbox.reader().unwrap().failed(9).unwrap(), []);
    rig.stop().await;
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CHILD_URL: &str = "EDDY_TEST_EXPIRED_URL";

/// A certificate that nobody may trust any more, of an authority that is trusted: in a process whose authorities are ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_a_failure_that_says_so() {
    let certificates = Certificates::make();
    let port = free_port();
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &port.to_string(), "-cert"])
        .arg(certificates.path("expired.pem"))
        .arg("-key")
        .arg(certificates.path("expired.key"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed by scripts/setup");
    let _server = Server(server);
    let deadline = Instant::now() + STEP_MAX;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < deadline, "it does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "torture::child_that_meets_an_expired_certificate", "--nocapture"])
        .env(CHILD_URL, format!("https://localhost:{port}/hook"))
        .env("SSL_CERT_FILE", certificates.path("ca.pem"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("reason: cannot connect: ") && said.to_lowercase().contains("expired"), "{said}");
    assert!(said.contains("state: Failed"), "{said}");
}

/// Only as a child of the test above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_meets_an_expired_certificate() {
    let Ok(url) = std::env::var(CHILD_URL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start(&file(&folder), &url, &THREE);
    rig.store(&[alert("a1", 1)]);
    let delivery = rig.wait_for_state("a1", 1, eddy::alert::outbox::DeliveryState::Failed).await;
    println!("state: {:?}\nreason: {}", delivery.state, delivery.last_error.unwrap_or_default());
    rig.stop().await;
}
