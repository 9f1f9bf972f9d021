//! `from`: which sources a stream takes its messages from.

use super::super::field::Field;
use super::super::plan::SourceKind;
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

/// The fewest levels a topic of this source can have for a stream with filter `topics`; `None` when
/// that is open or not known.
pub fn topic_levels(source: &Source<'_>, topics: Option<&str>) -> Option<usize> {
    match &source.plan.as_ref()?.kind {
        SourceKind::Mqtt(mqtt) => match topics {
            Some(filter) => topic::levels(filter),
            None => mqtt.topics.iter().filter_map(|filter| topic::levels(filter)).min(),
        },
        // The topic is the stream's name, or the file's stem.
        SourceKind::Http(_) | SourceKind::Replay(_) => Some(1),
    }
}
