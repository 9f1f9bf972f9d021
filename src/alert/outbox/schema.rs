//! Tables of the outbox and the check that a file holds exactly these.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::OutboxError;

/// Kept in `user_version`. Raise it with every change of [`TABLES`].
pub(super) const VERSION: i64 = 2;

/// `decision` and `body` are the exact bytes: the first to see whether a recovery decides the same
/// again, the second so that every attempt sends the same.
const TABLES: &str = "
CREATE TABLE alerts (
    seq        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    state      TEXT NOT NULL,
    stream     TEXT NOT NULL,
    key        TEXT NOT NULL,
    onset      INTEGER NOT NULL,
    decision   TEXT NOT NULL,
    receipt    TEXT NOT NULL,
    body       TEXT NOT NULL,
    stored_at  INTEGER NOT NULL,
    UNIQUE (id, revision)
) STRICT;
CREATE INDEX alerts_by_key ON alerts (stream, key, seq);

CREATE TABLE deliveries (
    alert            INTEGER NOT NULL REFERENCES alerts (seq),
    id               TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    receiver         TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  INTEGER NOT NULL,
    last_status      INTEGER,
    last_error       TEXT,
    first_attempt_at INTEGER,
    delivered_at     INTEGER,
    PRIMARY KEY (id, revision, receiver)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_receiver ON deliveries (receiver, state, next_attempt_at, alert);
CREATE INDEX deliveries_failed ON deliveries (alert) WHERE state = 'failed';

CREATE TABLE disabled (
    receiver TEXT PRIMARY KEY,
    target   TEXT NOT NULL,
    since    INTEGER NOT NULL,
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Version 1 kept a p-value beside the decision that holds it, which not every decision has.
const FROM_1: &str = "ALTER TABLE alerts DROP COLUMN p_value;";

/// Creates the tables in an empty file, brings those of version 1 up to date, accepts its own,
/// refuses anything else unchanged.
pub(super) fn ensure(connection: &mut Connection, path: &Path) -> Result<(), OutboxError> {
    let failed = |source| OutboxError::Open { path: path.to_owned(), source };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match (found, tables) {
        (VERSION, _) => Ok(()),
        (0, 0) | (1, _) => {
            transaction.execute_batch(if found == 0 { TABLES } else { FROM_1 }).map_err(failed)?;
            transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
            transaction.commit().map_err(failed)
        }
        (0, _) => Err(OutboxError::Foreign { path: path.to_owned() }),
        _ => Err(OutboxError::Version { path: path.to_owned(), found }),
    }
}
