//! `[sink.NAME]`: one file a type, one row each in [`KINDS`].

mod alertmanager;
mod file;
mod group;
mod kafka;
mod keys;
mod mqtt;
mod stdout;
mod webhook;

use std::time::Duration;

use super::field::Field;
use super::kind::{Kind, Naming, choose};
use super::plan::{SinkKind, SinkPlan};
use super::section::Section;

pub type Parse = fn(&mut Section<'_>, &Naming<'_>) -> Option<SinkKind>;

pub const KINDS: &[Kind<Parse>] =
    &[webhook::KIND, alertmanager::KIND, file::KIND, kafka::KIND, mqtt::KIND, stdout::KIND];

/// `timeout`: of one attempt.
fn timeout(section: &mut Section<'_>) -> Option<Duration> {
    section.or("timeout", Duration::from_secs(15), |field| {
        field.duration(Duration::from_secs(1)..=Duration::from_secs(60))
    })
}

/// A sink as far as it could be read.
pub struct Sink<'a> {
    pub field: Field<'a>,
    pub plan: Option<SinkPlan>,
}

pub fn parse<'a>(name: &str, field: Field<'a>, deployment: &str) -> Sink<'a> {
    let plan = read(name, &field, deployment);
    Sink { field, plan }
}

fn read(name: &str, field: &Field<'_>, deployment: &str) -> Option<SinkPlan> {
    let mut section = field.section()?;
    let kind = choose(&mut section, KINDS)?;
    let parsed = (kind.parse)(&mut section, &Naming { deployment, name });
    let group = section.get("group");
    if let (Some(group), Some(SinkKind::Alertmanager(_))) = (&group, &parsed) {
        group.problem(
            "Alertmanager puts alerts together itself",
            "Remove it, and see `group_by` of its `route`.",
        );
    }
    let group = group.map_or(Some(None), |field| group::parse(&field).map(Some));
    section.finish();
    Some(SinkPlan {
        name: name.to_string(),
        deployment: deployment.to_string(),
        kind: parsed?,
        group: group?,
    })
}
