//! Alerts that go to a topic: told once the brokers have them, under one id, each alert's revisions in order, through kills and
//! pauses of the broker; what is refused says why and what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use eddy::alert::outbox::DeliveryState;
use eddy::config::plan::{
    ClusterPlan, GroupPlan, KafkaSinkPlan, SaslMechanism, SaslPlan, SinkKind, SinkPlan,
};
use serde_json::Value;

use crate::delivery::{self, PATIENT, Rig, SHORT, alert, file};
use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::group::{self, ALERTS, NOBODY, assert_told_once, until_committed};
use crate::e2e::kafka::{Kafka, Listener, Received};
use crate::e2e::mosquitto::free_port;
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{self, PARTITIONS, TOPIC, rows};
use crate::e2e::{self, expect, http, poll};
use crate::plant::{self, Row};

const TOLD: &str = "plant-told";
const PASSWORD: &str = "right";
/// Attempts one after the other for a long time.
const SOON: [Duration; 100] = [Duration::from_millis(500); 100];

fn section(kafka: &Kafka) -> String {
    let brokers = kafka.brokers().replace(',', "\", \"");
    format!(
        "\n[sink.bus]\ntype = \"kafka\"\nbrokers = [\"{brokers}\"]\ntopic = \"{TOLD}\"\ntimeout = \"5s\"\n"
    )
}

fn post(address: SocketAddr, rows: &[Row]) {
    let headers = [("Content-Type", "application/x-ndjson")];
    for rows in rows.chunks(400) {
        let answer = http::request(address, "POST", "/v1/events/pumps", &headers, &plant::ndjson(rows));
        let answer = answer.expect("an answer");
        assert_eq!(answer.json()["accepted"], rows.len(), "{}", answer.text());
    }
}

/// What a topic of alerts holds, in the order of its partitions. Whatever is written there carries what it is about.
fn told(kafka: &Kafka, topic: &str) -> Vec<(String, u64, Received)> {
    let each = |message: Received| {
        let body = e2e::json(message.payload.as_deref().expect("no tombstone"));
        let id = body["data"]["id"].as_str().expect("an id").to_owned();
        let revision = body["data"]["revision"].as_u64().expect("a revision");
        assert_eq!(message.key, id, "the key is the id");
        let header = |name: &str| message.headers.get(name).map(String::as_str);
        assert_eq!(header("webhook-id"), Some(format!("{id}_{revision}").as_str()));
        assert_eq!(header("type"), body["type"].as_str());
        assert_eq!(header("content-type"), Some("application/json"));
        let trace = header("traceparent").expect("it says of which trace it is");
        assert!(trace.len() == 55 && trace.starts_with("00-"), "{trace}");
        (id, revision, message)
    };
    kafka.all_committed(topic).into_iter().map(each).collect()
}

/// Each alert is in one partition, its revisions in order; some may be there twice, as the same bytes. By `webhook-id`.
fn in_order(told: &[(String, u64, Received)]) -> BTreeMap<String, &[u8]> {
    let (mut places, mut bodies) = (BTreeMap::new(), BTreeMap::new());
    for (id, revision, message) in told {
        let (partition, last) = *places.entry(id).or_insert((message.partition, 0));
        assert_eq!(message.partition, partition, "{id} is in two partitions");
        assert!(*revision >= last && *revision <= last + 1, "{id}: revision {revision} behind {last}");
        places.insert(id, (partition, *revision));
        let body = message.payload.as_deref().expect("no tombstone");
        let known = bodies.entry(format!("{id}_{revision}")).or_insert(body);
        assert_eq!(*known, body, "one id, two bodies");
    }
    bodies
}

fn decisions(bodies: &BTreeMap<String, &[u8]>) -> BTreeMap<String, Value> {
    let decision = |body: &[u8]| {
        let mut data = e2e::json(body)["data"].take();
        data.as_object_mut().expect("an object").remove("receipt").expect("a receipt");
        data
    };
    bodies.iter().map(|(id, body)| (id.clone(), decision(body))).collect()
}

fn same(found: &BTreeMap<String, Value>, expected: &BTreeMap<String, Value>) {
    let ids = |of: &BTreeMap<String, Value>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(found), ids(expected));
    for (id, decision) in expected {
        assert_eq!(found[id], *decision);
    }
}

fn until_all_are_there(kafka: &Kafka, count: usize) -> Vec<(String, u64, Received)> {
    let ids = |all: &[(String, u64, Received)]| {
        all.iter().map(|(id, revision, _)| (id.clone(), *revision)).collect::<BTreeSet<_>>().len()
    };
    let all = poll(|| Some(told(kafka, TOLD)).filter(|all| ids(all) >= count));
    all.unwrap_or_else(|| panic!("{} of {count} are there", ids(&told(kafka, TOLD))))
}

fn failed(eddy: &Eddy) -> u64 {
    eddy.metric("eddy_sink_attempts_failed_total{sink=\"bus\"}")
}

/// The broker is killed and started again while alerts come, and so is Eddy in between. A webhook beside it is told meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_in_a_topic_in_order_through_kills_of_its_broker() {
    let rows = rows(12_000);
    let expected = expect::by_the_engine(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOLD, 4);
    let receiver = Receiver::start([]).await;
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let source = format!("[source.line]\ntype = \"http\"\nlisten = \"{address}\"");
    let stream = "max_future = \"none\"\nidle_after = \"1h\"";
    let text = config(&source, "[\"line\"]", stream, &receiver.url) + &section(&kafka);
    let deployment = Deployment::new(&text);
    let mut eddy = deployment.start();
    let [first, second, third] = [0, 1, 2].map(|third| &rows[rows.len() * third / 3..][..rows.len() / 3]);
    post(address, first);
    eddy.until("the first ones", |_| (!told(&kafka, TOLD).is_empty()).then_some(()));
    kafka.kill();
    let before = receiver.accepted().len();
    post(address, second);
    eddy.until("a message that is not taken", |eddy| (failed(eddy) > 0).then_some(()));
    eddy.until("the webhook is told meanwhile", |_| (receiver.accepted().len() > before).then_some(()));
    eddy.until("the page says why", |eddy| {
        let said = eddy.get("/api/v1/status")["sinks"].to_string();
        (said.contains("no broker is reached at") && said.contains("\"kind\":\"kafka\"")).then_some(())
    });
    // Before attempts fail twice, of which the third would come after five minutes.
    eddy.kill();
    kafka.launch();
    eddy = deployment.start();
    post(address, third);
    post(address, &rows[rows.len() / 3 * 3..]);
    expect::settles(&mut eddy, &receiver, &expected);
    let all = until_all_are_there(&kafka, expected.decisions.len());
    let bodies = in_order(&all);
    println!("{} alerts, {} messages", bodies.len(), all.len());
    same(&decisions(&bodies), &expected.decisions);
    for request in receiver.received() {
        assert_eq!(bodies[request.id()], request.body, "the bytes that a webhook gets");
    }
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
}

/// Members deliver to a topic what is in the topic that they share, each a part.
#[test]
fn several_eddys_tell_a_topic_of_each_alert() {
    let rows = rows(12_000);
    let expected = topic::expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic(TOLD, 4);
    let text = group::text(&kafka, "", NOBODY) + &section(&kafka);
    let deployments = [(); 2].map(|()| Deployment::new(&text));
    let members = [0, 1].map(|at| deployments[at].start());
    topic::send(&kafka.producer(), &rows, &std::sync::atomic::AtomicUsize::new(usize::MAX));
    until_committed(&kafka, rows.len(), |_| {});
    assert_told_once(&kafka, &expected);
    let all = until_all_are_there(&kafka, expected.decisions.len());
    same(&decisions(&in_order(&all)), &expected.decisions);
    let delivered = members.each_ref().map(|eddy| eddy.metric("eddy_sink_delivered_total{sink=\"bus\"}"));
    assert!(delivered.iter().all(|count| *count > 0), "one has delivered all: {delivered:?}");
    for (id, revision, message) in told(&kafka, ALERTS) {
        let trace = &message.headers["traceparent"];
        assert!(trace.starts_with(&format!("00-{id}-")), "revision {revision} of {id} has {trace}");
    }
}

fn cluster(brokers: String) -> ClusterPlan {
    ClusterPlan { brokers: vec![brokers], tls: None, sasl: None }
}

fn sink(cluster: ClusterPlan, topic: &str, timeout: Duration) -> SinkPlan {
    let topic = topic.to_owned();
    delivery::sink(delivery::SINK, SinkKind::Kafka(KafkaSinkPlan { cluster, topic, timeout }))
}

/// Until an attempt has failed; why.
async fn refused(rig: &Rig, id: &str) -> String {
    let began = Instant::now();
    loop {
        if let Some(error) = rig.delivery(id, 1).last_error {
            return error;
        }
        assert!(began.elapsed() < e2e::WAIT_MAX, "{:?}", rig.delivery(id, 1));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn says(reason: &str, words: &[&str]) {
    assert!(words.iter().all(|word| reason.contains(word)), "{words:?} are not in: {reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_missing_is_told_of_and_gets_its_alerts_once_it_is_there() {
    let (kafka, folder) = (Kafka::shared(), tempfile::tempdir().unwrap());
    let sink = sink(cluster(kafka.brokers()), "made-later", Duration::from_secs(2));
    let rig = Rig::start_sink(&file(&folder), sink, &SOON);
    rig.store(&[alert("a1", 1)]);
    says(&refused(&rig, "a1").await, &["no topic made-later", "Eddy makes none", "make it"]);
    kafka.make_topic("made-later", 1);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!(told(&kafka, "made-later").len(), 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_told_of_with_the_setting_to_raise() {
    let (kafka, folder) = (Kafka::shared(), tempfile::tempdir().unwrap());
    kafka.make_topic_with("narrow", 1, &[("max.message.bytes", "300")]);
    let rig = Rig::start_sink(
        &file(&folder),
        sink(cluster(kafka.brokers()), "narrow", Duration::from_secs(15)),
        &PATIENT,
    );
    rig.store(&[alert("a1", 1)]);
    says(&refused(&rig, "a1").await, &["too many for topic narrow", "raise the topic's max.message.bytes"]);
    assert!(told(&kafka, "narrow").is_empty());
    rig.stop().await;
}

/// Of three brokers one is killed, and the topic wants all three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_replicas_are_told_of_and_get_the_alert_once_they_are_back() {
    let (three, folder) = (Kafka::start_three(), tempfile::tempdir().unwrap());
    three[0].make_topic_with(TOLD, 1, &[("min.insync.replicas", "3")]);
    let leader = three[0].leader(TOLD, 0);
    let follower = &three[(leader + 1) % 3];
    follower.kill();
    let cluster = cluster(three[leader].brokers().replace(&format!("127.0.0.1:{},", follower.port), ""));
    let rig = Rig::start_sink(&file(&folder), sink(cluster, TOLD, Duration::from_secs(60)), &SOON);
    rig.store(&[alert("a1", 1)]);
    says(&refused(&rig, "a1").await, &["fewer replicas in sync", "min.insync.replicas"]);
    follower.launch();
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!(in_order(&told(&three[leader], TOLD)).len(), 1);
    rig.stop().await;
}

/// A broker where nothing is allowed that is not said, with a listener for users.
fn guarded() -> Kafka {
    let config = "listener.name.users.sasl.enabled.mechanisms=PLAIN\n\
                  listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                  required user_eddy=\"right\";\n\
                  authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                  super.users=User:ANONYMOUS";
    let listener = Listener { name: "USERS", protocol: "SASL_PLAINTEXT", config: config.to_owned() };
    Kafka::start_with(&[listener], &[])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_write_is_told_what_to_allow_and_writes_once_it_is() {
    let kafka = guarded();
    kafka.make_topic(TOLD, 1);
    let user = |password: &str| {
        let (username, password) = ("eddy".to_owned(), password.to_owned());
        let sasl = SaslPlan::Password { mechanism: SaslMechanism::Plain, username, password };
        ClusterPlan { sasl: Some(sasl), ..cluster(format!("localhost:{}", kafka.ports["USERS"])) }
    };
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start_sink(&file(&folder), sink(user("wrong"), TOLD, Duration::from_secs(1)), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    let reason = refused(&rig, "a1").await;
    says(&reason, &["refuses user \"eddy\"", "correct `sasl` in this sink"]);
    assert!(!reason.contains("wrong"), "{reason}");
    rig.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::start_sink(&file(&folder), sink(user(PASSWORD), TOLD, Duration::from_secs(2)), &SOON);
    rig.store(&[alert("a1", 1)]);
    says(&refused(&rig, "a1").await, &["user \"eddy\" may", "allow it to Write and Describe", TOLD]);
    // Who may write somewhere is let in, and refused by the topic.
    kafka.make_topic("another", 1);
    kafka.allow_to_write("User:eddy", "another");
    let began = Instant::now();
    while !refused(&rig, "a1").await.contains("may not write to topic plant-told; allow it to Write") {
        assert!(began.elapsed() < e2e::WAIT_MAX, "{}", refused(&rig, "a1").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    kafka.allow_to_write("User:eddy", TOLD);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    assert_eq!(told(&kafka, TOLD).len(), 1);
    rig.stop().await;
}

/// Accepts connections, and says nothing.
fn hangs() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    (listener, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_fails_the_attempt_by_its_timeout() {
    let ((_listener, address), folder) = (hangs(), tempfile::tempdir().unwrap());
    let rig = Rig::start_sink(
        &file(&folder),
        sink(cluster(address.clone()), TOLD, Duration::from_secs(2)),
        &PATIENT,
    );
    let began = Instant::now();
    rig.store(&[alert("a1", 1)]);
    says(&refused(&rig, "a1").await, &[&address, "`brokers`", "`tls`"]);
    let took = began.elapsed();
    // The client by itself would wait for minutes.
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(20), "{took:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_takes_along_what_is_due_and_waits_for_no_broker_that_hangs() {
    let (kafka, folder) = (Kafka::shared(), tempfile::tempdir().unwrap());
    kafka.make_topic("at-the-end", 4);
    let rig = Rig::start_sink(
        &file(&folder),
        sink(cluster(kafka.brokers()), "at-the-end", Duration::from_secs(15)),
        &SHORT,
    );
    rig.store(&[alert("a", 1)]);
    rig.wait_for_state("a", 1, DeliveryState::Delivered).await;
    let alerts: Vec<_> = (0..200).map(|i| alert(&format!("b{i:03}"), 1)).collect();
    rig.store(&alerts);
    let outbox = rig.outbox.clone();
    rig.stop().await;
    let counts = outbox.run(|outbox| outbox.counts(delivery::SINK)).await.unwrap();
    assert_eq!((counts.pending, in_order(&told(&kafka, "at-the-end")).len()), (0, 201));

    let ((_listener, address), folder) = (hangs(), tempfile::tempdir().unwrap());
    let rig = Rig::start_sink(&file(&folder), sink(cluster(address), TOLD, Duration::from_secs(60)), &SHORT);
    rig.store(&[alert("a1", 1)]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    rig.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// The broker is stopped while messages are on their way to it, longer than they wait, and goes on with what it had received by
/// then: no revision comes behind the one after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_sleeps_and_wakes_puts_no_revision_behind_the_next() {
    const ALERTS: usize = 40;
    let (kafka, folder) = (Kafka::start(), tempfile::tempdir().unwrap());
    kafka.make_topic(TOLD, 4);
    let rig =
        Rig::start_sink(&file(&folder), sink(cluster(kafka.brokers()), TOLD, Duration::from_secs(1)), &SOON);
    rig.store(&[alert("warm", 1)]);
    rig.wait_for_state("warm", 1, DeliveryState::Delivered).await;
    for round in 0..3 {
        let of =
            |revision| (0..ALERTS).map(|i| alert(&format!("r{round}a{i:02}"), revision)).collect::<Vec<_>>();
        kafka.freeze();
        rig.store(&of(1));
        rig.store(&of(2));
        refused(&rig, &format!("r{round}a00")).await;
        kafka.thaw();
        for alert in of(2) {
            rig.wait_for_state(&alert.decision.id, 2, DeliveryState::Delivered).await;
        }
    }
    rig.stop().await;
    let all = told(&kafka, TOLD);
    let count = 1 + 3 * 2 * ALERTS;
    assert_eq!(in_order(&all).len(), count);
    println!("{} messages are there twice", all.len() - count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_are_in_a_topic_in_order_under_their_ids() {
    let (kafka, folder) = (Kafka::shared(), tempfile::tempdir().unwrap());
    kafka.make_topic("incidents", 4);
    let mut sink = sink(cluster(kafka.brokers()), "incidents", Duration::from_secs(15));
    sink.group =
        Some(GroupPlan { by: vec![], wait: Duration::from_secs(1), interval: Duration::from_secs(1) });
    let rig = Rig::start_sink(&file(&folder), sink, &SHORT);
    rig.store(&(0..50).map(|i| alert(&format!("a{i:02}"), 1)).collect::<Vec<_>>());
    rig.wait_for_state("a49", 1, DeliveryState::Delivered).await;
    rig.store(&(0..50).map(|i| alert(&format!("a{i:02}"), 2)).collect::<Vec<_>>());
    rig.wait_for_state("a49", 2, DeliveryState::Delivered).await;
    rig.stop().await;
    let all = told(&kafka, "incidents");
    assert_eq!(in_order(&all).len(), 2, "one incident, its beginning and its end");
    let types: Vec<&str> = all.iter().map(|(_, _, message)| message.headers["type"].as_str()).collect();
    assert_eq!(types, ["incident.raised", "incident.resolved"]);
}
