//! `[sink.NAME]`: one file a type, one row each in [`KINDS`].

mod alertmanager;
mod file;
mod group;
mod keys;
mod stdout;
mod webhook;

use std::time::Duration;

use super::field::Field;
use super::kind::{Kind, choose};
use super::plan::{SinkKind, SinkPlan};
use super::section::Section;

pub type Parse = fn(&mut Section<'_>) -> Option<SinkKind>;

pub const KINDS: &[Kind<Parse>] = &[webhook::KIND, alertmanager::KIND, file::KIND, stdout::KIND];

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// `naming`: the deployment's name.
pub fn parse(name: &str, field: &Field<'_>, naming: &str) -> Option<SinkPlan> {
    let mut section = field.section()?;
    let kind = choose(&mut section, KINDS)?;
    let parsed = (kind.parse)(&mut section);
    let group = section.get("group");
    if let (Some(group), Some(SinkKind::Alertmanager(_))) = (&group, &parsed) {
        group.problem(
            "Alertmanager puts alerts together itself",
            "Remove it, and see `group_by` of its `route`.",
        );
    }
    let group = group.map_or(Some(None), |field| group::parse(&field).map(Some));
    section.finish();
    Some(SinkPlan { name: name.to_string(), deployment: naming.to_string(), kind: parsed?, group: group? })
}
