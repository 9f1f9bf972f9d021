//! What is to be sent, as the tables have it.

use rusqlite::Row;

/// A delivery whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Of the alert, or of the incident.
    pub id: String,
    pub revision: u32,
    /// The message of an incident, and which; `None`: of one alert.
    pub incident: Option<i64>,
    /// `webhook-id`.
    pub message_id: String,
    /// Attempts made so far.
    pub attempts: u32,
    /// Its next attempt is not due yet: this one only asks whether the receiver takes anything again. If it fails, nothing
    /// is taken of the schedule ([`super::Next::Waits`]).
    pub early: bool,
    /// Wall time at which the alert became durable, ns; of an incident, its message.
    pub stored_at_ns: i64,
    /// The same bytes on every attempt.
    pub body: bytes::Bytes,
}

/// Deliveries one by one, seen at ?2; columns as [`Due::read`] has them.
pub(super) const DELIVERIES: &str =
    "SELECT d.id, d.revision, NULL, a.message_id, d.attempts, a.stored_at, a.body, d.next_attempt_at > ?2
     FROM deliveries d JOIN alerts a ON a.seq = d.alert";

impl Due {
    /// In the order of these columns.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Due> {
        Ok(Due {
            id: row.get(0)?,
            revision: row.get(1)?,
            incident: row.get(2)?,
            message_id: row.get(3)?,
            attempts: row.get(4)?,
            stored_at_ns: row.get(5)?,
            body: row.get::<_, String>(6)?.into(),
            early: row.get(7)?,
        })
    }
}

/// Messages of incidents that a receiver, ?1, is to be told, each incident's in order; columns as [`Due::read`] has them.
pub(super) const WAITING: &str =
    "SELECT i.id, i.revision, i.seq, i.id || '_' || i.revision, i.attempts, i.stored_at, i.body, i.next_attempt_at > ?2
     FROM incidents i WHERE i.receiver = ?1 AND i.state = 'pending'
         AND NOT EXISTS (SELECT 1 FROM incidents e WHERE e.receiver = i.receiver AND e.id = i.id
                         AND e.revision < i.revision AND e.state = 'pending')";
