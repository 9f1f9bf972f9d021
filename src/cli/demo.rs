//! `eddy demo`: the whole product on a simulated plant and simulated cards, and an honest count at the end.

mod one_run;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::config::plan::Plan;
use crate::demo::cards::report::{BURSTS, CARDS};
use crate::demo::history::export_history;
use crate::demo::receiver::Receiver;
use crate::demo::settings::{self, PUMPS};
use crate::pipeline::{self, Running};
use crate::source::broker;
use crate::types::StreamId;
use one_run::Run;

/// Trained by `make models` on the same pumps, other days.
const MODEL: &[u8] = include_bytes!("../../models/pumps.safetensors");

/// The streams of `configs/demo.toml`.
#[derive(Clone, Copy, Debug)]
struct Streams {
    pumps: StreamId,
    cards: StreamId,
    bursts: StreamId,
}

impl Streams {
    fn of(plan: &Plan) -> Result<Self> {
        let id = |name: &str| {
            let place = plan.streams.iter().position(|stream| stream.name == name);
            Ok::<_, anyhow::Error>(StreamId(
                place.with_context(|| format!("configs/demo.toml has no stream {name}"))? as u16,
            ))
        };
        Ok(Streams { pumps: id(PUMPS)?, cards: id(CARDS)?, bursts: id(BURSTS)? })
    }
}

/// Without `--for`: until Ctrl-C, and this long at most.
const RUN_MAX: Duration = Duration::from_secs(8 * 3_600);
/// How long the pipeline may take to score what was published last.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Stop after this long, such as 90s; without it, run until Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    pub run_for: Option<Duration>,
    /// Write the report at the end to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Seed of what is simulated: the same seed gives the same faults and frauds
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep log, outbox and model here; without it, in a temporary folder that is removed at the end
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Only write the plant's history without faults to this file (CSV), to train a model on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run_for", "report", "data"])]
    pub export_history: Option<PathBuf>,
    /// Days of history to write
    #[arg(long, default_value_t = 2, requires = "export_history", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,
}

/// Runs the demo to its end or to Ctrl-C, whichever is first.
///
/// # Errors
/// If a port, a folder or the report's file cannot be used, or the product does not start.
pub fn run(args: &DemoArgs) -> Result<()> {
    if let Some(path) = &args.export_history {
        let rows = export_history(args.seed, args.days, path).with_context(|| cannot_write(path))?;
        println!("{rows} rows of {} days in {}", args.days, path.display());
        return Ok(());
    }
    let started = Instant::now();
    let folder = data_folder(args.data.as_deref())?;
    let broker = broker::start()?;
    let played = tokio::runtime::Runtime::new()?.block_on(play(args, started, &folder, broker.port));
    if args.data.is_some() { played } else { tidied(&folder, played) }
}

/// Removes what an orderly end leaves behind, and keeps it for whoever looks why there was none.
fn tidied(folder: &Path, played: Result<()>) -> Result<()> {
    played.with_context(|| format!("the demo's data is kept in {}", folder.display()))?;
    std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}; give a path in an existing, writable folder", path.display())
}

async fn play(args: &DemoArgs, started: Instant, folder: &Path, broker_port: u16) -> Result<()> {
    let stop = stop_on_ctrl_c();
    let key = settings::new_key();
    let receiver = Receiver::start(&key, started).await?;
    let plan = plan(folder, broker_port, &receiver, &key)?;
    let streams = Streams::of(&plan)?;
    let mut run = Run::new(args, started);
    let running = start_product(plan).await?;
    run.announce(folder, &running);

    let publishing = run.publish(broker_port, stop);
    let published = run.watch(publishing, &receiver).await?;
    run.catch_up(&running.status).await;
    let status = running.status.clone();
    running.stop().await?;
    let report = run.report(&status, streams, &receiver);
    println!("\n{}\n{}", report.pumps, report.cards);
    if let Some(path) = &args.report {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json + "\n").with_context(|| cannot_write(path))?;
        println!("  report in {}", path.display());
    }
    Ok(published?)
}

/// The product itself, started as `eddy run` starts it.
async fn start_product(plan: Plan) -> Result<Running> {
    let mut running = pipeline::start(plan).await?;
    running.ready().await?;
    Ok(running)
}

fn plan(folder: &Path, broker_port: u16, receiver: &Receiver, key: &[u8]) -> Result<Plan> {
    let model = folder.join("pumps.safetensors");
    std::fs::write(&model, MODEL).with_context(|| cannot_write(&model))?;
    let data = folder.join("data");
    let environment = settings::environment(broker_port, &receiver.url(), key, &data, &model);
    Ok(config::parse(settings::CONFIG, "configs/demo.toml", &environment)?)
}

/// The given folder, or a new one among the temporary files.
fn data_folder(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = given {
        std::fs::create_dir_all(folder).with_context(|| cannot_write(folder))?;
        return Ok(folder.to_owned());
    }
    let folder = std::env::temp_dir().join(format!("eddy-demo-{:08x}", rand::random::<u32>()));
    std::fs::create_dir(&folder).with_context(|| cannot_write(&folder))?;
    Ok(folder)
}

fn stop_on_ctrl_c() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        // Without a signal handler Ctrl-C ends the process at once, which is a stop too.
        if tokio::signal::ctrl_c().await.is_ok() {
            println!("stopping: the report follows");
            told.cancel();
        }
    });
    stop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temporary_folder_goes_with_an_orderly_end_only() {
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::write(folder.join("data"), "x").unwrap();
        let error = format!("{:#}", tidied(&folder, Err(anyhow::anyhow!("no port"))).unwrap_err());
        assert!(error.contains(&*folder.to_string_lossy()) && error.contains("no port"), "{error}");
        assert!(folder.join("data").is_file(), "kept for whoever looks why");
        tidied(&folder, Ok(())).unwrap();
        assert!(!folder.exists());
    }
}
