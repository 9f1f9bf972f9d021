//! `eddy run CONFIG`: runs a deployment until it is told to stop, or until its files are read through.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{RunArgs, environment, service};
use crate::status::{SinkStatus, Status};
use crate::{config, pipeline};

/// How long draining may take on a stop.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether anybody is left to be told.
const LOOK: Duration = Duration::from_millis(250);

/// No receiver is left.
#[derive(Debug, thiserror::Error)]
#[error(
    "who read standard output has closed it, and beside sink {sink} nobody is told: stopped. What was not printed is at \
     the next start; what was printed and not read is gone with its reader"
)]
pub struct OutputClosed {
    sink: String,
}

/// # Errors
/// If the config has problems (exit code 78), a station cannot be started, standard output was closed and no other
/// receiver is left (74), or the files that were read are in no order of time.
pub fn run(args: &RunArgs) -> Result<()> {
    let plan = config::load(&args.config, &environment())?;
    let scheme = plan.dashboard.scheme();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut running = pipeline::start(plan.clone()).await?;
        if let Some(page) = running.page {
            eprintln!("page and metrics: {scheme}://{page}/");
        }
        let status = running.status.clone();
        let told = tokio::spawn(service::run(running.status.clone(), running.beater.clone()));
        let (mut is_read, mut ended) = (false, Ok(()));
        tokio::select! {
            read = running.sources_ended() => (is_read, ended) = (read.is_ok(), read),
            () = nobody_left(&status) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        told.abort();
        service::stopping();
        eprintln!("stopping: draining what was taken; a second signal stops at once");
        tokio::select! {
            stopped = running.stop() => {
                stopped.and(ended).and_then(|()| somebody_read(&status))?;
                // Only now is every row counted.
                if is_read { pipeline::were_sorted(&plan, &status)? }
                Ok(())
            }
            _ = tokio::signal::ctrl_c() => at_once("a second signal"),
            _ = terminate.recv() => at_once("a second signal"),
            () = tokio::time::sleep(STOP_MAX) => at_once("draining took too long"),
        }
    })
}

/// Resolves once who read standard output has closed it and no other receiver is left: nobody would ever be told. (A page
/// is no receiver: it tells whoever looks.)
async fn nobody_left(status: &Status) {
    while somebody_read(status).is_ok() {
        tokio::time::sleep(LOOK).await;
    }
}

fn somebody_read(status: &Status) -> Result<()> {
    let gone = |sink: &SinkStatus| sink.closed.load(Relaxed) || sink.disabled.load(Relaxed);
    match status.sinks.iter().find(|sink| sink.closed.load(Relaxed)) {
        Some(closed) if status.sinks.iter().all(gone) => {
            Err(OutputClosed { sink: closed.name.clone() }.into())
        }
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
