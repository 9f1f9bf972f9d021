//! `from`: which sources a stream takes its messages from.

use super::super::field::Field;
use super::super::plan::{FieldPath, Layout, SourceKind, StreamPlan, TimePlan};
use super::super::section::Section;
use super::super::source::Source;
use super::super::suggest;
use super::super::topic;

/// Names of sources, each known and named once.
pub fn from(section: &mut Section<'_>, sources: &[Source<'_>]) -> Option<Vec<String>> {
    let example = sources.first().map_or("\"NAME\"".to_string(), |source| format!("{:?}", source.name));
    let field = section.required("from", &example)?;
    let fields = field.one_or_many();
    if fields.is_empty() {
        field.problem("names no source", format!("Write `from = {example}`."));
        return None;
    }
    let names: Vec<Option<String>> = fields.iter().map(|field| known(field, sources)).collect();
    for (index, name) in names.iter().enumerate() {
        if name.is_some() && names[..index].contains(name) {
            fields[index].problem("names the same source twice", "Remove one of them.");
        }
    }
    names.into_iter().collect()
}

fn known(field: &Field<'_>, sources: &[Source<'_>]) -> Option<String> {
    let name = field.text()?;
    let names = || sources.iter().map(|source| source.name);
    if names().any(|known| known == name) {
        return Some(name.to_string());
    }
    let remedy = suggest::nearest(name, names()).map_or_else(
        || match sources {
            [] => "Add a [source.NAME] section.".to_string(),
            _ => format!("Known sources: {}.", suggest::list(names())),
        },
        |near| format!("Did you mean {near:?}?"),
    );
    field.problem(format!("there is no source {name:?}"), remedy);
    None
}

/// Which topics of its sources it takes. A problem if Kafka is one source among others: a key's partition is Kafka's
/// there, and the hash of the key elsewhere, so that one key would be two.
pub fn topics(
    section: &mut Section<'_>,
    from: Option<&[String]>,
    sources: &[Source<'_>],
) -> Option<Option<String>> {
    let kinds = kinds(from.unwrap_or_default(), sources);
    let of_kafka = kinds.contains(&true);
    if of_kafka && kinds.contains(&false) {
        section.here().locate("from").problem(
            "names Kafka beside other sources, where a key lies in another partition",
            "Make a stream for the others; or bring their messages to Kafka, too.",
        );
    }
    let separator = if of_kafka { '.' } else { '/' };
    section.maybe("topics", |field| {
        let filter = topic::parse_filter(&field, separator)?;
        let is_shared = filter.starts_with("$share/");
        if is_shared {
            field.problem(
                "no message has a topic with $share, which is of a subscription",
                "Write it in the source's `topics`, and here what comes behind `$share/GROUP/`.",
            );
        }
        (!is_shared).then_some(filter)
    })
}

/// Of each source that could be read, whether it is of Kafka.
fn kinds(from: &[String], sources: &[Source<'_>]) -> Vec<bool> {
    let named = sources.iter().filter(|source| from.iter().any(|name| name == source.name));
    named.filter_map(|source| Some(matches!(source.plan.as_ref()?.kind, SourceKind::Kafka(_)))).collect()
}

/// What only a message of Kafka has would send every other one to the dead letters.
pub fn check_fields(stream: &Field<'_>, plan: &StreamPlan, sources: &[Source<'_>]) {
    if !kinds(&plan.from, sources).contains(&false) {
        return;
    }
    let time = match &plan.time {
        TimePlan::Field { path, .. } => Some(path),
        TimePlan::Arrival => None,
    };
    let (column, value) = match &plan.layout {
        Layout::Long { column, value, .. } => (Some(column), Some(value)),
        Layout::Wide { .. } => (None, None),
    };
    let parts = [
        ("key", Some(&plan.key)),
        ("time", time),
        ("outcome", plan.outcome.as_ref()),
        ("column", column),
        ("value", value),
    ];
    for (name, path) in parts {
        check_field(&stream.locate(name), path);
    }
    for column in &plan.columns {
        check_field(&stream.locate("columns").locate(&column.name), Some(&column.path));
    }
}

fn check_field(field: &Field<'_>, path: Option<&FieldPath>) {
    if let Some(FieldPath::Kafka(part)) = path {
        field.problem(
            format!("{:?} is of messages from Kafka, and this stream takes from elsewhere", part.to_string()),
            format!("Name a source of type \"kafka\" in `from`; a field of the document is \"$.{part}\"."),
        );
    }
}

/// The fewest levels a topic of this source can have for a stream with filter `topics`; `None` when
/// that is open or not known.
pub fn topic_levels(source: &Source<'_>, topics: Option<&str>) -> Option<usize> {
    match &source.plan.as_ref()?.kind {
        SourceKind::Mqtt(mqtt) => match topics {
            Some(filter) => topic::levels(filter, '/'),
            None => mqtt.topics.iter().filter_map(|filter| topic::levels(filter, '/')).min(),
        },
        SourceKind::Kafka(kafka) => match topics {
            Some(filter) => topic::levels(filter, '.'),
            None => {
                let named = kafka.topics.iter().filter(|topic| !topic.starts_with('^'));
                named.map(|topic| topic.split('.').count()).min()
            }
        },
        // The topic is the stream's name, or the file's stem.
        SourceKind::Http(_) | SourceKind::Replay(_) => Some(1),
    }
}
