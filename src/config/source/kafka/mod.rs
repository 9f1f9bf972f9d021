//! `type = "kafka"`: topics of a Kafka cluster, as a member of a consumer group.

mod registry;
mod shared;

use jiff::Timestamp;

use super::super::field::Field;
use super::super::kafka::{self, TOPIC_BYTES_MAX, each, is_name, topic_name};
use super::super::kind::{Kind, Naming};
use super::super::plan::{KafkaPlan, KafkaStart, SharedPlan, SourceKind};
use super::super::section::Section;
use super::Parse;

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

const TOPICS_MAX: usize = 256;
const PATTERN_BYTES_MAX: usize = 1024;
const GROUP_BYTES_MAX: usize = 256;

fn parse(section: &mut Section<'_>, naming: &Naming<'_>) -> Option<SourceKind> {
    let cluster = kafka::cluster(section);
    let topics = section
        .required("topics", "[\"plant.pumps\"]")
        .and_then(|field| each(&field, "topics", TOPICS_MAX, topic));
    let member = format!("eddy-{}-{}", naming.deployment, naming.name);
    let group = section.or("group", member.clone(), |field| group(&field));
    let start = section.or("start", KafkaStart::Earliest, |field| start(&field));
    let registry = section.maybe("registry", |field| registry::registry(&field));
    let shared = section.maybe("shared", |field| shared::shared(&field));
    let dead_letters = section.maybe("dead_letters", |field| topic_name(&field));
    if let (Some(Some(dead)), Some(topics), Some(shared)) = (&dead_letters, &topics, &shared) {
        of_its_own(&section.here().locate("dead_letters"), dead, topics, shared.as_ref());
    }
    Some(SourceKind::Kafka(KafkaPlan {
        cluster: cluster?,
        topics: topics?,
        group: group?,
        member,
        start: start?,
        dead_letters: dead_letters?,
        registry: registry?,
        shared: shared?,
    }))
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
