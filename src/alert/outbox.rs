//! The outbox: alerts and their deliveries in one SQLite file, written before anything is sent.
//!
//! An alert is stored once with the exact bytes its receivers will get; a delivery is marked
//! delivered only after the receiver's 2xx. A process that dies anywhere in between sends the same
//! bytes under the same `webhook-id` again: at least once on the wire, once for a receiver that
//! remembers ids, as the specification asks of it.
//!
//! One connection writes ([`Outbox`], shared through [`OutboxHandle`]); pages read through
//! connections of their own ([`OutboxReader`]), which in WAL mode never hold up storing.

mod again;
mod due;
mod handle;
mod incidents;
mod messages_silenced;
mod probe;
mod prune;
mod queue;
mod reader;
mod release;
mod replay;
mod schema;
mod silenced;
mod store;
mod waiting;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::access::Links;

pub use due::Due;
pub use handle::OutboxHandle;
pub use prune::Pruned;
pub use queue::{Attempt, Counts, Next};
pub use reader::{AlertFilter, Delivery, DeliveryState, FailedDelivery, OutboxReader, StoredAlert};
pub use replay::Replayed;
pub use store::{Sent, Stored};
pub use waiting::Waiting;

/// What can go wrong with the outbox. Texts name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error(
        "outbox {}: cannot be opened: {source}; check that the folder exists, belongs to Eddy and has free space", .path.display()
    )]
    Open { path: PathBuf, source: rusqlite::Error },
    #[error(
        "outbox {}: has format {found}, this Eddy reads format {}; run the Eddy that wrote it, or move the file aside (what it has not delivered stays unsent)", .path.display(), schema::VERSION
    )]
    Version { path: PathBuf, found: i64 },
    #[error("{}: is a database, but not an outbox of Eddy; move it aside or change `durable.path`", .path.display())]
    Foreign { path: PathBuf },
    #[error("outbox: {0}; check that its disk is healthy and has free space")]
    Sqlite(#[from] rusqlite::Error),
    #[error("outbox: alert {id} revision {revision} cannot be put in JSON: {source}; please report this")]
    Encode { id: String, revision: u32, source: serde_json::Error },
    #[error(
        "outbox: a stored alert cannot be read back: {0}; restore the file from a backup or move it aside"
    )]
    Corrupt(sonic_rs::Error),
    #[error("outbox: the process is stopping")]
    Stopping,
}

impl OutboxError {
    /// A write found no space.
    pub fn is_full(&self) -> bool {
        let OutboxError::Sqlite(source) = self else { return false };
        source.sqlite_error_code() == Some(ErrorCode::DiskFull)
    }

    /// Whether the same call may succeed later without anybody changing the configuration.
    pub fn is_retryable(&self) -> bool {
        let (OutboxError::Sqlite(source) | OutboxError::Open { source, .. }) = self else { return false };
        matches!(
            source.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
            )
        )
    }
}

/// How long a statement waits for another process's lock (a backup, an inspection by hand).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The writing end. Every method is one transaction, synced before it returns, and blocks:
/// call it from a thread of its own, or through [`OutboxHandle::run`] from async code.
pub struct Outbox {
    connection: Connection,
    path: PathBuf,
    receivers: Vec<String>,
    /// `None`: alerts have no link to where people say what they were.
    links: Option<Links>,
    /// Other Eddys tell of the same alerts, too.
    others: bool,
    /// The newest message of an incident that another process may have been sending.
    made_before: i64,
    /// Where the last step of [`Outbox::prune`] ended.
    pruned_to: i64,
}

impl Outbox {
    /// Opens or creates the file. `receivers` are the sinks every new alert is delivered to; those
    /// of earlier configurations keep their deliveries but get no new ones.
    pub fn open(path: &Path, receivers: &[String]) -> Result<Outbox, OutboxError> {
        let open_error = |source| OutboxError::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(open_error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(open_error)?;
        // Looked at before anything is changed: the file may be somebody else's.
        schema::ensure(&mut connection, path)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(open_error)?;
        connection.pragma_update(None, "synchronous", "full").map_err(open_error)?;
        connection.set_prepared_statement_cache_capacity(32);
        let made_before =
            connection.query_row("SELECT coalesce(max(seq), 0) FROM incidents", [], |row| row.get(0))?;
        Ok(Outbox {
            connection,
            path: path.to_owned(),
            receivers: receivers.to_vec(),
            links: None,
            others: false,
            made_before,
            pruned_to: 0,
        })
    }

    /// The same with a link in each alert stored from now on.
    pub fn with_links(self, links: Option<Links>) -> Outbox {
        Outbox { links, ..self }
    }

    /// The same where `others`, too, tell of the alerts that are stored here: of several Eddys.
    pub fn with_others(self, others: bool) -> Outbox {
        Outbox { others, ..self }
    }

    /// A connection for pages and the API. Cheap; open as many as there are readers.
    pub fn reader(&self) -> Result<OutboxReader, OutboxError> {
        OutboxReader::open(&self.path)
    }
}

#[cfg(test)]
mod incidents_tests;
#[cfg(test)]
mod messages_silenced_tests;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod silenced_tests;
#[cfg(test)]
mod tests;
