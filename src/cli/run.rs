//! `eddy run CONFIG`: runs a deployment until it is told to stop, or until its files are read through.

use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{RunArgs, load, service};
use crate::pipeline;

/// How long draining may take on a stop.
const STOP_MAX: Duration = Duration::from_secs(60);

/// # Errors
/// If the config has problems (exit code 78), or a station cannot be started.
pub fn run(args: &RunArgs) -> Result<()> {
    let plan = load(&args.config)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut running = pipeline::start(plan).await?;
        if let Some(page) = running.page {
            eprintln!("page and metrics: http://{page}/");
        }
        let told = tokio::spawn(service::run(running.status.clone(), running.beater.clone()));
        let ended = tokio::select! {
            ended = running.sources_ended() => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        told.abort();
        service::stopping();
        eprintln!("stopping: draining what was taken; a second signal stops at once");
        tokio::select! {
            stopped = running.stop() => stopped.and(ended),
            _ = tokio::signal::ctrl_c() => at_once("a second signal"),
            _ = terminate.recv() => at_once("a second signal"),
            () = tokio::time::sleep(STOP_MAX) => at_once("draining took too long"),
        }
    })
}

/// A full disk or a stuck client may hold up draining without end.
fn at_once(why: &str) -> ! {
    eprintln!(
        "eddy: {why}: stopped before everything was drained; nothing acknowledged is lost, the next start goes on from the log"
    );
    std::process::exit(1)
}
