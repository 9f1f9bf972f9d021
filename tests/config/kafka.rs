//! `type = "kafka"`: what it becomes, and what is told of a broken one.

use eddy::config::plan::{
    FieldPath, KafkaField, KafkaStart, SaslMechanism, SaslPlan, SourceKind, TimePlan, TimeUnit,
};

use super::{plan_with, problems};

const GOOD: &str = r#"[source.plant]
type = "kafka"
brokers = ["kafka-1:9092", "[::1]:9092"]
topics = ["plant.north.pumps", "^plant\\..*"]

[stream.pumps]
from = "plant"
topics = "plant.+.pumps"
key = "kafka.key"
time = { path = "kafka.timestamp", unit = "ms" }
window = { type = "hopping", size = "64s", every = "1s" }
columns.vibration = "vib"
columns.site = { path = "kafka.header.site.number" }

[sink.out]
type = "stdout"
"#;

fn good_but(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

#[test]
fn a_whole_one() {
    let more = "start = \"2026-01-01T00:00:00Z\"\ngroup = \"g\"\ntls = {}\n\
                sasl = { mechanism = \"SCRAM-SHA-512\", username = \"u\", password = \"env:PW\" }\n[stream";
    let plan = plan_with(&good_but("[stream", more), &[("PW", "hidden")]);
    let SourceKind::Kafka(kafka) = &plan.sources[0].kind else { panic!("{plan:?}") };
    assert_eq!((kafka.cluster.brokers.len(), kafka.topics.len(), kafka.group.as_str()), (2, 2, "g"));
    assert_eq!((kafka.start, kafka.member.as_str()), (KafkaStart::At(1_767_225_600_000), "eddy-eddy-plant"));
    let sasl = kafka.cluster.sasl.as_ref().expect("a table");
    let SaslPlan::Password { mechanism, password, .. } = sasl else { panic!("{sasl:?}") };
    assert_eq!((*mechanism, password.as_str()), (SaslMechanism::ScramSha512, "hidden"));
    assert!(kafka.cluster.tls.is_some());
    assert!(!format!("{plan:?}").contains("hidden"));
    let stream = &plan.streams[0];
    assert_eq!(stream.key, FieldPath::Kafka(KafkaField::Key));
    let path = FieldPath::Kafka(KafkaField::Timestamp);
    assert_eq!(stream.time, TimePlan::Field { path, unit: TimeUnit::Millis });
    assert_eq!(stream.columns[0].path, FieldPath::Kafka(KafkaField::Header("site.number".into())));
    let usual = plan_with(GOOD, &[]);
    let SourceKind::Kafka(kafka) = &usual.sources[0].kind else { panic!("{usual:?}") };
    assert_eq!((kafka.group.as_str(), kafka.start), ("eddy-eddy-plant", KafkaStart::Earliest));
    assert!(kafka.cluster.tls.is_none() && kafka.cluster.sasl.is_none());
}

#[test]
fn one_with_tokens() {
    let more = "sasl = { mechanism = \"OAUTHBEARER\", token_url = \"https://h/t\", client_id = \"c\", \
                client_secret = \"env:PW\", scope = \"a b\" }\n[stream";
    let plan = plan_with(&good_but("[stream", more), &[("PW", "hidden")]);
    let SourceKind::Kafka(kafka) = &plan.sources[0].kind else { panic!("{plan:?}") };
    let Some(SaslPlan::Token(token)) = &kafka.cluster.sasl else { panic!("{plan:?}") };
    assert_eq!((token.url.as_str(), token.client_id.as_str()), ("https://h/t", "c"));
    assert_eq!((token.client_secret.as_str(), token.scope.as_deref()), ("hidden", Some("a b")));
    assert_eq!(kafka.cluster.access(), ", OAUTHBEARER");
    assert!(!format!("{plan:?}").contains("hidden"));
}

#[test]
fn what_is_wrong_is_told_with_a_remedy() {
    let sasl = |keys: &str| good_but("[stream", &format!("sasl = {{ {keys} }}\n[stream"));
    let with = |line: &str| good_but("[stream", &format!("{line}\n[stream"));
    let http = "[source.web]\ntype = \"http\"\n[stream";
    let cases = [
        (good_but("kafka-1:9092", "kafka://kafka-1:9092"), "source.plant.brokers", "Write host and port"),
        (good_but("kafka-1:9092", "kafka-1"), "source.plant.brokers", "Write host and port"),
        (good_but("[::1]:9092", "::1:9092"), "source.plant.brokers", "Write host and port"),
        (good_but("plant.north.pumps", "plant/north"), "source.plant.topics", "begins with ^"),
        (with("start = \"yesterday\""), "source.plant.start", "\"earliest\", \"latest\" or a time"),
        (with("offset = 5"), "source.plant.offset", "known here"),
        (with("tls = { ca = \"not.there\" }"), "source.plant.tls.ca", "Correct the path"),
        (with("tls = { cert = \"a\" }"), "source.plant.tls.cert", "Add `key"),
        (
            sasl("mechanism = \"GSSAPI\", username = \"u\", password = \"p\""),
            "source.plant.sasl.mechanism",
            "Kerberos libraries. Use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
        ),
        (
            sasl("mechanism = \"OAUTHBEARER\", username = \"u\", password = \"p\""),
            "source.plant.sasl.username",
            "client_id",
        ),
        (
            sasl(
                "mechanism = \"OAUTHBEARER\", token_url = \"ftp://h/t\", client_id = \"c\", client_secret = \"s\"",
            ),
            "source.plant.sasl.token_url",
            "ftp:// gives no tokens",
        ),
        (
            sasl(
                "mechanism = \"OAUTHBEARER\", token_url = \"https://c:s@h/t\", client_id = \"c\", client_secret = \"s\"",
            ),
            "source.plant.sasl.token_url",
            "shown in logs",
        ),
        (sasl("mechanism = \"PLAIN\", username = \"u\""), "source.plant.sasl.password", "env:KAFKA_PASSWORD"),
        (
            good_but("[stream", http).replace("from = \"plant\"", "from = [\"plant\", \"web\"]"),
            "stream.pumps.from",
            "Make a stream for the others",
        ),
        (good_but("unit = \"ms\"", "unit = \"s\""), "stream.pumps.time.unit", "Write `unit = \"ms\"`"),
        (good_but("kafka.key", "kafka.keys"), "stream.pumps.key", "kafka.header.NAME"),
        (good_but("plant.+.pumps", "plant.x+.pumps"), "stream.pumps.topics", "\"plant.+.pump.#\""),
        (good_but("kafka.key", "topic.4"), "stream.pumps.key", "there is no topic.4"),
        (
            good_but("columns.vib", "points = \"kafka.key\"\ncolumns.vib"),
            "stream.pumps.points",
            "cannot be used",
        ),
    ];
    for (text, key, words) in cases {
        let told = problems(&text);
        assert!(told.contains(&format!("{key}: ")) && told.contains(words), "{key}, {words}:\n{told}");
    }
}

#[test]
fn what_only_kafka_has_is_refused_elsewhere() {
    let brokers = "type = \"kafka\"\nbrokers = [\"kafka-1:9092\", \"[::1]:9092\"]\n";
    let topics = "topics = [\"plant.north.pumps\", \"^plant\\\\..*\"]\n";
    let text = good_but(brokers, "type = \"http\"\n").replacen(topics, "", 1).replacen(
        "topics = \"plant.+.pumps\"\n",
        "",
        1,
    );
    let told = problems(&text);
    for key in ["key", "time", "columns.site"] {
        assert!(told.contains(&format!("stream.pumps.{key}: \"kafka.")), "{key}:\n{told}");
    }
}

#[test]
fn two_sources_of_one_group_would_share_the_partitions() {
    // By another of its names, and beside a broker that the other one does not name.
    let second = "[source.second]\ntype = \"kafka\"\nbrokers = [\"b:1\", \"localhost:9092\"]\ntopics = \"t\"\n\
                  group = \"eddy-eddy-plant\"\n[stream";
    let text = good_but("[stream", second).replace("from = \"plant\"", "from = [\"plant\", \"second\"]");
    assert!(problems(&text).contains("source.second.group: [source.plant] is in the same group"));
}

/// One topic, and what each partition can decide by itself.
const SHARED: &str = r#"[source.plant]
type = "kafka"
brokers = "b:9092"
topics = "plant.pumps"
shared = { alerts = "plant.alerts", state = "plant.state" }

[stream.pumps]
from = "plant"
key = "kafka.key"
time = { path = "kafka.timestamp", unit = "ms" }
window = { type = "hopping", size = "64s", every = "1s" }
columns.vibration = "vib"

[sink.out]
type = "stdout"
"#;

#[test]
fn a_source_that_is_shared() {
    let plan = plan_with(SHARED, &[]);
    let (kafka, shared) = plan.shared().expect("it is shared");
    assert_eq!(kafka.dead_letters, None, "they go to the file");
    assert_eq!(
        (kafka.topics[0].as_str(), shared.alerts.as_str(), shared.state.as_str()),
        ("plant.pumps", "plant.alerts", "plant.state")
    );
    assert!(plan_with(GOOD, &[]).shared().is_none());
}

#[test]
fn what_several_cannot_do_together_is_refused() {
    let but = |old: &str, new: &str| {
        assert!(SHARED.contains(old), "{old}");
        SHARED.replacen(old, new, 1)
    };
    let window = "window = { type = \"hopping\", size = \"64s\", every = \"1s\" }";
    let cards = "window = { type = \"sliding\", size = \"1h\" }\noutcome = \"fraud\"\n\
                 model = { type = \"transactions\", amount = \"vibration\" }\n\
                 columns.terminal = { path = \"terminal\", aggregate = \"risk\" }";
    let http = "[source.web]\ntype = \"http\"\n[stream.web]\nfrom = \"web\"\nkey = \"k\"\ntime = \"arrival\"\n\
                window = { type = \"tumbling\", size = \"1m\" }\ncolumns.x = \"x\"\n[stream.pumps";
    let cases = [
        (but("\"plant.pumps\"", "[\"plant.pumps\", \"more\"]"), "source.plant.topics", "Name one topic"),
        (but("\"plant.pumps\"", "\"^plant.*\""), "source.plant.topics", "Name one topic"),
        (but("plant.alerts", "plant.state"), "source.plant.shared", "a topic of its own"),
        (but("plant.alerts", "plant.pumps"), "source.plant.shared", "topics of their own"),
        (
            but("shared", "dead_letters = \"plant.pumps\"\nshared"),
            "source.plant.dead_letters",
            "a topic of their own",
        ),
        (
            but("shared", "dead_letters = \"plant.state\"\nshared"),
            "source.plant.dead_letters",
            "a topic of their own",
        ),
        (
            but("shared", "dead_letters = \"^dead\"\nshared"),
            "source.plant.dead_letters",
            "Use 1 to 249 characters",
        ),
        (but("plant.alerts", "plant/alerts"), "source.plant.shared.alerts", "Use 1 to 249 characters"),
        (but(", state = \"plant.state\"", ""), "source.plant.shared.state", "plant-eddy-state"),
        (but("[stream.pumps", http), "source.plant.shared", "a config and a data folder of their own"),
        (
            but(window, &format!("{window}\nmodel = {{ type = \"load\", path = \"m\", refit = \"6h\" }}")),
            "source.plant.shared",
            "Remove `refit`",
        ),
    ];
    for (text, key, words) in cases {
        let told = problems(&text);
        assert!(told.contains(&format!("{key}: ")) && told.contains(words), "{key}, {words}:\n{told}");
    }
    // Second keys are each partition's own, and what schemas are read by is in its state.
    assert!(plan_with(&but(window, cards), &[]).shared().is_some());
    let avro = but("shared", "registry = { url = \"http://127.0.0.1:8081\" }\nshared");
    let avro = avro.replacen(window, &format!("{window}\nformat = \"avro\""), 1);
    assert!(plan_with(&avro, &[]).shared().is_some());
}
