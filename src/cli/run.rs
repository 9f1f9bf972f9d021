//! `eddy run CONFIG`: runs a deployment until it is told to stop, or until its files are read through.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{RunArgs, load, service};
use crate::pipeline;
use crate::status::Status;

/// How long draining may take on a stop.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether anybody is left to be told.
const LOOK: Duration = Duration::from_millis(250);

/// The one receiver there was is gone.
#[derive(Debug, thiserror::Error)]
#[error(
    "who read standard output has closed it, and sink {sink} is the only one: stopped. Nothing is lost: what was not \
     printed is at the next start"
)]
pub struct OutputClosed {
    sink: String,
}

/// # Errors
/// If the config has problems (exit code 78), a station cannot be started, or the only receiver is standard output and
/// it was closed (74).
pub fn run(args: &RunArgs) -> Result<()> {
    let plan = load(&args.config)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut running = pipeline::start(plan).await?;
        if let Some(page) = running.page {
            eprintln!("page and metrics: http://{page}/");
        }
        let status = running.status.clone();
        let told = tokio::spawn(service::run(running.status.clone(), running.beater.clone()));
        let ended = tokio::select! {
            ended = running.sources_ended() => ended,
            () = nobody_left(&status) => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        told.abort();
        service::stopping();
        eprintln!("stopping: draining what was taken; a second signal stops at once");
        tokio::select! {
            stopped = running.stop() => stopped.and(ended).and_then(|()| somebody_read(&status)),
            _ = tokio::signal::ctrl_c() => at_once("a second signal"),
            _ = terminate.recv() => at_once("a second signal"),
            () = tokio::time::sleep(STOP_MAX) => at_once("draining took too long"),
        }
    })
}

/// Resolves once the only receiver is standard output and who read it has closed it: nobody would ever be told.
async fn nobody_left(status: &Status) {
    while somebody_read(status).is_ok() {
        tokio::time::sleep(LOOK).await;
    }
}

fn somebody_read(status: &Status) -> Result<()> {
    match &status.sinks[..] {
        [only] if only.closed.load(Relaxed) => Err(OutputClosed { sink: only.name.clone() }.into()),
        _ => Ok(()),
    }
}

/// A full disk or a stuck client may hold up draining without end.
fn at_once(why: &str) -> ! {
    eprintln!(
        "eddy: {why}: stopped before everything was drained; nothing acknowledged is lost, the next start goes on from the log"
    );
    std::process::exit(1)
}
