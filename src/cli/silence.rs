//! `eddy silence` and `eddy alert`: which alerts are not to be sent for a while, and which somebody has seen.
//!
//! While Eddy runs the data folder is its own, so it is asked. Else silences are read from the control log, and written
//! there, here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::{Holder, ask, holder, segment, utc};
use super::deed::noted;
use super::{duration, load};
use crate::alert::outbox::Outbox;
use crate::config::plan::Plan;
use crate::durable::{ControlEntry, ControlEvent, ControlLog, Log, RealDisk};
use crate::latency::Clock;
use crate::pipeline::desk;
use crate::status::Said;
use crate::types::{Silence, SilenceDraft};

const LIST: &str = "eddy silence list";

#[derive(Args, Debug)]
pub struct SilenceArgs {
    #[command(subcommand)]
    command: SilenceCommand,
}

#[derive(Debug, Subcommand)]
enum SilenceCommand {
    /// Keep alerts from being sent for a while
    Add(AddArgs),
    /// Say which silences there are, over or not
    List(ConfigArgs),
    /// End a silence now
    Expire(ExpireArgs),
}

#[derive(Args, Debug)]
struct ConfigArgs {
    /// Config file (TOML)
    config: PathBuf,
}

#[derive(Args, Debug)]
struct AddArgs {
    /// Config file (TOML)
    config: PathBuf,
    /// What it is about, all of them: LABEL=VALUE, LABEL!=VALUE, LABEL=~PATTERN, LABEL!~PATTERN; labels are stream, key,
    /// rule, column and sink
    #[arg(long, value_name = "MATCHER", required = true)]
    matcher: Vec<String>,
    /// How long, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    lasts: Duration,
    /// When it begins (RFC 3339); without, now
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    author: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
}

#[derive(Args, Debug)]
struct ExpireArgs {
    /// Config file (TOML)
    config: PathBuf,
    /// Its id, as `eddy silence list` has it
    id: String,
}

#[derive(Args, Debug)]
pub struct AlertArgs {
    #[command(subcommand)]
    command: AlertCommand,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// Say that an alert that fires has been seen; its later revisions are told all the same
    Acknowledge(AcknowledgeArgs),
}

#[derive(Args, Debug)]
struct AcknowledgeArgs {
    /// Config file (TOML)
    config: PathBuf,
    /// Of the alert
    id: String,
    /// Who has seen it
    #[arg(long, value_name = "NAME")]
    author: String,
    /// What is being done
    #[arg(long, value_name = "TEXT", default_value = "")]
    comment: String,
}

/// # Errors
/// If the silence makes no sense or is not known, or who runs on the data folder does not answer.
pub fn silence(args: &SilenceArgs) -> Result<()> {
    match &args.command {
        SilenceCommand::Add(args) => add(args),
        SilenceCommand::List(args) => list(&load(&args.config)?),
        SilenceCommand::Expire(args) => expire(args),
    }
}

/// # Errors
/// If the alert does not fire, or no Eddy runs that could be told.
pub fn alert(args: &AlertArgs) -> Result<()> {
    let AlertCommand::Acknowledge(args) = &args.command;
    let plan = load(&args.config)?;
    if let Holder::Us(_) = holder(&plan)? {
        bail!("Eddy is not running: start it, and acknowledge the alert then");
    }
    let body = json!({"author": args.author, "comment": args.comment});
    let path = format!("/api/v1/alerts/{}/acknowledge", segment(&args.id));
    ask(&plan, Method::POST, &path, Some(&body), "/api/v1/alerts")?;
    println!("alert {} is acknowledged", args.id);
    Ok(())
}

/// Who keeps the silences. Of several Eddys those that run do, all of them.
fn keeper(plan: &Plan) -> Result<Holder> {
    let holder = holder(plan)?;
    if plan.shared().is_some() && matches!(holder, Holder::Us(_)) {
        bail!(
            "Eddy is not running here, and where several share a topic those that run keep the silences: start it, or say \
             it on a box where one runs"
        );
    }
    Ok(holder)
}

fn add(args: &AddArgs) -> Result<()> {
    let plan = load(&args.config)?;
    let now_ns = Clock::start().now_ns();
    let from = args.from.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    let lasts_ns = i64::try_from(args.lasts.as_nanos()).unwrap_or(i64::MAX);
    let ends_at_ns = from.unwrap_or(now_ns).saturating_add(lasts_ns);
    let (id, fitting) = match keeper(&plan)? {
        Holder::Us(_lock) => {
            let draft = SilenceDraft {
                matchers: args.matcher.clone(),
                starts_at_ns: from,
                ends_at_ns,
                author: args.author.clone(),
                comment: args.comment.clone(),
            };
            let silence = Silence::new(&draft, now_ns).map_err(|wrong| anyhow!(wrong))?;
            silence.check_names(&plan.names()).map_err(|wrong| anyhow!(wrong))?;
            let id = silence.id.clone();
            let what = format!("eddy silence add: {id}: {}", matchers(&silence));
            let kept = silence.clone();
            noted(&plan, what, || append(&plan, ControlEvent::Silenced { silence: kept }))?;
            // It holds whether or not this can be read.
            let alerts = fits_of(&plan, &silence).ok();
            (id, Fitting { alerts, keys: None })
        }
        Holder::Eddy => {
            let body = json!({
                "matchers": args.matcher,
                "starts_at": from.map(|at| at.to_string()),
                "ends_at": ends_at_ns.to_string(),
                "author": args.author,
                "comment": args.comment,
            });
            let said = ask(&plan, Method::POST, "/api/v1/silences", Some(&body), LIST)?;
            let count = |name: &str| said["fits"][name].as_u64();
            let fitting = Fitting { alerts: count("alerts"), keys: count("keys") };
            (said["id"].as_str().unwrap_or_default().to_owned(), fitting)
        }
    };
    println!("silence {id} ends {}", utc(ends_at_ns));
    println!("{fitting}");
    Ok(())
}

/// What a silence fits now; `None`: not known.
struct Fitting {
    alerts: Option<u64>,
    keys: Option<u64>,
}

impl fmt::Display for Fitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.alerts, self.keys) {
            (Some(0), Some(0)) => f.write_str(
                "it fits no alert that fires now and no known key: if that was not meant, look at its matchers",
            ),
            (Some(alerts), Some(keys)) => {
                write!(f, "it fits {alerts} alert(s) that fire now, and {keys} known key(s)")
            }
            (Some(alerts), None) => {
                write!(f, "it fits {alerts} alert(s) that fire now; how many keys is known once Eddy runs")
            }
            (None, _) => f.write_str("what it fits now could not be read"),
        }
    }
}

/// Alerts that it fits, of a deployment that is not running.
fn fits_of(plan: &Plan, silence: &Silence) -> Result<u64> {
    let outbox = plan.durable.path.join("outbox.sqlite");
    let open =
        if outbox.exists() { Outbox::open(&outbox, &[])?.reader()?.open_alerts()? } else { Vec::new() };
    let names = plan.names();
    let alerts = open.iter().filter(|stored| silence.fits_alert(&stored.alert.decision, &names)).count();
    Ok(alerts as u64)
}

fn list(plan: &Plan) -> Result<()> {
    let now_ns = Clock::start().now_ns();
    let silences: Vec<Silence> = match keeper(plan)? {
        Holder::Us(_lock) => {
            recalled(plan)?.silences().iter().map(|silence| Silence::clone(silence)).collect()
        }
        Holder::Eddy => {
            let mut said = ask(plan, Method::GET, "/api/v1/silences", None, LIST)?;
            serde_json::from_value(said["silences"].take())?
        }
    };
    for silence in &silences {
        let Silence { id, matchers: _, starts_at_ns, ends_at_ns, author, comment } = silence;
        let (state, from, to) = (silence.state(now_ns), utc(*starts_at_ns), utc(*ends_at_ns));
        println!("{id}  {state:<7}  {from}  {to}  {}  {author}: {comment}", matchers(silence));
    }
    if silences.is_empty() {
        println!("nothing was ever silenced");
    }
    Ok(())
}

fn matchers(silence: &Silence) -> String {
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    matchers.join(" ")
}

fn expire(args: &ExpireArgs) -> Result<()> {
    let (plan, id) = (load(&args.config)?, args.id.as_str());
    match keeper(&plan)? {
        Holder::Us(_lock) => {
            let at_ns = Clock::start().now_ns();
            if recalled(&plan)?.end_silence(id, at_ns).is_none() {
                bail!("there is no silence {id}: look at `{LIST}`");
            }
            let event = ControlEvent::SilenceEnded { id: id.to_owned(), at_ns };
            noted(&plan, format!("eddy silence expire {id}"), || append(&plan, event))?;
        }
        Holder::Eddy => {
            let _: Value =
                ask(&plan, Method::DELETE, &format!("/api/v1/silences/{}", segment(id)), None, LIST)?;
        }
    }
    println!("silence {id} has ended");
    Ok(())
}

fn recalled(plan: &Plan) -> Result<Said> {
    let (_, entries) = ControlLog::open(Box::new(RealDisk::new()), &plan.durable.path)?;
    let said = Said::default();
    desk::recall(&said, &entries);
    Ok(said)
}

fn append(plan: &Plan, event: ControlEvent) -> Result<()> {
    let (disk, dir) = (|| Box::new(RealDisk::new()), &plan.durable.path);
    let (mut control, _) = ControlLog::open(disk(), dir)?;
    let precedes = Log::open(disk(), dir, plan.durable.segment_bytes)?.next_position();
    Ok(control.append(&ControlEntry { precedes, event })?)
}
