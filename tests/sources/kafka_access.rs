//! TLS and SASL between the Kafka source and a real Kafka, and what is said when they fail.

use std::time::Duration;

use crate::support::certificates::Certificates;
use crate::support::kafka::{Kafka, Listener};
use crate::support::{FakeLog, Rig, STEP_MAX, read, texts};
use eddy::config::plan::{
    ClientCertificate, ClusterPlan, KafkaPlan, KafkaStart, SaslMechanism, SaslPlan, SourceKind, TlsPlan,
};
use tokio::time::timeout;

const TOPIC: &str = "plant.pumps";
const PASSWORD: &str = "right";

/// A broker with a listener for each way in.
struct Site {
    files: Certificates,
    kafka: Kafka,
}

impl Site {
    fn start() -> Self {
        let files = Certificates::make();
        let chain =
            ["server.pem", "server.key"].map(|name| std::fs::read_to_string(files.path(name)).unwrap());
        std::fs::write(files.path("keystore.pem"), chain.concat()).expect("the folder can be written");
        let stores = |name: &str, auth: &str| {
            let (keystore, ca) = (files.path("keystore.pem"), files.path("ca.pem"));
            let name = format!("listener.name.{name}");
            format!(
                "{name}.ssl.keystore.type=PEM\n{name}.ssl.keystore.location={}\n{name}.ssl.truststore.type=PEM\n\
                 {name}.ssl.truststore.location={}\n{name}.ssl.client.auth={auth}",
                keystore.display(),
                ca.display()
            )
        };
        let jaas = |listener: &str, mechanism: &str, module: &str| {
            format!(
                "listener.name.{listener}.{mechanism}.sasl.jaas.config=org.apache.kafka.common.security.{module};"
            )
        };
        let plain = jaas("users", "plain", "plain.PlainLoginModule required user_eddy=\"right\"");
        let scram = jaas("users", "scram-sha-512", "scram.ScramLoginModule required");
        let listeners = [
            Listener { name: "MUTUAL", protocol: "SSL", config: stores("mutual", "required") },
            Listener {
                name: "USERS",
                protocol: "SASL_SSL",
                config: format!(
                    "{}\nlistener.name.users.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512\n{plain}\n{scram}",
                    stores("users", "none")
                ),
            },
        ];
        let user = format!("SCRAM-SHA-512=[name=eddy,password={PASSWORD}]");
        let kafka = Kafka::start_with(&listeners, &["--add-scram", &user]);
        kafka.make_topic(TOPIC, 1);
        kafka.produce(TOPIC, 0, &["{}".to_owned()]);
        Site { files, kafka }
    }

    fn tls(&self, ca: &str, client: Option<&str>) -> Option<TlsPlan> {
        let file = |name: &str, ending: &str| self.files.path(&format!("{name}.{ending}"));
        let client = client.map(|name| ClientCertificate { cert: file(name, "pem"), key: file(name, "key") });
        Some(TlsPlan { ca: Some(file(ca, "pem")), client })
    }

    fn source(&self, address: String, tls: Option<TlsPlan>, sasl: Option<SaslPlan>) -> (Rig, FakeLog) {
        Rig::new(SourceKind::Kafka(KafkaPlan {
            cluster: ClusterPlan { brokers: vec![address], tls, sasl },
            topics: vec![TOPIC.into()],
            group: "eddy".into(),
            member: "eddy-test-plant".into(),
            start: KafkaStart::Earliest,
            dead_letters: None,
            registry: None,
            shared: None,
        }))
    }

    fn address(&self, listener: &str) -> String {
        format!("localhost:{}", self.kafka.ports[listener])
    }

    async fn taken(&self, (rig, mut log): (Rig, FakeLog)) {
        let task = rig.spawn();
        assert_eq!(texts(&log.accept(1).await), ["{}"]);
        rig.until_connected().await;
        rig.context.shutdown.cancel();
        timeout(STEP_MAX, task).await.expect("it stops in time").unwrap().unwrap();
    }

    /// It says so, goes on trying, and takes nothing.
    async fn refused(&self, (rig, mut log): (Rig, FakeLog), told: &[&str]) {
        let task = rig.spawn();
        for words in told {
            rig.until_told(words).await;
        }
        log.stays_empty(Duration::from_millis(300)).await;
        assert!(!task.is_finished(), "it goes on trying");
        assert_eq!(read(&rig.status().messages_total), 0);
        let said = rig.status().last_error.lock().unwrap().clone().unwrap_or_default();
        assert!(!said.contains(PASSWORD), "{said}");
        rig.context.shutdown.cancel();
        timeout(STEP_MAX, task).await.expect("it stops in time").unwrap().unwrap();
    }
}

fn sasl(mechanism: SaslMechanism, password: &str) -> Option<SaslPlan> {
    Some(SaslPlan::Password { mechanism, username: "eddy".into(), password: password.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_in_is_served_and_who_may_not_is_told_why() {
    let site = Site::start();
    let (mutual, users) = (site.address("MUTUAL"), site.address("USERS"));
    let source = |address: &String, tls, sasl| site.source(address.clone(), tls, sasl);
    let client = || site.tls("ca", Some("client"));
    let anonymous = || site.tls("ca", None);

    site.taken(source(&mutual, client(), None)).await;
    site.taken(source(&users, anonymous(), sasl(SaslMechanism::Plain, PASSWORD))).await;
    site.taken(source(&users, anonymous(), sasl(SaslMechanism::ScramSha512, PASSWORD))).await;

    let wrong = ["refuses user \"eddy\"", "correct `sasl`"];
    site.refused(source(&users, anonymous(), sasl(SaslMechanism::Plain, "wrong")), &wrong).await;
    site.refused(source(&users, anonymous(), sasl(SaslMechanism::ScramSha512, "wrong")), &wrong).await;
    let untrusted = ["no TLS with", "`tls.ca`"];
    let sasl_right = sasl(SaslMechanism::Plain, PASSWORD);
    site.refused(source(&users, site.tls("other", None), sasl_right), &untrusted).await;
    site.refused(source(&mutual, site.tls("ca", Some("stranger")), None), &["localhost"]).await;
    // TLS spoken where none is expected, and the other way round.
    site.refused(source(&site.kafka.brokers(), anonymous(), None), &["`tls`"]).await;
    site.refused(source(&mutual, None, None), &["`tls` if it wants TLS"]).await;
}
