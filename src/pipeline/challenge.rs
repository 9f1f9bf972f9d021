//! The thread on which a challenger is fitted and held against its champion.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::oneshot;

use crate::config::plan::{Plan, StreamPlan};
use crate::engine::refit::{Contest, refit};
use crate::engine::reservoir::Windows;
use crate::model::{Description, Model};
use crate::pipeline::models::Models;
use crate::types::StreamId;

/// Background work gets the processor when nobody else wants it.
const NICE: i32 = 19;

pub struct Work {
    pub plan: Arc<Plan>,
    pub models: Arc<Models>,
    pub stream: StreamId,
    /// Its checksum.
    pub champion: String,
    pub windows: Windows,
    /// How far back windows count.
    pub span_ns: i64,
    /// Length of a window.
    pub size_ns: i64,
}

/// What a fit came to.
pub struct Fitted {
    pub contest: Contest,
    /// The challenger, if it is better: kept, and held ready.
    pub better: Option<Arc<Model>>,
    /// Event time of its newest window.
    pub newest_ns: i64,
}

/// Nobody waits for the thread at a stop, and a panic on it is the fit's own: it is no station, and none of the
/// runtime's.
///
/// # Errors
/// If there can be no thread.
pub fn start(work: Work) -> Result<oneshot::Receiver<Result<Fitted>>> {
    let (to, done) = oneshot::channel();
    std::thread::Builder::new().name("refit".to_owned()).spawn(move || {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%error, "a refit runs at the usual priority");
        }
        let _ = to.send(fit(work));
    })?;
    Ok(done)
}

fn fit(work: Work) -> Result<Fitted> {
    let Work { plan, models, stream, champion, windows, span_ns, size_ns } = work;
    let stream = &plan.streams[stream.0 as usize];
    let newest_ns = windows.drawn.iter().map(|drawn| drawn.end_ns).max().unwrap_or_default();
    let champion = models.read(&champion)?;
    let (contest, better) = refit(&champion, windows, span_ns, size_ns)?;
    let keep = |mut model: Model| {
        model.describe(Description { date: minute(newest_ns), ..description(stream) });
        models.keep(&model)
    };
    Ok(Fitted { contest, better: better.map(keep).transpose()?, newest_ns })
}

/// What the config says of a stream's models.
pub fn description(stream: &StreamPlan) -> Description {
    Description {
        stream: stream.name.clone(),
        units: stream.columns.iter().map(|column| column.unit.clone()).collect(),
        grid_ns: stream.window.grid.as_nanos() as i64,
        window_ns: stream.window.size.as_nanos() as i64,
        date: String::new(),
    }
}

/// Event time to the minute, UTC.
pub fn minute(ns: i64) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M").to_string()
}
