//! Tables of the outbox and the check that a file holds exactly these.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::OutboxError;

/// Kept in `user_version`. Raise it with every change of a table.
pub(super) const VERSION: i64 = 5;

/// `decision` and `body` are the exact bytes: the first to see whether a recovery decides the same
/// again, the second so that every attempt sends the same.
const ALERTS: &str = "
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

CREATE TABLE disabled (
    receiver TEXT PRIMARY KEY,
    target   TEXT NOT NULL,
    since    INTEGER NOT NULL,
    reason   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// A delivery whose alert is told in an incident's message shares that message's fate. `silenced_by`: the silence
/// that holds a pending one back. Of state `silenced` is what was over before its silence was, of state `superseded`
/// what is told by a later one. `labels`: JSON, names with their values.
const DELIVERIES: &str = "
CREATE TABLE incidents (
    seq              INTEGER PRIMARY KEY,
    receiver         TEXT NOT NULL,
    id               TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    labels           TEXT NOT NULL,
    firing           INTEGER NOT NULL,
    body             TEXT NOT NULL,
    stored_at        INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'superseded')),
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  INTEGER NOT NULL,
    UNIQUE (receiver, id, revision)
) STRICT;
CREATE INDEX incidents_by_labels ON incidents (receiver, labels, seq);
CREATE INDEX incidents_pending ON incidents (receiver, next_attempt_at) WHERE state = 'pending';

CREATE TABLE deliveries (
    alert            INTEGER NOT NULL REFERENCES alerts (seq),
    id               TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    receiver         TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'silenced', 'superseded')),
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  INTEGER NOT NULL,
    last_status      INTEGER,
    last_error       TEXT,
    first_attempt_at INTEGER,
    delivered_at     INTEGER,
    silenced_by      TEXT,
    incident         INTEGER REFERENCES incidents (seq),
    PRIMARY KEY (id, revision, receiver)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_receiver ON deliveries (receiver, state, incident, next_attempt_at, alert);
CREATE INDEX deliveries_failed ON deliveries (alert) WHERE state = 'failed';
CREATE INDEX deliveries_held ON deliveries (receiver) WHERE silenced_by IS NOT NULL AND state = 'pending';
CREATE INDEX deliveries_of_incidents ON deliveries (incident) WHERE incident IS NOT NULL;
";

/// Alerts that are gone, by their last revision; and the index without which removing one would look at every delivery,
/// since they refer to alerts.
const REMOVED: &str = "
CREATE INDEX IF NOT EXISTS deliveries_by_alert ON deliveries (alert);
CREATE TABLE removed (
    id       TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Version 1 kept a p-value beside the decision that holds it, which not every decision has.
const FROM_1: &str = "ALTER TABLE alerts DROP COLUMN p_value;";

/// Version 2 knew neither silences nor incidents.
const SET_ASIDE: &str = "
ALTER TABLE deliveries RENAME TO deliveries_2;
DROP INDEX deliveries_by_receiver;
DROP INDEX deliveries_failed;
";
const TAKE_OVER: &str = "
INSERT INTO deliveries (alert, id, revision, receiver, state, attempts, next_attempt_at, last_status, last_error,
                        first_attempt_at, delivered_at)
    SELECT alert, id, revision, receiver, state, attempts, next_attempt_at, last_status, last_error,
           first_attempt_at, delivered_at FROM deliveries_2;
DROP TABLE deliveries_2;
";

/// Version 3 had no state `superseded`. Its incidents keep their labels, which had no names.
const SET_ASIDE_3: &str = "
ALTER TABLE incidents RENAME TO incidents_3;
ALTER TABLE deliveries RENAME TO deliveries_3;
DROP INDEX incidents_by_labels;
DROP INDEX incidents_pending;
DROP INDEX deliveries_by_receiver;
DROP INDEX deliveries_failed;
DROP INDEX deliveries_held;
DROP INDEX deliveries_of_incidents;
";
const TAKE_OVER_3: &str = "
INSERT INTO incidents SELECT * FROM incidents_3;
INSERT INTO deliveries SELECT * FROM deliveries_3;
DROP TABLE deliveries_3;
DROP TABLE incidents_3;
";

/// Creates the tables in an empty file, brings those of earlier versions up to date, accepts its own,
/// refuses anything else unchanged.
pub(super) fn ensure(connection: &mut Connection, path: &Path) -> Result<(), OutboxError> {
    let failed = |source| OutboxError::Open { path: path.to_owned(), source };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let steps: &[&str] = match (found, tables) {
        (VERSION, _) => return Ok(()),
        (0, 0) => &[ALERTS, DELIVERIES, REMOVED],
        (1, _) => &[FROM_1, SET_ASIDE, DELIVERIES, TAKE_OVER, REMOVED],
        (2, _) => &[SET_ASIDE, DELIVERIES, TAKE_OVER, REMOVED],
        (3, _) => &[SET_ASIDE_3, DELIVERIES, TAKE_OVER_3, REMOVED],
        // Nothing was ever removed.
        (4, _) => &[REMOVED],
        (0, _) => return Err(OutboxError::Foreign { path: path.to_owned() }),
        _ => return Err(OutboxError::Version { path: path.to_owned(), found }),
    };
    steps.iter().try_for_each(|step| transaction.execute_batch(step)).map_err(failed)?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(failed)?;
    transaction.commit().map_err(failed)
}
