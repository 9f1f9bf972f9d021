//! Reading the outbox for pages and the API.

use std::path::Path;

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::Serialize;

use super::{BUSY_TIMEOUT, OutboxError, schema};
use crate::types::Alert;

/// One revision of an alert as stored, and who was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredAlert {
    /// Order of storing; the cursor of [`OutboxReader::alerts_page`].
    pub seq: i64,
    /// Wall time, ns.
    pub stored_at_ns: i64,
    pub alert: Alert,
    /// In order of receiver.
    pub deliveries: Vec<Delivery>,
}

/// Where one receiver stands with one revision. Times are wall time, ns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    pub receiver: String,
    pub state: DeliveryState,
    /// Since it was stored or last replayed by hand.
    pub attempts: u32,
    /// Only while pending and not behind an earlier revision.
    pub next_attempt_at_ns: Option<i64>,
    /// The earliest revision of the alert that the receiver is to be told first.
    pub waits_for: Option<u32>,
    pub last_status: Option<u16>,
    pub last_error: Option<String>,
    pub first_attempt_at_ns: Option<i64>,
    pub delivered_at_ns: Option<i64>,
    /// The silence that holds it back, or did until the alert was over.
    pub silenced_by: Option<String>,
    /// `webhook-id` of the incident's message that tells of it.
    pub incident: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Given up, whether it could be replayed or a later one has been delivered since.
    Failed,
    /// Held back by a silence, or passed over since the alert was over before its silence was.
    Silenced,
}

/// A delivery that was given up, to be looked at and replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedDelivery {
    pub id: String,
    pub revision: u32,
    pub stream: String,
    pub key: String,
    /// Of the alert, event time ns.
    pub onset_ns: i64,
    pub delivery: Delivery,
}

/// Which alerts a page lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    pub stream: Option<String>,
    pub key: Option<String>,
}

const ALERT: &str = "SELECT a.seq, a.stored_at, a.decision, a.receipt, a.id, a.revision FROM alerts a";
const DELIVERY: &str = "d.receiver, d.state, d.attempts, d.next_attempt_at, d.last_status, d.last_error, d.first_attempt_at, d.delivered_at,
    d.silenced_by, (SELECT i.id || '_' || i.revision FROM incidents i WHERE i.seq = d.incident),
    (SELECT min(e.revision) FROM deliveries e WHERE e.id = d.id AND e.receiver = d.receiver AND e.revision < d.revision
     AND d.state = 'pending' AND e.state = 'pending' AND (d.incident IS NULL OR e.incident IS NOT d.incident))";

/// By an index that has all of it (`deliveries_by_receiver`): what was delivered is not looked at, and may be a thousand times as much.
pub(super) const PENDING: &str =
    "SELECT id, revision FROM deliveries WHERE receiver = ?1 AND state = 'pending'";

/// A read-only connection. Sees what was committed when a call starts, never waits for the writer
/// and never holds it up. Calls block: use a thread that may.
pub struct OutboxReader {
    pub(super) connection: Connection,
}

impl OutboxReader {
    /// Opens the outbox at `path`, which must exist.
    pub fn open(path: &Path) -> Result<Self, OutboxError> {
        let failed = |source| OutboxError::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
        if found != schema::VERSION {
            return Err(OutboxError::Version { path: path.to_owned(), found });
        }
        Ok(OutboxReader { connection })
    }

    /// Revisions, newest first, stored before the one with `seq == before` if given.
    pub fn alerts_page(
        &self,
        before: Option<i64>,
        limit: usize,
        filter: &AlertFilter,
    ) -> Result<Vec<StoredAlert>, OutboxError> {
        let sql = format!(
            "{ALERT} WHERE a.seq < ?1 AND (?2 IS NULL OR a.stream = ?2) AND (?3 IS NULL OR a.key = ?3)
             ORDER BY a.seq DESC LIMIT ?4"
        );
        self.alerts(&sql, params![before.unwrap_or(i64::MAX), filter.stream, filter.key, limit as i64])
    }

    /// Every revision of one alert, first to last; empty if there is none of this id.
    pub fn alert(&self, id: &str) -> Result<Vec<StoredAlert>, OutboxError> {
        self.alerts(&format!("{ALERT} WHERE a.id = ?1 ORDER BY a.revision"), params![id])
    }

    /// The latest revision of every alert that is firing, earliest onset first.
    pub fn open_alerts(&self) -> Result<Vec<StoredAlert>, OutboxError> {
        let sql = format!(
            "{ALERT} WHERE a.state IN ('raised', 'revised') AND NOT EXISTS
             (SELECT 1 FROM alerts later WHERE later.id = a.id AND later.revision > a.revision)
             ORDER BY a.onset, a.seq"
        );
        self.alerts(&sql, params![])
    }

    /// Revisions, (id, revision), that a receiver is to be told yet, in no order.
    pub fn pending(&self, receiver: &str) -> Result<Vec<(String, u32)>, OutboxError> {
        let mut statement = self.connection.prepare_cached(PENDING)?;
        let rows = statement.query_map([receiver], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Deliveries that were given up, of any receiver, in order of storing, and at most `limit`.
    pub fn failed(&self, limit: usize) -> Result<Vec<FailedDelivery>, OutboxError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {DELIVERY}, a.id, a.revision, a.stream, a.key, a.onset
             FROM deliveries d JOIN alerts a ON a.seq = d.alert
             WHERE d.state = 'failed' ORDER BY d.alert, d.receiver LIMIT ?1"
        ))?;
        let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
            Ok(FailedDelivery {
                id: row.get(11)?,
                revision: row.get(12)?,
                stream: row.get(13)?,
                key: row.get(14)?,
                onset_ns: row.get(15)?,
                delivery: delivery(row)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn alerts(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<StoredAlert>, OutboxError> {
        // One snapshot for alerts and their deliveries: nothing may change in between.
        let snapshot = self.connection.unchecked_transaction()?;
        let mut statement = snapshot.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut alerts = Vec::new();
        while let Some(row) = rows.next()? {
            let decision: String = row.get(2)?;
            let receipt: String = row.get(3)?;
            alerts.push(StoredAlert {
                seq: row.get(0)?,
                stored_at_ns: row.get(1)?,
                // Not by serde_json: it reads one number in seven a last bit off, and what is shown
                // must be what was sent.
                alert: Alert {
                    decision: sonic_rs::from_str(&decision).map_err(OutboxError::Corrupt)?,
                    receipt: sonic_rs::from_str(&receipt).map_err(OutboxError::Corrupt)?,
                },
                deliveries: self.deliveries(row.get(4)?, row.get(5)?)?,
            });
        }
        Ok(alerts)
    }

    fn deliveries(&self, id: String, revision: u32) -> rusqlite::Result<Vec<Delivery>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {DELIVERY} FROM deliveries d WHERE d.id = ?1 AND d.revision = ?2 ORDER BY d.receiver"
        ))?;
        statement.query_map(params![id, revision], delivery)?.collect()
    }
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let silenced_by: Option<String> = row.get(8)?;
    let state = match row.get_ref(1)?.as_str()? {
        "silenced" => DeliveryState::Silenced,
        "pending" if silenced_by.is_some() => DeliveryState::Silenced,
        "pending" => DeliveryState::Pending,
        "delivered" => DeliveryState::Delivered,
        "failed" | "superseded" => DeliveryState::Failed,
        other => {
            let unknown = format!("unknown delivery state {other}");
            return Err(rusqlite::Error::FromSqlConversionFailure(1, Type::Text, unknown.into()));
        }
    };
    let waits_for: Option<u32> = row.get(10)?;
    let has_turn = state == DeliveryState::Pending && waits_for.is_none();
    Ok(Delivery {
        receiver: row.get(0)?,
        state,
        attempts: row.get(2)?,
        next_attempt_at_ns: if has_turn { row.get(3)? } else { None },
        waits_for: waits_for.filter(|_| state == DeliveryState::Pending),
        last_status: row.get(4)?,
        last_error: row.get(5)?,
        first_attempt_at_ns: row.get(6)?,
        delivered_at_ns: row.get(7)?,
        silenced_by,
        incident: row.get(9)?,
    })
}
