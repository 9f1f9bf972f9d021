//! A real Alertmanager: it shows what fires, lets go of what is over, and is told again after it has forgotten.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eddy::alert::outbox::DeliveryState;
use eddy::config::plan::{AlertmanagerPlan, SinkKind};
use serde_json::Value;

use crate::delivery::{Rig, SHORT, SINK, STEP_MAX, TIMEOUT, alert, file, sink};
use crate::mosquitto::free_port;
use crate::receiver::{Behaviour, Receiver};

struct Alertmanager {
    process: Child,
    url: String,
}

impl Alertmanager {
    async fn start(folder: &Path, port: u16) -> Self {
        let config = folder.join("alertmanager.yml");
        std::fs::write(&config, "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n").unwrap();
        let process = Command::new("prometheus-alertmanager")
            .args([
                format!("--config.file={}", config.display()),
                format!("--storage.path={}", folder.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--cluster.listen-address=".to_owned(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Alertmanager is installed by scripts/setup");
        let started = Alertmanager { process, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + STEP_MAX;
        while started.active().await.is_none() {
            assert!(Instant::now() < deadline, "it does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started
    }

    /// What fires by it; `None` if it does not answer.
    async fn active(&self) -> Option<Vec<Value>> {
        let answer = reqwest::get(format!("{}/api/v2/alerts?active=true", self.url)).await.ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }

    async fn until(&self, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + STEP_MAX;
        loop {
            let active = self.active().await.unwrap_or_default();
            if wanted(&active) {
                return active;
            }
            assert!(Instant::now() < deadline, "never {what}: {active:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alertmanager_shows_what_fires_and_is_told_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let alertmanager = Alertmanager::start(folder.path(), port).await;
    let plan = AlertmanagerPlan { url: alertmanager.url.clone(), timeout: TIMEOUT * 10 };
    let rig = Rig::start_sink(&file(&folder), sink(SINK, SinkKind::Alertmanager(plan)), &SHORT);
    rig.store(&[alert("a1", 1), alert("a2", 1)]);
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    let active = alertmanager.until("both", |active| active.len() == 2).await;
    let first = active.iter().find(|shown| shown["labels"]["alert_id"] == "a1").expect("it is shown");
    assert_eq!(first["labels"]["alertname"], "anomaly");
    assert_eq!(first["labels"]["key"], "pump-17");
    assert_eq!(first["annotations"]["summary"], "vibration of pumps/pump-17 is out of the ordinary");
    assert_eq!(first["startsAt"], "2023-11-14T22:13:20.000Z");

    // It forgets everything, and is told again.
    drop(alertmanager);
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let alertmanager = Alertmanager::start(folder.path(), port).await;
    alertmanager.until("both again", |active| active.len() == 2).await;

    rig.store(&[alert("a1", 2)]);
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    let left = alertmanager.until("one of them over", |active| active.len() == 1).await;
    assert_eq!(left[0]["labels"]["alert_id"], "a2");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        alertmanager.active().await.map(|active| active.len()),
        Some(1),
        "what is said again keeps it so"
    );
    rig.stop().await;
}

/// It takes its time: what is said again must neither overtake nor be overtaken by what is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_again_while_something_is_being_said() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Receiver::choosing(|_| Behaviour::AcceptAfter(Duration::from_millis(300))).await;
    let plan = AlertmanagerPlan { url: slow.url.clone(), timeout: TIMEOUT * 10 };
    let rig = Rig::start_sink(&file(&folder), sink(SINK, SinkKind::Alertmanager(plan)), &SHORT);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    // The next request is a round; while it is answered, the alert ends.
    let requests = slow.received().len();
    slow.wait_for(requests + 1).await;
    rig.store(&[alert("a1", 2)]);
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    // A round falls due while this one is under way.
    rig.store(&[alert("a2", 1)]);
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    slow.wait_for(slow.received().len() + 2).await;
    assert_eq!(slow.answering_max(), 1);
    rig.stop().await;
}
