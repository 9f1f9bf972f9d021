//! `eddy run CONFIG`: runs a deployment until it is told to stop, or until its files are read through.

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{RunArgs, load};
use crate::pipeline;

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
        let ended = tokio::select! {
            ended = running.sources_ended() => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        eprintln!("stopping: draining what was taken");
        running.stop().await.and(ended)
    })
}
