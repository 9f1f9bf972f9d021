//! What tests of the sources share: a plan with one source, and a log they hold in their hands.
// Each test binary uses a part of it.
#![allow(dead_code)]

pub mod certificates;
pub mod kafka;
pub mod mosquitto;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eddy::config::plan::{
    BrokerPlan, DashboardPlan, DurablePlan, MqttPlan, Plan, Protocol, SourceKind, SourcePlan,
};
use eddy::latency::Clock;
use eddy::source::{Context, Ended, SourceError};
use eddy::stage::{Intake, NotSafe, RowReport, Submission, Validate};
use eddy::status::{SourceStatus, Status};
use eddy::types::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// No single step of a test takes longer.
pub const STEP_MAX: Duration = Duration::from_secs(90);

/// Bodies that are told apart.
pub fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n}}}")).collect()
}

/// A broker in clear, and a client of it.
pub fn broker_plan(port: u16, client_id: &str) -> BrokerPlan {
    BrokerPlan {
        host: "127.0.0.1".into(),
        port,
        tls: None,
        client_id: client_id.into(),
        username: None,
        password: None,
    }
}

/// A source of a broker in clear.
pub fn mqtt_plan(port: u16) -> MqttPlan {
    MqttPlan {
        broker: broker_plan(port, "eddy-test"),
        protocol: Protocol::V3,
        topics: vec!["plant/#".into()],
        qos: 1,
        retained: false,
        keep_alive: Duration::from_secs(5),
    }
}

/// Stops a source, which ends as it should.
pub async fn stop(rig: &Rig, task: JoinHandle<Result<Ended, SourceError>>) {
    rig.context.shutdown.cancel();
    let ended = timeout(STEP_MAX, task).await.expect("it stops in time").expect("no panic");
    assert_eq!(ended.expect("no error"), Ended::Shutdown);
}

/// The log's end of the hand-off: a test decides what is durable, and when.
pub struct FakeLog(pub mpsc::Receiver<Submission>);

impl FakeLog {
    pub async fn next(&mut self) -> Submission {
        timeout(STEP_MAX, self.0.recv()).await.expect("a submission in time").expect("a source that lives")
    }

    /// Nothing is submitted for a while.
    pub async fn stays_empty(&mut self, wait: Duration) {
        if let Ok(Some(submission)) = timeout(wait, self.0.recv()).await {
            panic!("{} messages came", submission.messages.len());
        }
    }

    /// Accepts submissions until `count` messages are there.
    pub async fn accept(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let submission = self.next().await;
            messages.extend(submission.messages);
            let _ = submission.logged.send(Ok(()));
        }
        messages
    }

    /// Accepts everything from now on, in the background.
    pub fn accept_from_now_on(mut self) -> Arc<Mutex<Vec<Message>>> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = kept.clone();
        tokio::spawn(async move {
            while let Some(submission) = self.0.recv().await {
                keep.lock().unwrap().extend(submission.messages);
                let _ = submission.logged.send(Ok(()));
            }
        });
        kept
    }

    pub async fn refuse(&mut self) -> Vec<Message> {
        let submission = self.next().await;
        let _ = submission.logged.send(Err(NotSafe));
        submission.messages
    }
}

/// A source under test.
pub struct Rig {
    pub plan: SourcePlan,
    pub context: Context,
}

impl Rig {
    pub fn new(kind: SourceKind) -> (Self, FakeLog) {
        let plan = SourcePlan { name: "plant".into(), kind };
        let (sender, receiver) = mpsc::channel(64);
        let context = Context {
            index: 0,
            intake: Intake { sender, clock: Clock::start() },
            status: Arc::new(Status::new(&whole_plan(plan.clone()), 0)),
            shutdown: CancellationToken::new(),
            streams: vec!["fans".into(), "lines".into(), "pumps".into()],
            csv_streams: vec!["lines".into()],
            validate: accept_all(),
            http_sources: 1,
            answered: Default::default(),
            messages_logged: 0,
            incoming: Default::default(),
            offsets_logged: Default::default(),
            door: None,
            own_topics: Arc::new([]),
        };
        (Rig { plan, context }, FakeLog(receiver))
    }

    /// Runs the source as its own task.
    pub fn spawn(&self) -> JoinHandle<Result<Ended, SourceError>> {
        let (plan, context) = (self.plan.clone(), self.context.clone());
        tokio::spawn(async move { eddy::source::run(&plan, context).await })
    }

    pub fn status(&self) -> &SourceStatus {
        &self.context.status.sources[0]
    }

    /// Waits until a condition of the status holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&SourceStatus) -> bool) {
        let deadline = Instant::now() + STEP_MAX;
        while Instant::now() < deadline {
            if holds(self.status()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}; {:?}", self.status());
    }

    pub async fn until_connected(&self) {
        self.until("connected", |status| status.connected.load(Ordering::Relaxed)).await;
    }

    /// Waits until the source says why it receives nothing, with these words.
    pub async fn until_told(&self, words: &str) {
        self.until(words, |status| {
            status.last_error.lock().unwrap().as_deref().is_some_and(|text| text.contains(words))
        })
        .await;
    }

    pub async fn until_acked(&self, count: u64) {
        self.until("acked", |status| read(&status.acked_total) >= count).await;
        assert_eq!(read(&self.status().acked_total), count);
    }
}

pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|m| String::from_utf8_lossy(&m.payload).into_owned()).collect()
}

pub fn accept_all() -> Validate {
    Arc::new(|_| RowReport { accepted: 1, rejected: Vec::new() })
}

fn whole_plan(source: SourcePlan) -> Plan {
    Plan {
        deployment: "test".into(),
        sources: vec![source],
        streams: Vec::new(),
        sinks: Vec::new(),
        dashboard: DashboardPlan { enabled: false, listen: ([127, 0, 0, 1], 0).into(), tls: None, url: None },
        durable: DurablePlan { path: PathBuf::new(), segment_bytes: 1 << 20, ..DurablePlan::default() },
        shards: 1,
        backend: eddy::config::plan::Choice::Cpu,
        device_memory_bytes: 0,
        telemetry: None,
        warnings: Vec::new(),
    }
}
