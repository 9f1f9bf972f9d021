//! `eddy model`: which models a stream has been scored by, and the way back to the one before.
//!
//! While Eddy runs the data folder is its own, so it is asked, over the listener of its page. Else the control
//! log is read, and written, here.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::Value;

use super::{ModelArgs, ModelCommand, load, stream_named};
use crate::config::plan::{ModelPlan, Plan};
use crate::durable::{ControlEntry, ControlEvent, ControlLog, DirLock, Log, LogError, RealDisk, activations};
use crate::latency::Clock;
use crate::pipeline::{Models, fits};
use crate::stage::{MODEL_HEADER, ROLL_BACK, Wish};
use crate::types::activation::{before, is_held};
use crate::types::{Activation, Arrival, By, MODEL_DIGITS};

/// The log's thread may have much to write first.
const ANSWER_MAX: Duration = Duration::from_secs(60);

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
    let history = match DirLock::acquire(dir) {
        Ok(_lock) => here(&plan, stream, wish)?,
        Err(LogError::Locked { .. }) => ask(&plan, stream, wish)?,
        Err(error) => return Err(error.into()),
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
        control.append(&ControlEntry { precedes, event })?;
        history.push(activation);
    }
    Ok(history)
}

/// Asks the process that has the folder.
fn ask(plan: &Plan, stream: &str, wish: Wish) -> Result<Vec<Activation>> {
    let page = plan.dashboard.listen;
    if !plan.dashboard.enabled || page.port() == 0 {
        bail!(
            "Eddy is running, and can only be asked over its page: give `[dashboard]` an address with a port, or \
             stop Eddy and say it again"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(request(page, stream, wish)).with_context(|| {
        let again = "it may have been done: look at `eddy model list` before you say it again";
        match wish {
            Wish::List => format!("asked Eddy at http://{page}"),
            Wish::RollBack => format!("asked Eddy at http://{page}; {again}"),
        }
    })
}

async fn request(page: SocketAddr, stream: &str, wish: Wish) -> Result<Vec<Activation>> {
    // A proxy is for the way out of this machine.
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build()?;
    let (method, path) = match wish {
        Wish::List => (Method::GET, "/api/v1/models"),
        Wish::RollBack => (Method::POST, "/api/v1/models/rollback"),
    };
    // A stream's name needs no escaping.
    let url = format!("http://{page}{path}?stream={stream}");
    let answer = client.request(method, url).header(MODEL_HEADER, ROLL_BACK).send().await?;
    let (good, body) = (answer.status().is_success(), answer.bytes().await?);
    if good {
        return Ok(serde_json::from_slice(&body)?);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let part = |name: &str| said[name].as_str().unwrap_or("no reason").to_owned();
    bail!("{}; {}", part("error"), part("remedy"))
}

fn print(stream: &str, history: &[Activation]) {
    for (i, Activation { at, name, checksum, by }) in history.iter().enumerate() {
        let when = at.and_then(|at| jiff::Timestamp::from_nanosecond(i128::from(at.0)).ok());
        let when = when.map_or("-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
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
