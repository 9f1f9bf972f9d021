//! `[sink.NAME]`: one file a type, one row each in [`KINDS`].

mod stdout;
mod webhook;

use super::field::Field;
use super::kind::{Kind, choose};
use super::plan::{SinkKind, SinkPlan};
use super::section::Section;

pub type Parse = fn(&mut Section<'_>) -> Option<SinkKind>;

pub const KINDS: &[Kind<Parse>] = &[webhook::KIND, stdout::KIND];

pub fn parse(name: &str, field: &Field<'_>) -> Option<SinkPlan> {
    let mut section = field.section()?;
    let kind = choose(&mut section, KINDS)?;
    let parsed = (kind.parse)(&mut section);
    section.finish();
    Some(SinkPlan { name: name.to_string(), kind: parsed? })
}
