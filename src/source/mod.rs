//! Sources: where messages come from. Each submits to the log and acknowledges only what the log kept.
//!
//! Adding one is a file here, a variant of [`SourceKind`] and its row in [`run`].

pub mod broker;
pub mod http;
pub(crate) mod kafka;
pub mod mqtt;
pub mod replay;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::plan::{SourceKind, SourcePlan};
use crate::schemas::Door;
use crate::stage::{Intake, Validate};
use crate::status::{SourceStatus, Status};
use crate::telemetry::Incoming;
use crate::types::Offsets;

/// What the pipeline gives a source.
#[derive(Clone)]
pub struct Context {
    /// Of this source in `Plan::sources`, and so in `Status::sources`.
    pub index: usize,
    pub intake: Intake,
    pub status: Arc<Status>,
    pub shutdown: CancellationToken,
    /// Names of the streams that take from this source, in order.
    pub streams: Vec<String>,
    /// Names of those whose messages are CSV.
    pub csv_streams: Vec<String>,
    /// Asked by HTTP before anything is logged.
    pub validate: Validate,
    /// How many share the open files that may be their connections.
    pub http_sources: usize,
    /// Shared by all HTTP sources; refilled from the log before they start.
    pub answered: http::IdempotencyIndex,
    /// What senders said they were doing, of those that say so.
    pub incoming: Incoming,
    /// Messages of this source that the log already holds: a replay goes on behind them.
    pub messages_logged: u64,
    /// Offsets behind those messages of Kafka that the log already holds.
    pub offsets_logged: Offsets,
    /// Where messages wait for their schemas; `None`: they need none.
    pub door: Option<Arc<Door>>,
    /// Topics of Kafka that dead letters and alerts of this deployment go to: what a regular expression takes in of them has
    /// been here before.
    pub own_topics: Arc<[String]>,
}

impl Context {
    pub fn source_status(&self) -> &SourceStatus {
        &self.status.sources[self.index]
    }
}

impl SourceStatus {
    /// The source works: it can receive.
    pub(crate) fn up(&self) {
        // In this order who sees that it works finds no reason of before.
        *self.last_error.lock().unwrap_or_else(|e| e.into_inner()) = None;
        self.connected.store(true, Ordering::Release);
    }

    /// The source cannot receive, for this reason and with this remedy.
    pub(crate) fn down(&self, reason: String) {
        self.connected.store(false, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(|e| e.into_inner()) = Some(reason);
    }
}

/// How long a stop waits for the log and for requests under way.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Resolves [`DRAIN_MAX`] after the signal to stop.
async fn overdue(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN_MAX).await;
}

/// Why a source returned without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop; everything it took is settled.
    Shutdown,
    /// Its input is over and wholly in the log. Only a replay ends by itself.
    Input,
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(
        "cannot listen on {address}: {error}; choose another `listen` address, or stop what holds this one"
    )]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("cannot open {}: {error}; correct `path`, or make the file readable for this user", path.display())]
    Open { path: PathBuf, error: std::io::Error },
    #[error("{} is not a CSV file with a header line: {detail}; correct the file or `path`", path.display())]
    NotCsv { path: PathBuf, detail: String },
    #[error("{} is not a whole Parquet file: {detail}; write it anew, or correct `path`", path.display())]
    NotParquet { path: PathBuf, detail: String },
    #[error(
        "column {column:?} of {} is of type {kind}, and a row holds numbers, texts, booleans and times only: leave it \
         out, for example with `duckdb -c \"COPY (SELECT * EXCLUDE ({column}) FROM 'data.parquet') TO 'plain.parquet'\"`, \
         or write it as one of these",
        path.display()
    )]
    ParquetColumn { path: PathBuf, column: String, kind: String },
    #[error("{} has no column {column:?}; it has {}; correct `time_column`", path.display(), present.join(", "))]
    NoColumn { path: PathBuf, column: String, present: Vec<String> },
    #[error("`speed` needs `time_column`: name the column with the event time, or leave `speed` out")]
    NoTimeColumn,
    #[error(
        "the log holds {logged} rows of {} but the file has only {rows}: it was exchanged; use an empty \
         `[durable] path` for the new file",
        path.display()
    )]
    Exchanged { path: PathBuf, logged: u64, rows: u64 },
    #[error("the embedded broker did not start: {0}; start Mosquitto and name it in a config instead")]
    Broker(String),
}

/// Runs one source until it is told to stop or its input ends.
///
/// # Errors
/// Only what a retry cannot mend: an address in use, a file that cannot be read. A broker that is away
/// is waited for.
pub async fn run(plan: &SourcePlan, context: Context) -> Result<Ended, SourceError> {
    let name = Arc::from(plan.name.as_str());
    match &plan.kind {
        SourceKind::Mqtt(mqtt) => Ok(mqtt::run(mqtt, name, context).await),
        SourceKind::Http(http) => http::run(http, name, context).await,
        SourceKind::Kafka(kafka) => Ok(kafka::run(kafka, name, context).await),
        SourceKind::Replay(replay) => replay::run(replay, name, context).await,
    }
}
