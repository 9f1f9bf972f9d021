//! Config: a TOML file and the environment to a validated [`Plan`], every problem collected.
//!
//! `text → node (with places) → environment laid over it → sections read it → cross checks → plan`.
//! Relative paths in a config are relative to the folder Eddy is started in. A new type of source or
//! sink is one file and one row in its folder's `KINDS`.

mod appliance;
mod cross;
mod environment;
mod field;
mod kafka;
pub mod kind;
mod mqtt;
mod node;
mod path;
pub mod plan;
mod problem;
mod section;
pub mod sink;
pub mod source;
pub mod stream;
pub(crate) mod suggest;
mod telemetry;
mod tls;
mod topic;
mod units;
mod web;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use field::Field;
use node::Node;
use plan::{Plan, StreamPlan};
use section::{Scope, Secrets, Section};

pub use cross::perhaps_own_alerts;
pub use problem::{Origin, Problem, Problems};
pub use units::{parse_duration, show_duration, show_size};

/// Most sources, streams or sinks of one deployment.
const COMPONENTS_MAX: usize = 256;

/// The plan of a file, with `EDDY__…` variables of `env` laid over it and `env:NAME` secrets looked up
/// in it.
pub fn load(path: &Path, env: &BTreeMap<String, String>) -> Result<Plan, Problems> {
    read(path, env, Secrets::LookedUp)
}

/// The same for who asks a running Eddy or looks into its data folder, from a shell that has not its secrets: those of
/// `env:NAME` are not looked up, and nothing can be sent or received by the plan.
pub fn load_without_secrets(path: &Path, env: &BTreeMap<String, String>) -> Result<Plan, Problems> {
    read(path, env, Secrets::Unseen)
}

fn read(path: &Path, env: &BTreeMap<String, String>, secrets: Secrets) -> Result<Plan, Problems> {
    let origin = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let remedy = "Give the path of a config file, such as configs/minimal.toml.".to_string();
        let fault = format!("cannot be read ({error})");
        Problems::new(&origin, vec![Problem { origin: Origin::File, key: String::new(), fault, remedy }])
    })?;
    parse_with(&text, &origin, env, secrets)
}

/// The same for a text; `origin` is what problems call the file.
pub fn parse(text: &str, origin: &str, env: &BTreeMap<String, String>) -> Result<Plan, Problems> {
    parse_with(text, origin, env, Secrets::LookedUp)
}

fn parse_with(
    text: &str,
    origin: &str,
    env: &BTreeMap<String, String>,
    secrets: Secrets,
) -> Result<Plan, Problems> {
    let mut root = node::parse_document(text).map_err(|(place, message)| {
        let fault = format!("is not TOML: {message}");
        let remedy = "Correct this line first; the rest is checked after that.".to_string();
        Problems::new(origin, vec![Problem { origin: place, key: String::new(), fault, remedy }])
    })?;
    let overrides = environment::apply(&mut root, env);
    let scope = Scope { env, secrets, problems: RefCell::new(overrides), warnings: RefCell::default() };
    let plan = resolve(&scope, &root);
    let problems = scope.problems.into_inner();
    match plan {
        Some(plan) if problems.is_empty() => Ok(Plan { warnings: scope.warnings.into_inner(), ..plan }),
        _ => Err(Problems::new(origin, problems)),
    }
}

fn resolve<'a>(scope: &'a Scope<'a>, root: &'a Node) -> Option<Plan> {
    let mut section = Field::root(scope, root).section()?;
    let deployment = appliance::deployment(&mut section);
    let shards = appliance::shards(&mut section);
    let backend = appliance::backend(&mut section);
    let device_memory = appliance::device_memory(&mut section);
    let sources = family(&mut section, "source");
    let streams = family(&mut section, "stream");
    let sinks = family(&mut section, "sink");
    let dashboard = appliance::dashboard(&mut section);
    let durable = appliance::durable(&mut section);
    let telemetry = telemetry::telemetry(&mut section);

    let naming = deployment.as_deref().unwrap_or_default();
    let sources: Vec<_> =
        sources.into_iter().map(|(name, field)| source::parse(name, field, naming)).collect();
    let streams: Vec<_> =
        streams.into_iter().map(|(name, field)| stream::parse(name, &field, &sources)).collect();
    let sinks: Vec<_> = sinks.into_iter().map(|(name, field)| sink::parse(name, field, naming)).collect();

    let page = section.here().locate("dashboard").locate("listen");
    cross::listeners(&sources, dashboard.as_ref().map(|plan| (plan, page)));
    cross::client_ids(&sources, &sinks);
    cross::alerts_over_mqtt(&sources, &sinks);
    cross::groups(&sources);
    let streams: Option<Vec<StreamPlan>> = streams.into_iter().collect();
    cross::alerts_over_kafka(&sources, &sinks);
    let sinks: Option<Vec<_>> = sinks.into_iter().map(|sink| sink.plan).collect();
    if let Some(streams) = streams.as_ref().filter(|streams| !streams.is_empty()) {
        cross::unused_sources(&sources, streams);
        cross::shared(&sources, streams, sinks.as_deref().unwrap_or_default());
    }
    let here = section.here().clone();
    section.finish();
    let plan = Plan {
        deployment: deployment?,
        sources: sources.into_iter().map(|source| source.plan).collect::<Option<_>>()?,
        streams: streams?,
        sinks: sinks?,
        dashboard: dashboard?,
        durable: durable?,
        telemetry: telemetry?,
        warnings: Vec::new(),
        shards: shards?,
        backend: backend?,
        device_memory_bytes: device_memory?,
    };
    // Only when nothing else is wrong: a misspelt section would be told twice.
    if scope.problems.borrow().is_empty() {
        check_useful(&here, &plan);
    }
    Some(plan)
}

/// The sections `[key.NAME]`, in order of name.
fn family<'a>(root: &mut Section<'a>, key: &'static str) -> Vec<(&'a str, Field<'a>)> {
    let Some(section) = root.get(key).and_then(|field| field.section()) else {
        return Vec::new();
    };
    let members: Vec<_> = section.entries().collect();
    if members.len() > COMPONENTS_MAX {
        let fault = format!("there are {} of them", members.len());
        section.here().problem(fault, format!("Keep it to {COMPONENTS_MAX} in one deployment."));
    }
    for (name, field) in &members {
        field.check_name(name);
    }
    members
}

/// A config that would start and then do nothing.
fn check_useful(here: &Field<'_>, plan: &Plan) {
    if plan.sources.is_empty() {
        here.problem("there is no source", "Add a [source.NAME] section: where messages come from.");
    }
    if plan.streams.is_empty() {
        here.problem("there is no stream", "Add a [stream.NAME] section: what to watch.");
    }
    if plan.sinks.is_empty() && !plan.dashboard.enabled {
        here.problem(
            "nobody would see an alert: there is no sink and the dashboard is off",
            "Add a [sink.NAME] section, such as one with `type = \"stdout\"`.",
        );
    }
}
