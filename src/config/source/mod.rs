//! `[source.NAME]`: one file a type, one row each in [`KINDS`].

mod http;
mod kafka;
mod mqtt;
mod replay;

use super::field::Field;
use super::kind::{Kind, Naming, choose};
use super::plan::{SourceKind, SourcePlan};
use super::section::Section;

pub type Parse = fn(&mut Section<'_>, &Naming<'_>) -> Option<SourceKind>;

pub const KINDS: &[Kind<Parse>] = &[mqtt::KIND, kafka::KIND, http::KIND, replay::KIND];

const OF_STREAM: &str = "Write it under the [stream.NAME] that takes `from` this source.";

/// What is written under a source that has no such key.
const HINTS: &[(&str, &str)] = &[
    (
        "key",
        "What tells devices apart is the `key` under the [stream.NAME] that takes `from` this source; files of TLS have no \
         place here.",
    ),
    ("time", OF_STREAM),
    ("columns", OF_STREAM),
    ("window", OF_STREAM),
    ("model", OF_STREAM),
    ("format", OF_STREAM),
];

/// A source as far as it could be read: streams may refer to one that has problems of its own.
pub struct Source<'a> {
    pub name: &'a str,
    pub field: Field<'a>,
    pub plan: Option<SourcePlan>,
}

pub fn parse<'a>(name: &'a str, field: Field<'a>, deployment: &str) -> Source<'a> {
    let plan = field.section().and_then(|mut section| {
        let kind = choose(&mut section, KINDS)?;
        section.hint(HINTS);
        let parsed = (kind.parse)(&mut section, &Naming { deployment, name });
        section.finish();
        Some(SourcePlan { name: name.to_string(), kind: parsed? })
    });
    Source { name, field, plan }
}
