//! Delivery to a real Mosquitto, and through it to a subscriber.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eddy::alert::outbox::{DeliveryState, StoredAlert};
use eddy::config::plan::{
    BrokerPlan, ClientCertificate, GroupPlan, MqttSinkPlan, SinkKind, SinkPlan, TlsPlan, Version,
};
use rumqttc::v5::mqttbytes::v5::Publish;
use serde_json::Value;

use crate::certificates::Certificates;
use crate::delivery::{PATIENT, Rig, SHORT, SINK, STEP_MAX, alert, file, sink};
use crate::mosquitto::{Mosquitto, free_port};
use crate::subscriber::Subscriber;

const TOPIC: &str = "alerts/eddy";
/// Longer than any kill of a broker.
const OFTEN: [Duration; 400] = [Duration::from_millis(50); 400];

pub fn plan(port: u16, version: Version) -> MqttSinkPlan {
    MqttSinkPlan {
        broker: BrokerPlan {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            client_id: "eddy-alerts".into(),
            username: None,
            password: None,
        },
        version,
        topic: TOPIC.into(),
        retain: false,
        timeout: Duration::from_secs(10),
    }
}

pub fn mqtt(plan: MqttSinkPlan) -> SinkPlan {
    sink(SINK, SinkKind::Mqtt(plan))
}

/// Waits until an attempt has failed with these words.
pub async fn fails(rig: &Rig, id: &str, words: &str) {
    let deadline = std::time::Instant::now() + STEP_MAX;
    loop {
        let delivery = rig.delivery(id, 1);
        if delivery.last_error.as_deref().is_some_and(|error| error.contains(words)) {
            return assert_ne!(delivery.state, DeliveryState::Delivered);
        }
        assert!(std::time::Instant::now() < deadline, "{delivery:?}, and not {words:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn stored(rig: &Rig, id: &str) -> Vec<StoredAlert> {
    rig.outbox.reader().unwrap().alert(id).unwrap()
}

fn property<'a>(message: &'a Publish, name: &str) -> &'a str {
    let properties = &message.properties.as_ref().expect("properties").user_properties;
    &properties.iter().find(|(known, _)| known == name).expect(name).1
}

/// `ID_REVISION` of what a message tells, by its payload.
fn told(message: &Publish) -> String {
    let body: Value = serde_json::from_slice(&message.payload).expect("JSON");
    format!("{}_{}", body["data"]["id"].as_str().expect("an id"), body["data"]["revision"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_what_a_webhook_gets_and_says_what_it_is() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V5)), &SHORT);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    for revision in [1, 2] {
        let delivery = rig.wait_for_state("a1", revision, DeliveryState::Delivered).await;
        assert_eq!((delivery.attempts, delivery.last_status, delivery.last_error), (1, None, None));
    }
    let messages = subscriber.wait_for(2).await;
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["a1_1", "a1_2"], "revisions in order");
    let first = &messages[0];
    assert_eq!((&first.topic[..], first.retain), (TOPIC.as_bytes(), false));
    let properties = first.properties.as_ref().expect("properties");
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.payload_format_indicator, Some(1));
    assert_eq!((property(first, "webhook-id"), property(first, "type")), ("a1_1", "anomaly.raised"));
    let context = property(first, "traceparent");
    assert!(context.len() == 55 && context.starts_with("00-"), "{context}");
    let body: Value = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&"anomaly.raised".into(), &"2023-11-14T22:14:24Z".into())
    );
    let decision =
        &stored(&rig, "a1").into_iter().find(|row| row.alert.decision.revision == 1).unwrap().alert.decision;
    assert_eq!(serde_json::from_value::<eddy::types::Decision>(body["data"].clone()).unwrap(), *decision);
    assert_eq!(broker.log().matches("as eddy-alerts (p5, c1").count(), 1, "one connection for both");
    assert!(!broker.log().contains("Received DISCONNECT from eddy-alerts"), "it is kept open");
    rig.stop().await;
    assert!(broker.log().contains("Received DISCONNECT from eddy-alerts"), "{}", broker.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_3_1_1_carries_the_same_bytes() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V3)), &SHORT);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    let message = subscriber.wait_for(1).await.remove(0);
    assert_eq!(told(&message), "a1_1");
    assert!(broker.log().contains("as eddy-alerts (p2, c1"), "MQTT 3.1.1");
    assert!(broker.log().contains("Received PUBLISH from eddy-alerts (d0, q1, r0"));
    rig.stop().await;
    assert!(broker.log().contains("Received DISCONNECT from eddy-alerts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_there_for_is_told_once_somebody_is() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V5)), &OFTEN);
    rig.store(&[alert("a1", 1)]);
    fails(&rig, "a1", "took it, and nobody is subscribed to \"alerts/eddy\" (0x10").await;
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    let messages = subscriber.wait_for(1).await;
    assert_eq!(messages.iter().map(|m| property(m, "webhook-id")).collect::<Vec<_>>(), ["a1_1"]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retained_is_there_for_who_comes_later() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    let retaining = MqttSinkPlan { retain: true, ..plan(broker.port, Version::V5) };
    let rig = Rig::start_sink(&file(&folder), mqtt(retaining), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let messages = subscriber.wait_for(1).await;
    assert_eq!((told(&messages[0]), messages[0].retain), ("a1_1".to_owned(), true));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_list_that_refuses_is_told_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("acl");
    std::fs::write(&list, "topic read alerts/#\ntopic write allowed/#\n").unwrap();
    let broker = Mosquitto::start_with(&format!("acl_file {}", list.display()));
    let _subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V5)), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    fails(
        &rig,
        "a1",
        "(0x87 not authorized); allow client \"eddy-alerts\" to publish to \"alerts/eddy\" in the broker's access list",
    )
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_over_and_over_loses_nothing_and_changes_no_id() {
    const KILLS: usize = 4;
    const ALERTS: usize = 15;
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start();
    let mut subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V5)), &OFTEN);
    for kill in 0..KILLS {
        for n in 0..ALERTS {
            rig.store(&[alert(&format!("k{kill}-{n}"), 1)]);
            // In the middle of them; the others come while it is away.
            if n == ALERTS / 2 {
                broker.kill();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::task::block_in_place(|| broker.launch());
        subscriber.has_subscribed(kill + 2).await;
        for n in 0..ALERTS {
            rig.wait_for_state(&format!("k{kill}-{n}"), 1, DeliveryState::Delivered).await;
        }
    }
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for message in subscriber.wait_for(KILLS * ALERTS).await {
        let id = property(&message, "webhook-id").to_owned();
        assert_eq!(id, told(&message));
        let known = bodies.entry(id).or_insert_with(|| message.payload.to_vec());
        assert_eq!(*known, message.payload, "one id, two bodies");
    }
    assert_eq!(bodies.len(), KILLS * ALERTS, "every alert has come");
    assert!(rig.status.sinks[0].attempts_failed_total.load(Ordering::Relaxed) > 0, "the kills were felt");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_its_place_at_the_broker_is_put_out_by_the_next_alert() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V5)), &OFTEN);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    let rival = || rig.status.sinks[0].rival.lately().unwrap_or_default();
    assert_eq!(rival(), "", "so far it is alone");
    let mut other = Subscriber::start(broker.port, "eddy-alerts", "nothing").await;
    rig.store(&[alert("a2", 1)]);
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    // It has come back in its turn, and Eddy does not fight with it while there is nothing to say.
    other.has_subscribed(2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(broker.log().matches("as eddy-alerts (p5, c1").count(), 4, "{}", broker.log());
    rig.store(&[alert("a3", 1)]);
    rig.wait_for_state("a3", 1, DeliveryState::Delivered).await;
    let messages = subscriber.wait_for(3).await;
    assert_eq!(messages.iter().map(told).collect::<Vec<_>>(), ["a1_1", "a2_1", "a3_1"]);
    // Put out for the third time within seconds, whether the broker says by whom or not.
    other.has_subscribed(3).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while rival().is_empty() {
        assert!(std::time::Instant::now() < deadline, "it is not noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        rival().contains("client id \"eddy-alerts\"") && rival().contains("another `client_id`"),
        "{}",
        rival()
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_that_belong_together_are_one_message() {
    let (folder, broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    let group =
        GroupPlan { by: vec![], wait: Duration::from_millis(300), interval: Duration::from_millis(300) };
    let grouped = SinkPlan { group: Some(group), ..mqtt(plan(broker.port, Version::V5)) };
    let rig = Rig::start_sink(&file(&folder), grouped, &SHORT);
    let alerts: Vec<_> = (0..50).map(|n| alert(&format!("a{n}"), 1)).collect();
    rig.store(&alerts);
    for n in 0..50 {
        rig.wait_for_state(&format!("a{n}"), 1, DeliveryState::Delivered).await;
    }
    let messages = subscriber.wait_for(1).await;
    assert_eq!(messages.len(), 1, "one message of all");
    assert_eq!(property(&messages[0], "type"), "incident.raised");
    let body: Value = serde_json::from_slice(&messages[0].payload).unwrap();
    assert_eq!(property(&messages[0], "webhook-id"), told(&messages[0]));
    assert_eq!(body["data"]["alerts_firing"], 50, "{body}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_knows_the_broker_and_shows_a_certificate() {
    let (folder, files, tls_port) = (tempfile::tempdir().unwrap(), Certificates::make(), free_port());
    let path = |name: &str| files.path(name).display().to_string();
    let broker = Mosquitto::start_with(&format!(
        "listener {tls_port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        path("ca.pem"),
        path("server.pem"),
        path("server.key"),
    ));
    let subscriber = Subscriber::start(broker.port, "hall", "alerts/#").await;
    // A renewed file is read at the next connection.
    std::fs::copy(files.path("other.pem"), files.path("trusted.pem")).unwrap();
    let client = ClientCertificate { cert: files.path("client.pem"), key: files.path("client.key") };
    let tls = TlsPlan { ca: Some(files.path("trusted.pem")), client: Some(client) };
    let secured = plan(tls_port, Version::V5);
    let broker_plan = BrokerPlan { host: "localhost".into(), tls: Some(tls), ..secured.broker.clone() };
    let rig = Rig::start_sink(&file(&folder), mqtt(MqttSinkPlan { broker: broker_plan, ..secured }), &OFTEN);
    rig.store(&[alert("a1", 1)]);
    fails(
        &rig,
        "a1",
        "is not signed by an authority Eddy trusts; name the PEM file of the right one in `ca`",
    )
    .await;
    std::fs::copy(files.path("ca.pem"), files.path("trusted.pem")).unwrap();
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!(subscriber.wait_for(1).await.iter().map(told).collect::<Vec<_>>(), ["a1_1"]);
    rig.stop().await;
}
