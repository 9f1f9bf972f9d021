//! Taking deliveries out, attempt by attempt.

use rusqlite::{Transaction, params};

use super::{Outbox, OutboxError};

/// A delivery whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub id: String,
    pub revision: u32,
    /// `webhook-id`.
    pub message_id: String,
    /// Attempts made so far.
    pub attempts: u32,
    /// Wall time at which the alert became durable, ns.
    pub stored_at_ns: i64,
    /// The same bytes on every attempt.
    pub body: bytes::Bytes,
}

/// What one attempt came to. Times are wall time, ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: String,
    pub revision: u32,
    pub started_at_ns: i64,
    pub finished_at_ns: i64,
    /// HTTP status, where there was one.
    pub status: Option<u16>,
    pub error: Option<String>,
    pub next: Next,
}

/// What happens to the delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    Retry {
        at_ns: i64,
    },
    GiveUp,
    /// The receiver wants nothing more (410): every delivery waiting for it fails too.
    Disable,
}

/// Deliveries of one receiver that are not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub pending: u64,
    pub failed: u64,
    pub disabled: bool,
}

/// A revision waits until the earlier ones of its alert are delivered or have failed, so that a
/// receiver never hears of the end of an alert before its beginning.
const IN_ORDER: &str = "NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.id = d.id AND e.revision < d.revision
    AND e.receiver = d.receiver AND e.state = 'pending')";

const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

impl Outbox {
    /// Says that a worker starts, and where its receiver is now.
    ///
    /// A receiver disabled by a 410 is taken up again if it has moved: `target` is compared with the
    /// one that sent the 410 (a digest: urls may hold tokens). And a wall clock set back since the
    /// last run must not put deliveries off: what was never attempted is due now, the rest in a day.
    pub fn attach(&mut self, receiver: &str, target: &str, now_ns: i64) -> Result<(), OutboxError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "DELETE FROM disabled WHERE receiver = ?1 AND target <> ?2",
            params![receiver, target],
        )?;
        transaction.execute(
            "UPDATE deliveries SET next_attempt_at = min(next_attempt_at, ?2 + iif(attempts = 0, 0, ?3))
             WHERE receiver = ?1 AND state = 'pending' AND next_attempt_at > ?2",
            params![receiver, now_ns, DAY_NS],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// The wall clock was set back by `by_ns` since deliveries were put off: what they still wait stays.
    pub fn set_back(&mut self, receiver: &str, by_ns: i64) -> Result<(), OutboxError> {
        self.connection.execute(
            "UPDATE deliveries SET next_attempt_at = next_attempt_at - ?2
             WHERE receiver = ?1 AND state = 'pending'",
            params![receiver, by_ns],
        )?;
        Ok(())
    }

    /// Deliveries to attempt at `now_ns`, the longest overdue first, at most one revision an alert.
    pub fn due(&mut self, receiver: &str, now_ns: i64, limit: usize) -> Result<Vec<Due>, OutboxError> {
        let mut statement = self.connection.prepare_cached(&due_sql())?;
        let rows = statement.query_map(params![receiver, now_ns, limit as i64], |row| {
            Ok(Due {
                id: row.get(0)?,
                revision: row.get(1)?,
                message_id: row.get(2)?,
                attempts: row.get(3)?,
                stored_at_ns: row.get(4)?,
                body: row.get::<_, String>(5)?.into(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The first time after `after_ns` at which to look for due deliveries again, if any.
    pub fn next_due_at(&mut self, receiver: &str, after_ns: i64) -> Result<Option<i64>, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT min(next_attempt_at) FROM deliveries
             WHERE receiver = ?1 AND state = 'pending' AND next_attempt_at > ?2",
        )?;
        Ok(statement.query_row(params![receiver, after_ns], |row| row.get(0))?)
    }

    /// Writes down what attempts came to, all in one transaction. `target` as in [`Outbox::attach`].
    pub fn record_attempts(
        &mut self,
        receiver: &str,
        target: &str,
        attempts: &[Attempt],
    ) -> Result<(), OutboxError> {
        if attempts.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        for attempt in attempts {
            record(&transaction, receiver, attempt)?;
        }
        if let Some(gone) = attempts.iter().find(|attempt| attempt.next == Next::Disable) {
            disable(&transaction, receiver, target, gone)?;
        }
        transaction.commit()?;
        Ok(())
    }

    pub fn counts(&mut self, receiver: &str) -> Result<Counts, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT (SELECT count(*) FROM deliveries WHERE receiver = ?1 AND state = 'pending'),
                    (SELECT count(*) FROM deliveries WHERE receiver = ?1 AND state = 'failed'),
                    EXISTS (SELECT 1 FROM disabled WHERE receiver = ?1)",
        )?;
        Ok(statement.query_row([receiver], |row| {
            // A count is never negative; SQLite only has signed integers.
            let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
            Ok(Counts { pending: count(0)?, failed: count(1)?, disabled: row.get(2)? })
        })?)
    }

    /// Puts a failed delivery back in the queue with a fresh schedule; false if it has not failed.
    /// Asking for it also takes a receiver disabled by a 410 up again.
    pub fn replay_failed(
        &mut self,
        id: &str,
        revision: u32,
        receiver: &str,
        now_ns: i64,
    ) -> Result<bool, OutboxError> {
        let transaction = self.connection.transaction()?;
        let rows = transaction.execute(
            "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?4
             WHERE id = ?1 AND revision = ?2 AND receiver = ?3 AND state = 'failed'",
            params![id, revision, receiver, now_ns],
        )?;
        if rows == 1 {
            transaction.execute("DELETE FROM disabled WHERE receiver = ?1", [receiver])?;
        }
        transaction.commit()?;
        Ok(rows == 1)
    }
}

/// Read off the index in order, up to the limit: in a storm thousands fall due in the same instant.
pub(super) fn due_sql() -> String {
    format!(
        "SELECT d.id, d.revision, a.message_id, d.attempts, a.stored_at, a.body
         FROM deliveries d JOIN alerts a ON a.seq = d.alert
         WHERE d.receiver = ?1 AND d.state = 'pending' AND d.next_attempt_at <= ?2 AND {IN_ORDER}
         ORDER BY d.next_attempt_at, d.alert LIMIT ?3"
    )
}

fn record(transaction: &Transaction<'_>, receiver: &str, attempt: &Attempt) -> rusqlite::Result<()> {
    let (state, next_attempt_at) = match attempt.next {
        Next::Delivered => ("delivered", attempt.finished_at_ns),
        Next::Retry { at_ns } => ("pending", at_ns),
        Next::GiveUp | Next::Disable => ("failed", attempt.finished_at_ns),
    };
    let delivered_at = (attempt.next == Next::Delivered).then_some(attempt.finished_at_ns);
    // An attempt under way while another one met a 410 must not put its delivery back in the queue.
    let mut statement = transaction.prepare_cached(
        "UPDATE deliveries SET
             state = CASE WHEN ?4 = 'pending' AND EXISTS (SELECT 1 FROM disabled WHERE receiver = ?3)
                     THEN 'failed' ELSE ?4 END,
             attempts = attempts + 1, next_attempt_at = ?5, last_status = ?6, last_error = ?7,
             first_attempt_at = coalesce(first_attempt_at, ?8), delivered_at = ?9
         WHERE id = ?1 AND revision = ?2 AND receiver = ?3 AND state <> 'delivered'",
    )?;
    statement.execute(params![
        attempt.id,
        attempt.revision,
        receiver,
        state,
        next_attempt_at,
        attempt.status,
        attempt.error,
        attempt.started_at_ns,
        delivered_at,
    ])?;
    Ok(())
}

fn disable(
    transaction: &Transaction<'_>,
    receiver: &str,
    target: &str,
    gone: &Attempt,
) -> rusqlite::Result<()> {
    let reason = "receiver disabled: it answered 410 Gone; give it a new url, or replay a failed delivery";
    transaction.execute(
        "INSERT INTO disabled (receiver, target, since, reason) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (receiver) DO UPDATE SET target = ?2, since = ?3, reason = ?4",
        params![receiver, target, gone.finished_at_ns, reason],
    )?;
    transaction.execute(
        "UPDATE deliveries SET state = 'failed', last_error = ?2 WHERE receiver = ?1 AND state = 'pending'",
        params![receiver, reason],
    )?;
    Ok(())
}
