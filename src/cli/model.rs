//! `eddy model`: which models a stream has been scored by, and the way back to the one before.
//!
//! While Eddy runs the data folder is its own, so it is asked, over the listener of its page. Else the control
//! log is read, and written, here.

use anyhow::{Context, Result, bail};
use reqwest::Method;

use super::ask::{Holder, ask, holder, utc};
use super::deed::noted;
use super::{ModelArgs, ModelCommand, load, stream_named};
use crate::config::plan::{ModelPlan, Plan};
use crate::durable::{ControlEntry, ControlEvent, ControlLog, Log, RealDisk, activations};
use crate::latency::Clock;
use crate::pipeline::{Models, fits};
use crate::stage::Wish;
use crate::types::activation::{before, is_held};
use crate::types::{Activation, Arrival, By, MODEL_DIGITS};

/// # Errors
/// If the stream loads no model, there is none before, or who runs on the data folder does not answer.
pub fn model(args: &ModelArgs) -> Result<()> {
    let (of, wish) = match &args.command {
        ModelCommand::List(of) => (of, Wish::List),
        ModelCommand::Rollback(of) => (of, Wish::RollBack),
    };
    let (plan, stream) = (load(&of.config)?, of.stream.as_str());
    let at = stream_named(&of.config, &plan, stream)?;
    if !matches!(plan.streams[at].model, ModelPlan::Load { .. }) {
        bail!("stream {stream} loads no model: each of its partitions fits its own, or it needs none");
    }
    let dir = &plan.durable.path;
    if !dir.join("control").is_dir() {
        bail!("{} holds nothing of a deployment: look at `[durable] path`", dir.display());
    }
    let history = match holder(&plan)? {
        Holder::Us(_lock) => here(&plan, stream, wish)?,
        Holder::Eddy => ask_eddy(&plan, stream, wish)?,
    };
    print(stream, &history);
    Ok(())
}

/// Nobody else has the folder.
fn here(plan: &Plan, stream: &str, wish: Wish) -> Result<Vec<Activation>> {
    let (disk, dir) = (|| Box::new(RealDisk::new()), &plan.durable.path);
    let (mut control, entries) = ControlLog::open(disk(), dir)?;
    let mut history = activations(&entries, stream);
    if wish == Wish::RollBack {
        let to = before(&history)
            .with_context(|| format!("stream {stream} has no model before the one that is active"))?;
        let model = Models::of(dir).read(&to.checksum)?;
        plan.streams.iter().filter(|plan| plan.name == stream).try_for_each(|plan| fits(&model, plan))?;
        let at = Some(Arrival(Clock::start().now_ns()));
        let activation = Activation { at, by: By::RollBack, ..to.clone() };
        let event =
            ControlEvent::ModelActivated { stream: stream.to_owned(), activation: activation.clone() };
        let precedes = Log::open(disk(), dir, plan.durable.segment_bytes)?.next_position();
        let what = format!("eddy model rollback --stream {stream} to {}", activation.checksum);
        noted(plan, what, || Ok(control.append(&ControlEntry { precedes, event })?))?;
        history.push(activation);
    }
    Ok(history)
}

/// Asks the process that has the folder.
fn ask_eddy(plan: &Plan, stream: &str, wish: Wish) -> Result<Vec<Activation>> {
    let (method, path) = match wish {
        Wish::List => (Method::GET, "/api/v1/models"),
        Wish::RollBack => (Method::POST, "/api/v1/models/rollback"),
    };
    // A stream's name needs no escaping.
    let said = ask(plan, method, &format!("{path}?stream={stream}"), None, "eddy model list")?;
    Ok(serde_json::from_value(said)?)
}

fn print(stream: &str, history: &[Activation]) {
    for (i, Activation { at, name, checksum, by }) in history.iter().enumerate() {
        let when = at.map_or("-".to_owned(), |at| utc(at.0));
        let (digits, by) = (&checksum[..MODEL_DIGITS.min(checksum.len())], by.as_str());
        let active = if i + 1 == history.len() { "  active" } else { "" };
        println!("{when:<20}  {digits}  {by:<9}  {name}{active}");
    }
    if history.is_empty() {
        println!("stream {stream} has not been scored by any model yet");
    }
    if is_held(history) {
        println!("refits of {stream} rest until the config's file is another one");
    }
}
