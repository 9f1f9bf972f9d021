//! One outbox, one sink, one worker, as the pipeline puts them together.

use std::io::PipeWriter;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddy::alert::outbox::{Delivery as StoredDelivery, DeliveryState, Outbox, OutboxHandle, Stored};
use eddy::config::plan::{
    BodyFormat, DashboardPlan, DurablePlan, Plan, SigningKey, SinkKind, SinkPlan, WebhookPlan,
};
use eddy::latency::{Clock, Latency};
use eddy::sink::Receiver;
use eddy::sink::deliver::{self, Delivery};
use eddy::sink::stdout::Stdout;
use eddy::status::Status;
use eddy::types::{About, Alert, AlertState, ColumnEvidence, Decision, EventTime, Receipt, WindowEvidence};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const SINK: &str = "on_call";
/// Of a receiver. Long enough for one that answers at once, however busy the machine is.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// No single step of a test takes longer.
pub const STEP_MAX: Duration = Duration::from_secs(90);

/// Ten attempts like the real one, over half a second.
pub const SHORT: [Duration; 10] = [Duration::from_millis(50); 10];
/// The second attempt comes after the tests have ended.
pub const PATIENT: [Duration; 2] = [Duration::from_secs(3600); 2];
pub const THREE: [Duration; 3] = [Duration::from_millis(20); 3];

pub fn alert(id: &str, revision: u32) -> Alert {
    Alert {
        decision: Decision {
            id: id.into(),
            revision,
            state: if revision == 1 { AlertState::Raised } else { AlertState::Resolved },
            stream: "pumps".into(),
            key: "pump-17".into(),
            rule: "window".into(),
            onset: EventTime(1_700_000_000_000_000_000),
            about: About::Window(WindowEvidence {
                window_start: EventTime(1_700_000_000_000_000_000),
                window_end: EventTime(1_700_000_064_000_000_000),
                epoch: 28_333_334,
                model: "m".into(),
                log_likelihood: -91.5,
                p_value: 1e-5,
                threshold: 1e-4,
                p_value_min: 1e-5,
                transactions_anomalous: None,
                coverage: 1.0,
                confidence: Some(0.75),
                resolution: None,
                columns: vec![ColumnEvidence {
                    column: "vibration".into(),
                    unit: Some("mm/s".into()),
                    cell_end: None,
                    value: Some(7.9),
                    expected: 2.75,
                    expected_low: 2.1,
                    expected_high: 3.4,
                    share: 1.0,
                }],
            }),
        },
        receipt: Receipt::default(),
    }
}

pub fn secrets() -> Vec<Vec<u8>> {
    vec![vec![7; 32], (0..24).collect()]
}

/// One outbox, one sink, one worker.
pub struct Rig {
    pub outbox: OutboxHandle,
    pub status: Arc<Status>,
    pub latency: Latency,
    pub clock: Clock,
    shutdown: CancellationToken,
    worker: JoinHandle<()>,
}

impl Rig {
    /// To a webhook at `url`.
    pub fn start(path: &Path, url: &str, schedule: &'static [Duration]) -> Self {
        Self::start_sink(path, webhook(SINK, url), schedule)
    }

    /// To whatever `sink` is.
    pub fn start_sink(path: &Path, sink: SinkPlan, schedule: &'static [Duration]) -> Self {
        let clock = Clock::start();
        let status = Arc::new(Status::new(&plan(vec![sink.clone()]), clock.now_ns()));
        let receiver = Receiver::connect(&sink, &status.sinks[0]).unwrap();
        Self::start_with(path, sink, receiver, schedule, (status, clock))
    }

    /// To standard output, which is `writer`.
    pub fn start_stdout(path: &Path, writer: PipeWriter, schedule: &'static [Duration]) -> Self {
        let receiver = Receiver::Stdout(Stdout::start(SINK, writer).unwrap());
        Self::start_to(path, sink(SINK, SinkKind::Stdout), receiver, schedule)
    }

    fn start_to(path: &Path, sink: SinkPlan, receiver: Receiver, schedule: &'static [Duration]) -> Self {
        let clock = Clock::start();
        let status = Arc::new(Status::new(&plan(vec![sink.clone()]), clock.now_ns()));
        Self::start_with(path, sink, receiver, schedule, (status, clock))
    }

    fn start_with(
        path: &Path,
        sink: SinkPlan,
        receiver: Receiver,
        schedule: &'static [Duration],
        (status, clock): (Arc<Status>, Clock),
    ) -> Self {
        let outbox = OutboxHandle::new(Outbox::open(path, &[SINK.into()]).unwrap());
        let latency = Latency::new();
        let shutdown = CancellationToken::new();
        let delivery = Delivery {
            sink,
            index: 0,
            outbox: outbox.clone(),
            status: Arc::clone(&status),
            latency: latency.clone(),
            clock,
            schedule,
            tracer: Default::default(),
            again: Duration::from_millis(200),
            shutdown: shutdown.clone(),
        };
        let worker = tokio::spawn(deliver::run_to(receiver, delivery));
        Rig { outbox, status, latency, clock, shutdown, worker }
    }

    pub fn store(&self, alerts: &[Alert]) -> Stored {
        self.outbox.store(alerts, self.clock.now_ns()).unwrap()
    }

    pub fn delivery(&self, id: &str, revision: u32) -> StoredDelivery {
        let revisions = self.outbox.reader().unwrap().alert(id).unwrap();
        let stored = revisions.into_iter().find(|r| r.alert.decision.revision == revision).expect("stored");
        assert_eq!(stored.deliveries.len(), 1);
        stored.deliveries.into_iter().next().unwrap()
    }

    pub async fn wait_for_state(&self, id: &str, revision: u32, state: DeliveryState) -> StoredDelivery {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            let delivery = self.delivery(id, revision);
            if delivery.state == state {
                return delivery;
            }
            assert!(Instant::now() < deadline, "still {delivery:?}, not {state:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.worker.await.unwrap();
    }
}

pub fn sink(name: &str, kind: SinkKind) -> SinkPlan {
    SinkPlan { name: name.into(), deployment: "test".into(), kind, group: None }
}

pub fn webhook(name: &str, url: &str) -> SinkPlan {
    let webhook = WebhookPlan {
        url: url.to_owned(),
        format: BodyFormat::Standard,
        secret: secrets().into_iter().map(SigningKey::Symmetric).collect(),
        timeout: TIMEOUT,
    };
    sink(name, SinkKind::Webhook(webhook))
}

pub fn plan(sinks: Vec<SinkPlan>) -> Plan {
    Plan {
        deployment: "test".into(),
        sources: vec![],
        streams: vec![],
        sinks,
        dashboard: DashboardPlan { enabled: false, listen: ([127, 0, 0, 1], 0).into(), tls: None, url: None },
        durable: DurablePlan { path: "unused".into(), segment_bytes: 0, ..DurablePlan::default() },
        shards: 1,
        backend: eddy::config::plan::Choice::Cpu,
        device_memory_bytes: 0,
        telemetry: None,
        warnings: Vec::new(),
    }
}

pub fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("outbox.db")
}
