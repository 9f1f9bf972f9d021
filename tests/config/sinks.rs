//! Sinks: what they become, and what is told of broken ones.

use std::time::Duration;

use eddy::config::plan::{BodyFormat, GroupPlan, SigningKey, SinkKind, Version};
use eddy::types::silence::Label;
use insta::assert_snapshot;

use super::{GOOD, KEY, good_but, plan_with, problems};

/// The seed of test 1 of RFC 8032, and the same with its public key behind it.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxXtpcyaXAzusAxrKf2A=";
const PAIR: &str = "nWGxne/9WmC6hEr0kuwsxERJxXtpcyaXAzusAxrKf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";

fn with_sink(text: &str) -> String {
    format!("{GOOD}\n{text}")
}

#[test]
fn alerts_are_put_together_as_configured() {
    let plan = plan_with(&with_sink("group = {}\n"), &[]);
    let usual = GroupPlan {
        by: vec![Label::Stream],
        wait: Duration::from_secs(30),
        interval: Duration::from_secs(300),
    };
    assert_eq!(plan.sinks[0].group, Some(usual.clone()));
    let all = plan_with(&with_sink("group = { by = [], wait = \"5s\", interval = \"10s\" }\n"), &[]);
    let wanted = GroupPlan { by: vec![], wait: Duration::from_secs(5), interval: Duration::from_secs(10) };
    assert_eq!(all.sinks[0].group, Some(wanted));
}

#[test]
fn each_format_and_kind_of_key_is_known() {
    for (name, format) in [
        ("standard", BodyFormat::Standard),
        ("cloudevents", BodyFormat::CloudEvents),
        ("cloudevents-binary", BodyFormat::CloudEventsBinary),
        ("alertmanager", BodyFormat::Alertmanager),
    ] {
        let keys = format!("whsk_{SEED} {KEY} whsk_{PAIR}");
        let plan = plan_with(&format!("{}format = {name:?}\n", good_but(KEY, &keys)), &[]);
        let SinkKind::Webhook(webhook) = &plan.sinks[0].kind else { panic!("{plan:?}") };
        assert_eq!(webhook.format, format);
        let [SigningKey::Private(seed), SigningKey::Symmetric(_), SigningKey::Private(same)] =
            &webhook.secret[..]
        else {
            panic!("three keys")
        };
        assert_eq!((seed[0], seed), (0x9d, same));
        let shown = format!("{plan:?}");
        assert!(!shown.contains("157") && shown.contains("[redacted]"), "{shown}");
    }
}

#[test]
fn what_a_sink_cannot_do_is_told() {
    let text = with_sink(
        "format = \"xml\"\ngroup = { by = [\"stream\", \"sink\"], wait = \"0s\", interval = \"1s\", floor = 3 }\n\
         [sink.prometheus]\ntype = \"alertmanager\"\nurl = \"ftp://h\"\ngroup = {}\n[sink.archive]\ntype = \"file\"\n",
    );
    assert_snapshot!(problems(&text.replace(KEY, "whsk_c2hvcnQ=")), @r#"
    eddy.toml:18: sink.on_call.secret: secret 1 is 5 bytes long where an ed25519 key has 32 or 64. Make one: echo "whsk_$(head -c 32 /dev/urandom | base64)".
    eddy.toml:20: sink.on_call.format: there is no format "xml". Use one of standard, cloudevents, cloudevents-binary, alertmanager.
    eddy.toml:21: sink.on_call.group.by: there is no label "sink" to group by. Use stream, key, rule, column.
    eddy.toml:21: sink.on_call.group.wait: 0s is out of bounds. Choose from 1s to 1d.
    eddy.toml:21: sink.on_call.group.interval: 1s is out of bounds. Choose from 10s to 1d.
    eddy.toml:21: sink.on_call.group.floor: unknown key. Remove it; known here: by, wait, interval.
    eddy.toml:24: sink.prometheus.url: ftp:// is not Alertmanager's. Write it like "http://alertmanager.example.com:9093".
    eddy.toml:26: sink.archive.path: is missing. Add `path = "alerts.ndjson"`.
    8 problems in eddy.toml
    "#);
}

#[test]
fn a_group_of_eddys_puts_nothing_together() {
    let kafka = "type = \"kafka\"\nbrokers = [\"k:9092\"]\ntopics = [\"t\"]\nshared = { alerts = \"a\", state = \"s\" }\n";
    let source = &GOOD[GOOD.find("type = \"mqtt\"").unwrap()..GOOD.find("\n[stream.pumps]").unwrap()];
    let text = with_sink("group = {}\n").replace(source, kafka).replace("\"topic.4\"", "\"pump\"");
    assert_snapshot!(problems(&text), @r"
    eddy.toml:5: source.plant.shared: [sink.on_call] has a `group`, and each Eddy would tell an incident of its own. Remove `group` and let the receiver put alerts together, as Alertmanager does, or remove `shared`.
    1 problem in eddy.toml
    ");
}

const MQTT: &str =
    "[sink.plant]\ntype = \"mqtt\"\nurl = \"mqtts://broker.example.com\"\ntopic = \"alerts/eddy\"\n";

#[test]
fn a_sink_of_mqtt_is_a_client_of_its_own() {
    let text = with_sink(&format!(
        "{MQTT}username = \"eddy\"\npassword = \"env:PASSWORD\"\n[sink.quiet]\ntype = \"mqtt\"\nurl = \"mqtt://10.0.0.5:1884\"\n\
         topic = \"a\"\nprotocol = \"3.1.1\"\nqos = 1\nretain = true\ntimeout = \"3s\"\nclient_id = \"b\"\ngroup = {{}}\n"
    ));
    let plan = plan_with(&text, &[("PASSWORD", "hunter2")]);
    let [_, plant, quiet] = &plan.sinks[..] else { panic!("{plan:?}") };
    let (SinkKind::Mqtt(usual), SinkKind::Mqtt(other)) = (&plant.kind, &quiet.kind) else {
        panic!("{plan:?}")
    };
    assert_eq!((usual.broker.address(), usual.version), ("broker.example.com:8883".into(), Version::V5));
    assert_eq!(usual.broker.client_id, "eddy-eddy-sink-plant");
    assert_eq!(
        (usual.topic.as_str(), usual.retain, usual.timeout),
        ("alerts/eddy", false, Duration::from_secs(15))
    );
    assert!(usual.broker.tls.is_some() && plant.group.is_none());
    assert_eq!(
        (usual.broker.username.as_deref(), usual.broker.password.as_deref()),
        (Some("eddy"), Some("hunter2"))
    );
    let shown = format!("{plan:?}");
    assert!(!shown.contains("hunter2") && shown.contains("[redacted]"), "{shown}");
    assert_eq!((other.broker.address(), other.broker.client_id.as_str()), ("10.0.0.5:1884".into(), "b"));
    assert_eq!((other.version, other.retain, other.timeout), (Version::V3, true, Duration::from_secs(3)));
    assert!(other.broker.tls.is_none() && quiet.group.is_some());
}

#[test]
fn what_a_sink_of_mqtt_cannot_do_is_told() {
    let text = with_sink(
        "[sink.a]\ntype = \"mqtt\"\nurl = \"https://h\"\ntopic = \"alerts/+\"\nqos = 0\nprotocol = \"3\"\ntimeout = \"0s\"\n\
         [sink.b]\ntype = \"mqtt\"\nurl = \"mqtt://h/alerts\"\ntopic = \"\"\nqos = 2\npassword = \"p\"\ntopics = \"x\"\n\
         [sink.c]\ntype = \"mqtt\"\nurl = \"mqtt://h\"\nca = \"ca.pem\"\nclient_id = \"\"\nqos = 3\n\
         [sink.d]\ntype = \"mqtt\"\nurl = \"mqtt://h\"\ntopic = \"$SYS/alerts\"\n\
         [sink.e]\ntype = \"mqtt\"\nurl = \"mqtt://h\"\ntopic = \"a\\u0000b\"\n\
         [sink.f]\ntype = \"mqtt\"\nurl = \"mqtt://h\"\ntopic = \"$aws/rules/alerts\"\n",
    );
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:22: sink.a.url: https:// is not MQTT. Write it like "mqtt://127.0.0.1:1883" or "mqtts://broker.example.com".
    eddy.toml:23: sink.a.topic: the topic "alerts/+" has a wildcard, and a message goes to one topic. Write it without + and #, like "alerts/eddy".
    eddy.toml:24: sink.a.qos: with QoS 0 the broker never says that it took a message. Use `qos = 1`; receivers know a repetition by the alert's id and revision.
    eddy.toml:25: sink.a.protocol: "3" is not a version of MQTT. Write "3.1.1" or "5".
    eddy.toml:26: sink.a.timeout: 0s is out of bounds. Choose from 1s to 1m.
    eddy.toml:29: sink.b.url: has more than a host and a port. Write it like "mqtt://127.0.0.1:1883"; topics have a key of their own.
    eddy.toml:30: sink.b.topic: the topic "" must have 1 to 65535 bytes and no NUL. Write it like "alerts/eddy".
    eddy.toml:31: sink.b.qos: QoS 2 is not supported: its message ids do not survive a reconnect in the client library. Use `qos = 1`; receivers know a repetition by the alert's id and revision.
    eddy.toml:32: sink.b.password: MQTT has no password without a username. Add `username = "…"`.
    eddy.toml:33: sink.b.topics: unknown key. Did you mean `topic`?
    eddy.toml:34: sink.c.topic: is missing. Add `topic = "alerts/eddy"`.
    eddy.toml:37: sink.c.ca: belongs to TLS, which mqtt:// does not use. Write `url = "mqtts://…"`, or remove `ca`.
    eddy.toml:38: sink.c.client_id: is not a usable client id. Use 1 to 256 bytes without control characters, or leave it out: the default is stable.
    eddy.toml:39: sink.c.qos: is no quality of service. Use `qos = 1`; receivers know a repetition by the alert's id and revision.
    eddy.toml:43: sink.d.topic: the topic "$SYS/alerts" begins with $, and such topics are the broker's own. Write it without, like "alerts/eddy".
    eddy.toml:47: sink.e.topic: the topic "a\0b" must have 1 to 65535 bytes and no NUL. Write it like "alerts/eddy".
    16 problems in eddy.toml
    "#);
}

#[test]
fn a_sink_of_mqtt_does_not_get_into_its_sources_way() {
    let text = with_sink(
        "[sink.a]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopic = \"plant/hall/pump/alerts\"\nclient_id = \"eddy-eddy-plant\"\n\
         [sink.b]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopic = \"plant/alerts\"\nclient_id = \"c\"\n\
         [sink.c]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1\"\ntopic = \"plant/alerts\"\nclient_id = \"c\"\n\
         [sink.d]\ntype = \"mqtt\"\nurl = \"mqtt://127.0.0.1:1884\"\ntopic = \"plant/hall/pump/alerts\"\nclient_id = \"c\"\n\
         [sink.e]\ntype = \"mqtt\"\nurl = \"mqtt://localhost\"\ntopic = \"plant/alerts\"\nclient_id = \"c\"\n",
    );
    assert_snapshot!(problems(&text), @r#"
    eddy.toml:23: sink.a.topic: [source.plant] subscribes "plant/+/pump/+" at this broker, which takes "plant/hall/pump/alerts". Publish alerts where no source reads, such as "alerts/eddy".
    eddy.toml:24: sink.a.client_id: [source.plant] connects to the same broker with the same client id. Give each its own, or leave it out: the default differs.
    eddy.toml:34: sink.c.client_id: [sink.b] connects to the same broker with the same client id. Give each its own, or leave it out: the default differs.
    eddy.toml:44: sink.e.client_id: [sink.b] connects to the same broker with the same client id. Give each its own, or leave it out: the default differs.
    4 problems in eddy.toml
    "#);
}

#[test]
fn sinks_that_an_example_has_in_comments_are_good() {
    let is_toml = |rest: &str| rest.starts_with("[sink.") || rest.split(' ').nth(1) == Some("=");
    let line = |line: &'static str| line.strip_prefix("# ").filter(|rest| is_toml(rest)).unwrap_or(line);
    let lines: Vec<&str> = include_str!("../../configs/plant-mqtt.toml").lines().map(line).collect();
    let plan = plan_with(&lines.join("\n"), &[("ON_CALL_SECRET", KEY), ("BROKER_PASSWORD", "p")]);
    let kinds: Vec<&str> = plan.sinks.iter().map(|sink| sink.kind.as_str()).collect();
    assert_eq!(kinds, ["alertmanager", "file", "webhook", "mqtt"]);
}

/// A sink of Kafka beside a source of Kafka.
fn bus(source: &str, sink: &str) -> String {
    let kafka = format!("type = \"kafka\"\nbrokers = [\"k:9092\", \"l:9092\"]\n{source}\n");
    let mqtt = &GOOD[GOOD.find("type = \"mqtt\"").unwrap()..GOOD.find("\n[stream.pumps]").unwrap()];
    let text = with_sink(&format!("[sink.bus]\ntype = \"kafka\"\n{sink}\n"));
    text.replace(mqtt, &kafka).replace("\"topic.4\"", "\"pump\"")
}

#[test]
fn a_topic_of_kafka_is_reached_as_a_source_reaches_it() {
    let sink = "brokers = \"m:9092\"\ntopic = \"plant.told\"\ntimeout = \"5s\"\ntls = {}\n\
                sasl = { mechanism = \"SCRAM-SHA-512\", username = \"u\", password = \"env:PW\" }\ngroup = {}\n";
    let plan = plan_with(&bus("topics = \"t\"", sink), &[("PW", "hidden")]);
    let SinkKind::Kafka(kafka) = &plan.sinks[0].kind else { panic!("{plan:?}") };
    assert_eq!((kafka.topic.as_str(), kafka.timeout), ("plant.told", Duration::from_secs(5)));
    assert!(kafka.cluster.tls.is_some() && plan.sinks[0].group.is_some());
    assert!(!format!("{plan:?}").contains("hidden"));
    let told = eddy::cli::check::summary(&plan);
    assert!(told.contains("kafka m:9092, TLS, SCRAM-SHA-512, topic plant.told"), "{told}");
    let usual = plan_with(&bus("topics = \"t\"", "brokers = \"m:9092\"\ntopic = \"told\""), &[]);
    let SinkKind::Kafka(kafka) = &usual.sinks[0].kind else { panic!("{usual:?}") };
    assert_eq!(kafka.timeout, Duration::from_secs(15));
}

#[test]
fn what_a_sink_of_kafka_cannot_do_is_told() {
    let wrong = "brokers = \"m\"\ntopic = \"plant/told\"\ntimeout = \"0s\"\nsasl = { mechanism = \"PLAIN\", username = \"u\" }\nacks = 1\n";
    assert_snapshot!(problems(&bus("topics = \"t\"", wrong)), @r#"
    eddy.toml:21: sink.bus.brokers: "m" is no address of a broker. Write host and port, such as "kafka-1.plant.local:9092"; whether by TLS is said in `tls`.
    eddy.toml:22: sink.bus.topic: "plant/told" is no name of a topic. Use 1 to 249 characters of A-Z, a-z, 0-9, ., _ and -.
    eddy.toml:23: sink.bus.timeout: 0s is out of bounds. Choose from 1s to 1m.
    eddy.toml:24: sink.bus.sasl.password: is missing. Add `password = "env:KAFKA_PASSWORD"`.
    eddy.toml:25: sink.bus.acks: unknown key. Remove it; known here: type, brokers, tls, sasl, topic, timeout, group.
    5 problems in eddy.toml
    "#);
    // By any broker that both name; others are other clusters, and what a regular expression fits is passed over.
    let shared = "topics = \"t\"\nshared = { alerts = \"a\", state = \"s\" }";
    for (source, topic, used) in [
        ("topics = [\"t\", \"u\"]", "u", "one of the `topics`"),
        ("topics = \"t\"\ndead_letters = \"d\"", "d", "for the `dead_letters`"),
        (shared, "a", "for `shared.alerts`"),
        (shared, "s", "for `shared.state`"),
    ] {
        let sink = |broker: &str| format!("brokers = [{broker:?}, \"z:9092\"]\ntopic = {topic:?}");
        let told = problems(&bus(source, &sink("l:9092")));
        let words = format!("sink.bus.topic: {topic} is {used} of [source.plant]. Give alerts");
        assert!(told.contains(&words), "{words}:\n{told}");
        plan_with(&bus(source, &sink("m:9092")), &[]);
    }
    plan_with(&bus("topics = \"^plant.*\"", "brokers = \"k:9092\"\ntopic = \"plant.told\""), &[]);
}
