//! TLS between the MQTT source and a real Mosquitto that asks for a client certificate.

use std::time::Duration;

use crate::support;
use crate::support::certificates::Certificates;
use crate::support::mosquitto::Mosquitto;
use crate::support::{FakeLog, Rig, STEP_MAX, broker_plan, mqtt_plan, numbered, read, texts};
use eddy::config::plan::{BrokerPlan, ClientCertificate, MqttPlan, SourceKind, TlsPlan};
use tokio::time::timeout;

/// A broker with a listener in clear for the publisher and one with TLS for Eddy.
struct Site {
    files: Certificates,
    broker: Mosquitto,
    tls_port: u16,
}

impl Site {
    fn start() -> Self {
        Self::start_with("server")
    }

    fn start_with(certificate: &str) -> Self {
        let files = Certificates::make();
        let tls_port = support::mosquitto::free_port();
        let path = |name: &str| files.path(name).display().to_string();
        let broker = Mosquitto::start_with(&format!(
            "listener {tls_port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
            path("ca.pem"),
            path(&format!("{certificate}.pem")),
            path(&format!("{certificate}.key")),
        ));
        Site { files, broker, tls_port }
    }

    /// Trusts `ca` and shows the certificate `client`.
    fn source(&self, host: &str, ca: &str, client: Option<&str>) -> (Rig, FakeLog) {
        let file = |name: &str, ending: &str| self.files.path(&format!("{name}.{ending}"));
        let client = client.map(|name| ClientCertificate { cert: file(name, "pem"), key: file(name, "key") });
        Rig::new(SourceKind::Mqtt(MqttPlan {
            broker: BrokerPlan {
                host: host.into(),
                tls: Some(TlsPlan { ca: Some(file(ca, "pem")), client }),
                ..broker_plan(self.tls_port, "eddy-test")
            },
            ..mqtt_plan(self.tls_port)
        }))
    }

    async fn publish(&self, lines: &[String]) {
        tokio::task::block_in_place(|| self.broker.publish_lines("plant/1/telemetry", 1, lines));
    }

    /// What a source with these files says, which goes on trying and takes nothing.
    async fn refused(&self, host: &str, ca: &str, client: Option<&str>, told: &str) {
        let (rig, mut log) = self.source(host, ca, client);
        let task = rig.spawn();
        rig.until_told(told).await;
        log.stays_empty(Duration::from_millis(300)).await;
        assert!(!task.is_finished(), "it goes on trying");
        assert_eq!(read(&rig.status().messages_total), 0);
        rig.context.shutdown.cancel();
        let _ = timeout(STEP_MAX, task).await.expect("it stops in time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_told_why_and_what_was_sent_meanwhile_is_not_lost() {
    let site = Site::start();
    let (rig, mut log) = site.source("localhost", "ca", Some("client"));
    let task = rig.spawn();
    rig.until_connected().await;
    site.publish(&numbered(0..100)).await;
    assert_eq!(texts(&log.accept(100).await), numbered(0..100));
    rig.until_acked(100).await;
    rig.context.shutdown.cancel();
    let _ = timeout(STEP_MAX, task).await.expect("it stops in time");
    // While nobody is let in, the broker keeps them for the session.
    site.publish(&numbered(100..150)).await;
    site.refused("localhost", "ca", None, "name one in `cert` and `key`").await;
    site.refused("localhost", "ca", Some("stranger"), "that its authority signed").await;
    site.refused("localhost", "other", Some("client"), "file of the right one in `ca`").await;
    site.refused("127.0.0.1", "ca", Some("client"), "is not made out to \"127.0.0.1\"").await;
    let (rig, mut log) = site.source("localhost", "ca", Some("client"));
    let task = rig.spawn();
    assert_eq!(texts(&log.accept(50).await), numbered(100..150));
    rig.until_acked(50).await;
    assert_eq!(*rig.status().last_error.lock().unwrap(), None);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_told() {
    let site = Site::start_with("expired");
    site.refused("localhost", "ca", Some("client"), "has expired; renew it").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_tls_is_told() {
    let mut site = Site::start();
    site.tls_port = site.broker.port;
    site.refused("localhost", "ca", Some("client"), "TLS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_file_is_read_at_the_next_connection() {
    let site = Site::start();
    let (rig, mut log) = site.source("localhost", "renewed", Some("client"));
    let task = rig.spawn();
    rig.until_told("`ca`: ").await;
    std::fs::copy(site.files.path("ca.pem"), site.files.path("renewed.pem")).unwrap();
    rig.until_connected().await;
    site.publish(&numbered(0..3)).await;
    assert_eq!(texts(&log.accept(3).await), numbered(0..3));
    task.abort();
}
