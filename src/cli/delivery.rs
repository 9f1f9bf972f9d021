//! `eddy delivery`: what waits and what was given up, and that it is tried again.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::{Holder, ask, holder, utc};
use super::deed::noted;
use super::load;
use crate::alert::outbox::{Outbox, Replayed};
use crate::config::plan::{Plan, SinkPlan};
use crate::config::show_duration;
use crate::latency::Clock;

const LIST: &str = "eddy delivery failed";
const WAITING: &str = "eddy delivery waiting";
/// As many as the API lists.
const LISTED_MAX: usize = 500;

#[derive(Args, Debug)]
pub struct DeliveryArgs {
    #[command(subcommand)]
    command: DeliveryCommand,
}

#[derive(Debug, Subcommand)]
enum DeliveryCommand {
    /// Say for which receivers something waits, since when, and when they are asked next
    Waiting(ListArgs),
    /// Ask a receiver for what waits now, whatever it asked for: one message, and the others when it takes that
    Retry(RetryArgs),
    /// Say which deliveries were given up, and why
    Failed(ListArgs),
    /// Try deliveries again that were given up, from the beginning of the schedule
    Replay(ReplayArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Config file (TOML)
    config: PathBuf,
}

#[derive(Args, Debug)]
struct RetryArgs {
    /// Config file (TOML)
    config: PathBuf,
    /// The receiver: `[sink.NAME]`
    #[arg(long, value_name = "NAME")]
    sink: String,
}

#[derive(Args, Debug)]
struct ReplayArgs {
    /// Config file (TOML)
    config: PathBuf,
    /// One delivery: the alert's id
    #[arg(long, value_name = "ID", requires_all = ["revision", "sink"], conflicts_with = "all")]
    alert: Option<String>,
    /// Its revision
    #[arg(long, value_name = "N", requires = "alert")]
    revision: Option<u32>,
    /// Of this receiver only: `[sink.NAME]`
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// Everything, or with `--sink` everything of one receiver
    #[arg(long, required_unless_present = "alert")]
    all: bool,
}

/// # Errors
/// If there is nothing of the kind, or who runs on the data folder does not answer.
pub fn delivery(args: &DeliveryArgs) -> Result<()> {
    match &args.command {
        DeliveryCommand::Waiting(args) => waiting(&load(&args.config)?),
        DeliveryCommand::Retry(args) => retry(args),
        DeliveryCommand::Failed(args) => failed(&load(&args.config)?),
        DeliveryCommand::Replay(args) => replay(args),
    }
}

fn waiting(plan: &Plan) -> Result<()> {
    let sinks: Vec<Value> = match holder(plan)? {
        Holder::Us(_lock) => waiting_in(plan, &mut outbox(plan)?)?,
        Holder::Eddy => {
            let mut status = ask(plan, Method::GET, "/api/v1/status", None, WAITING)?;
            serde_json::from_value(status["sinks"].take())?
        }
    };
    let lines: Vec<String> = sinks.iter().filter_map(waits).collect();
    if lines.is_empty() {
        println!("nothing waits to be delivered");
    }
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The same as of a running Eddy, as far as it is known before one starts.
fn waiting_in(plan: &Plan, outbox: &mut Outbox) -> Result<Vec<Value>> {
    let of = |sink: &SinkPlan| {
        let (name, grouped) = (&sink.name, sink.group.is_some());
        let waiting = outbox.waiting(name, grouped)?.map(|waiting| {
            json!({
                "oldest_stored_at_ns": waiting.oldest_stored_at_ns, "attempts": waiting.attempts,
                "next_attempt_at_ns": waiting.next_attempt_at_ns,
            })
        });
        let queued = outbox.counts(name)?.waiting(grouped);
        let last_error = outbox.last_failure(name)?;
        Ok(json!({"name": name, "queued": queued, "waiting": waiting, "last_error": last_error}))
    };
    plan.sinks.iter().map(of).collect()
}

/// A sink's line, if something waits for it.
fn waits(sink: &Value) -> Option<String> {
    let waiting = sink["waiting"].as_object()?;
    let time = |name: &str| waiting.get(name).and_then(Value::as_i64).map(utc);
    let next = match time("next_attempt_at_ns") {
        _ if waiting.get("trying") == Some(&json!(true)) => "being tried".to_owned(),
        Some(at) if sink["circuit_open"] == true => format!("only probed, next at {at}"),
        Some(at) => format!("tried next at {at}"),
        None => "not tried any more".to_owned(),
    };
    let (name, error) = (sink["name"].as_str()?, sink["last_error"].as_str().unwrap_or_default());
    let (queued, attempts) = (&sink["queued"], waiting.get("attempts")?);
    let since = time("oldest_stored_at_ns")?;
    Some(format!("{name}  {queued} waiting, the oldest since {since}  {attempts} attempts  {next}  {error}"))
}

fn retry(args: &RetryArgs) -> Result<()> {
    let plan = load(&args.config)?;
    if let Holder::Us(_lock) = holder(&plan)? {
        plan.sink_at(&args.sink).map_err(anyhow::Error::msg)?;
        bail!("no Eddy runs that would ask {}: start it by `eddy run`, and say it again", args.sink);
    }
    let body = json!({"receiver": args.sink});
    let said = ask(&plan, Method::POST, "/api/v1/deliveries/retry", Some(&body), WAITING)?;
    match said["waiting"].as_u64().unwrap_or_default() {
        0 => println!("nothing waits for {}", args.sink),
        waiting => println!("{} is asked now; waiting: {waiting}", args.sink),
    }
    Ok(())
}

fn failed(plan: &Plan) -> Result<()> {
    let rows: Vec<Value> = match holder(plan)? {
        Holder::Us(_lock) => {
            let rows = outbox(plan)?.reader()?.failed(LISTED_MAX)?;
            let row = |row: crate::alert::outbox::FailedDelivery| {
                json!({
                    "id": row.id, "revision": row.revision, "receiver": row.delivery.receiver, "stream": row.stream,
                    "key": row.key, "onset_ns": row.onset_ns, "attempts": row.delivery.attempts, "reason": row.delivery.last_error,
                })
            };
            rows.into_iter().map(row).collect()
        }
        Holder::Eddy => {
            let mut said = ask(plan, Method::GET, "/api/v1/deliveries/failed", None, LIST)?;
            serde_json::from_value(said["rows"].take())?
        }
    };
    for row in &rows {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let (id, receiver, reason) = (text("id"), text("receiver"), text("reason"));
        let of = format!("{}/{}", text("stream"), text("key"));
        let onset_ns = row["onset_ns"].as_i64().unwrap_or_default();
        let onset = jiff::Timestamp::from_nanosecond(i128::from(onset_ns)).unwrap_or_default();
        println!(
            "{id} {}  {receiver}  {of} since {onset}  {} attempts  {reason}",
            row["revision"], row["attempts"]
        );
    }
    if rows.is_empty() {
        println!("no delivery was given up");
    } else {
        let kept = show_duration(plan.durable.retain_alerts);
        println!("kept until the alert has been over for {kept} (`durable.retain_alerts`)");
    }
    Ok(())
}

fn replay(args: &ReplayArgs) -> Result<()> {
    let plan = load(&args.config)?;
    let replayed = match holder(&plan)? {
        Holder::Us(_lock) => {
            if let Some(sink) = &args.sink {
                plan.sink_at(sink).map_err(anyhow::Error::msg)?;
            }
            let (mut outbox, now_ns) = (outbox(&plan)?, Clock::start().now_ns());
            match (&args.alert, args.revision, &args.sink) {
                (Some(id), Some(revision), Some(sink)) => {
                    let what = format!("eddy delivery replay {id} {revision} to {sink}");
                    let one = || Ok(outbox.replay_failed(id, revision, sink, now_ns)?);
                    noted(&plan, what, one)?
                }
                (_, _, sink) => {
                    let to = sink.as_deref().map_or_else(String::new, |sink| format!(" to {sink}"));
                    let what = format!("eddy delivery replay, all{to}");
                    noted(&plan, what, || Ok(outbox.replay_all_failed(sink.as_deref(), now_ns)?))?
                }
            }
        }
        Holder::Eddy => {
            let body = json!({"id": args.alert, "revision": args.revision, "receiver": args.sink});
            let said = ask(&plan, Method::POST, "/api/v1/deliveries/replay", Some(&body), LIST)?;
            let count = |name: &str| said[name].as_u64().unwrap_or_default();
            Replayed { deliveries: count("replayed"), superseded: count("superseded") }
        }
    };
    let Replayed { deliveries, superseded } = replayed;
    if deliveries + superseded == 0 {
        bail!("no such delivery has failed: look at `{LIST}`");
    }
    println!("{deliveries} deliveries are tried again");
    if superseded > 0 {
        println!("{superseded} are not: later ones have been delivered, which tell more");
    }
    Ok(())
}

fn outbox(plan: &Plan) -> Result<Outbox> {
    Ok(Outbox::open(&plan.durable.path.join("outbox.sqlite"), &[])?)
}
