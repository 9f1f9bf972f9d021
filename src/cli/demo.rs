//! `eddy demo`: the whole product on a simulated plant, and an honest count at the end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::config::plan::Plan;
use crate::demo::delivery::Delivery;
use crate::demo::faults::Schedule;
use crate::demo::history::{DEMO_START, export_history};
use crate::demo::live::Live;
use crate::demo::plant::{PUMPS, Plant, SECOND_NS};
use crate::demo::publish::{Progress, PublishError, Publisher};
use crate::demo::receiver::Receiver;
use crate::demo::report::{Facts, Report, Scored};
use crate::demo::settings::{self, SPEED, WINDOW_S};
use crate::demo::table::time_of_day;
use crate::pipeline::{self, Running};
use crate::source::broker;
use crate::status::Status;
use crate::types::{EventTime, StreamId};

/// Trained by `make models` on the same pumps, other days.
const MODEL: &[u8] = include_bytes!("../../models/pumps.safetensors");

/// `configs/demo.toml` has this one stream.
const PUMPS_STREAM: StreamId = StreamId(0);

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
    /// Seed of the simulated plant: the same seed gives the same faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep log, outbox and model here; without it, in a temporary folder that is removed at the end
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Only write the plant's history without faults to this file (CSV), to train a model on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run_for", "report", "data"])]
    pub export_history: Option<PathBuf>,
    /// Days of history to write
    #[arg(long, default_value_t = 2, requires = "export_history")]
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
    let run = Run::new(args, started);
    let running = start_product(plan).await?;
    run.announce(folder, &running);

    let publishing = run.publish(broker_port, stop);
    let published = run.watch(publishing, &receiver).await?;
    run.catch_up(&running.status).await;
    let status = running.status.clone();
    running.stop().await?;
    let report = run.report(Scored::of(&status, PUMPS_STREAM), &receiver);
    println!("\n{report}");
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

/// One run of the plant.
struct Run {
    seed: u64,
    steps: i64,
    ends_by_itself: bool,
    schedule: Schedule,
    progress: Arc<Progress>,
    started: Instant,
}

impl Run {
    fn new(args: &DemoArgs, started: Instant) -> Self {
        let length = args.run_for.unwrap_or(RUN_MAX);
        let steps = (length.as_secs_f64() * f64::from(SPEED)) as i64;
        Run {
            seed: args.seed,
            steps,
            ends_by_itself: args.run_for.is_some(),
            schedule: Schedule::new(args.seed, DEMO_START, steps),
            progress: Arc::default(),
            started,
        }
    }

    fn announce(&self, folder: &Path, running: &Running) {
        println!(
            "A simulated plant of {PUMPS} pumps publishes over MQTT; Eddy scores it and sends webhooks."
        );
        if let Some(page) = running.page {
            println!("  page        http://{page}/");
        }
        println!("  data        {}", folder.display());
        println!(
            "  event time  {SPEED} times as fast as the clock, from 2026-01-07 {} UTC",
            time_of_day(DEMO_START)
        );
        let end = if self.ends_by_itself { "Ctrl-C ends it early" } else { "Ctrl-C ends it" };
        println!(
            "  faults      {} in {} min of event time; {end}\n",
            self.schedule.faults.len(),
            self.steps / 60
        );
        println!("  clock    event     pump");
    }

    fn publish(&self, port: u16, stop: CancellationToken) -> JoinHandle<Result<(), PublishError>> {
        let publisher = Publisher {
            port,
            plant: Plant::with_faults(self.seed, DEMO_START, self.schedule.clone()),
            delivery: Delivery::new(self.seed),
            steps: self.steps,
            speed: SPEED,
            progress: self.progress.clone(),
        };
        tokio::spawn(publisher.run(stop))
    }

    /// Tells what happens until the publisher has ended; gives its result.
    async fn watch(
        &self,
        mut publishing: JoinHandle<Result<(), PublishError>>,
        receiver: &Receiver,
    ) -> Result<Result<(), PublishError>> {
        let mut live = Live::default();
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let ended = tokio::select! {
                ended = &mut publishing => Some(ended),
                _ = look.tick() => None,
            };
            let alerts = receiver.received_from(live.alerts_told);
            let real_s = self.started.elapsed().as_secs_f64();
            for line in live.lines(self.event_time(), real_s, &self.schedule.faults, &alerts) {
                println!("{line}");
            }
            if let Some(ended) = ended {
                return Ok(ended?);
            }
        }
    }

    fn event_time(&self) -> EventTime {
        EventTime(self.progress.event_time.load(Ordering::Relaxed))
    }

    /// Waits until every message the broker took has been decoded, so that stopping cuts nothing off.
    async fn catch_up(&self, status: &Status) {
        let deadline = Instant::now() + CATCH_UP_MAX;
        let acked = self.progress.acked_total.load(Ordering::Relaxed);
        while status.rows_total.load(Ordering::Relaxed) < acked && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn report(&self, scored: Scored, receiver: &Receiver) -> Report {
        let reached = self.event_time().max(DEMO_START);
        let facts = Facts {
            seed: self.seed,
            speed: SPEED,
            real_s: self.started.elapsed().as_secs_f64(),
            event_s: (reached.0 - DEMO_START.0) / SECOND_NS,
            published: self.progress.published_total.load(Ordering::Relaxed),
            acked: self.progress.acked_total.load(Ordering::Relaxed),
            scored,
            webhook_duplicates: receiver.duplicates(),
            webhook_refused: receiver.refused(),
        };
        Report::new(facts, &self.schedule.faults, reached, WINDOW_S, &receiver.received_from(0))
    }
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
