//! `type = "kafka"`: topics of a Kafka cluster, as a member of a consumer group.

mod access;
mod registry;
mod shared;

use jiff::Timestamp;

use super::super::field::Field;
use super::super::kind::Kind;
use super::super::plan::{KafkaPlan, KafkaStart, SharedPlan, SourceKind};
use super::super::section::Section;
use super::{Naming, Parse};

pub const KIND: Kind<Parse> = Kind {
    name: "kafka",
    summary: "read topics of a Kafka cluster",
    example: r#"
type = "kafka"
brokers = ["kafka-1.plant.local:9092", "kafka-2.plant.local:9092"]
topics = ["plant.pumps"]
"#,
    parse,
};

const BROKERS_MAX: usize = 64;
const TOPICS_MAX: usize = 256;
/// Kafka's own limit for a topic.
const TOPIC_BYTES_MAX: usize = 249;
const PATTERN_BYTES_MAX: usize = 1024;
const GROUP_BYTES_MAX: usize = 256;

fn parse(section: &mut Section<'_>, naming: &Naming<'_>) -> Option<SourceKind> {
    let brokers = section
        .required("brokers", "[\"127.0.0.1:9092\"]")
        .and_then(|field| each(&field, "brokers", BROKERS_MAX, broker));
    let topics = section
        .required("topics", "[\"plant.pumps\"]")
        .and_then(|field| each(&field, "topics", TOPICS_MAX, topic));
    let member = format!("eddy-{}-{}", naming.deployment, naming.name);
    let group = section.or("group", member.clone(), |field| group(&field));
    let start = section.or("start", KafkaStart::Earliest, |field| start(&field));
    let tls = section.maybe("tls", |field| access::tls(&field));
    let sasl = section.maybe("sasl", |field| access::sasl(&field));
    let registry = section.maybe("registry", |field| registry::registry(&field));
    let shared = section.maybe("shared", |field| shared::shared(&field));
    let dead_letters = section.maybe("dead_letters", |field| topic_name(&field));
    if let (Some(Some(dead)), Some(topics), Some(shared)) = (&dead_letters, &topics, &shared) {
        of_its_own(&section.here().locate("dead_letters"), dead, topics, shared.as_ref());
    }
    Some(SourceKind::Kafka(KafkaPlan {
        brokers: brokers?,
        topics: topics?,
        group: group?,
        member,
        start: start?,
        tls: tls?,
        sasl: sasl?,
        dead_letters: dead_letters?,
        registry: registry?,
        shared: shared?,
    }))
}

/// One text or a list of them, each once.
fn each(
    field: &Field<'_>,
    what: &str,
    max: usize,
    read: fn(&Field<'_>) -> Option<String>,
) -> Option<Vec<String>> {
    let fields = field.one_or_many();
    if fields.is_empty() || fields.len() > max {
        field.problem(format!("lists {} {what}", fields.len()), format!("List 1 to {max}."));
        return None;
    }
    let texts: Vec<Option<String>> = fields.iter().map(read).collect();
    for (index, text) in texts.iter().enumerate() {
        if text.is_some() && texts[..index].contains(text) {
            fields[index].problem("the same is listed twice", "Remove one of them.");
        }
    }
    texts.into_iter().collect()
}

/// `HOST:PORT`.
fn broker(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits = text.rsplit_once(':').is_some_and(|(host, port)| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.[]:".contains(c);
        let bare = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && !bare && host.chars().all(legal) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !fits {
        field.problem(
            format!("{text:?} is no address of a broker"),
            "Write host and port, such as \"kafka-1.plant.local:9092\"; whether by TLS is said in `tls`.",
        );
    }
    fits.then(|| text.to_string())
}

/// Whether a topic may have this name.
fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_BYTES_MAX).contains(&text.len()) && text.bytes().all(legal) && !matches!(text, "." | "..")
}

/// The name of a topic, and no regular expression.
fn topic_name(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !is_name(text) {
        field.problem(
            format!("{text:?} is no name of a topic"),
            format!("Use 1 to {TOPIC_BYTES_MAX} characters of A-Z, a-z, 0-9, ., _ and -."),
        );
        return None;
    }
    Some(text.to_string())
}

/// What is written there must not come in again, nor be taken for an alert or a state.
fn of_its_own(field: &Field<'_>, dead: &String, topics: &[String], shared: Option<&SharedPlan>) {
    let is_shared = shared.is_some_and(|shared| [&shared.alerts, &shared.state].contains(&dead));
    if topics.contains(dead) || is_shared {
        field.problem(format!("{dead} is in use already"), "Give dead letters a topic of their own.");
    }
}

fn topic(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits = match text.starts_with('^') {
        true => (2..=PATTERN_BYTES_MAX).contains(&text.len()) && !text.contains(['\0', ',']),
        false => is_name(text),
    };
    if !fits {
        field.problem(
            format!("{text:?} is no topic"),
            format!(
                "Use 1 to {TOPIC_BYTES_MAX} characters of A-Z, a-z, 0-9, ., _ and -, or a regular expression that \
                 begins with ^, such as \"^plant\\\\..*\"."
            ),
        );
    }
    fits.then(|| text.to_string())
}

fn group(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let fits = (1..=GROUP_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if !fits {
        field.problem(
            "is not a usable name of a group",
            format!("Use 1 to {GROUP_BYTES_MAX} bytes without control characters, or leave it out."),
        );
    }
    fits.then(|| text.to_string())
}

fn start(field: &Field<'_>) -> Option<KafkaStart> {
    match field.text()? {
        "earliest" => Some(KafkaStart::Earliest),
        "latest" => Some(KafkaStart::Latest),
        text => {
            // Nobody means a time before there was Kafka: negative numbers have other meanings there.
            let time = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond).filter(|ms| *ms >= 0);
            if time.is_none() {
                field.problem(
                    format!("{text:?} is no place to start"),
                    "Write \"earliest\", \"latest\" or a time such as \"2026-01-01T00:00:00Z\".",
                );
            }
            time.map(KafkaStart::At)
        }
    }
}
