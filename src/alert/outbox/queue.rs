//! Taking deliveries out, attempt by attempt.

use rusqlite::{OptionalExtension, Transaction, params};

use super::due::{DELIVERIES, Due};
use super::{Outbox, OutboxError};

/// What one attempt came to. Times are wall time, ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: String,
    pub revision: u32,
    /// As in [`Due`].
    pub incident: Option<i64>,
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
    /// As it did before.
    Waits,
    GiveUp,
    /// The receiver wants nothing more (410): every delivery waiting for it fails too.
    Disable,
}

/// Deliveries of one receiver that are not delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that a silence holds back are not among them.
    pub pending: u64,
    /// Of the pending, those that a stored message of an incident tells of.
    pub in_messages: u64,
    pub silenced: u64,
    pub failed: u64,
    pub disabled: bool,
}

impl Counts {
    /// Alerts that wait for the receiver. What is yet to be put together (`grouped`) waits for none.
    pub fn waiting(&self, grouped: bool) -> u64 {
        if grouped { self.in_messages } else { self.pending }
    }
}

/// A revision waits until the earlier ones of its alert are delivered or have failed, so that a
/// receiver never hears of the end of an alert before its beginning.
pub(super) const IN_ORDER: &str =
    "NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.id = d.id AND e.revision < d.revision
    AND e.receiver = d.receiver AND e.state = 'pending')";

const DAY_NS: i64 = 24 * 3600 * 1_000_000_000;

impl Outbox {
    /// Says that a worker starts, and where its receiver is now.
    ///
    /// A receiver disabled by a 410 is taken up again if it has moved: `target` is compared with the
    /// one that sent the 410 (a digest: urls may hold tokens). And a wall clock set back since the
    /// last run must not put deliveries off: what was never attempted is due now, the rest in a day.
    /// So is what a silence held back: whether it still does is looked at again.
    pub fn attach(&mut self, receiver: &str, target: &str, now_ns: i64) -> Result<(), OutboxError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "DELETE FROM disabled WHERE receiver = ?1 AND target <> ?2",
            params![receiver, target],
        )?;
        for table in ["deliveries", "incidents"] {
            let held = match table {
                "deliveries" => "OR silenced_by IS NOT NULL",
                _ => {
                    "OR EXISTS (SELECT 1 FROM deliveries d WHERE d.incident = seq AND d.silenced_by IS NOT NULL)"
                }
            };
            let sql = format!(
                "UPDATE {table} SET next_attempt_at = min(next_attempt_at, ?2 + iif(attempts = 0 {held}, 0, ?3))
                 WHERE receiver = ?1 AND state = 'pending' AND next_attempt_at > ?2"
            );
            transaction.execute(&sql, params![receiver, now_ns, DAY_NS])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// The wall clock was set back by `by_ns` since deliveries were put off: what they still wait stays.
    pub fn set_back(&mut self, receiver: &str, by_ns: i64) -> Result<(), OutboxError> {
        let transaction = self.connection.transaction()?;
        for table in ["deliveries", "incidents"] {
            let sql = format!(
                "UPDATE {table} SET next_attempt_at = next_attempt_at - ?2 WHERE receiver = ?1 AND state = 'pending'"
            );
            transaction.execute(&sql, params![receiver, by_ns])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Alerts to tell at `now_ns` one by one, the longest overdue first, at most one revision an alert. Before them what is
    /// left of incidents that were to be told.
    pub fn due(&mut self, receiver: &str, now_ns: i64, limit: usize) -> Result<Vec<Due>, OutboxError> {
        let mut found = self.due_incidents(receiver, now_ns, limit)?;
        let mut statement = self.connection.prepare_cached(&due_sql())?;
        let room = (limit - found.len()) as i64;
        let rows = statement.query_map(params![receiver, now_ns, room], Due::read)?;
        rows.into_iter().try_for_each(|due| due.map(|due| found.push(due)))?;
        Ok(found)
    }

    /// The first time after `after_ns` at which to look for due deliveries again, if any.
    pub fn next_due_at(&mut self, receiver: &str, after_ns: i64) -> Result<Option<i64>, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT min(at) FROM (
                 SELECT min(next_attempt_at) AS at FROM deliveries
                 WHERE receiver = ?1 AND state = 'pending' AND incident IS NULL AND next_attempt_at > ?2
                 UNION ALL
                 SELECT min(next_attempt_at) FROM incidents
                 WHERE receiver = ?1 AND state = 'pending' AND next_attempt_at > ?2)",
        )?;
        Ok(statement.query_row(params![receiver, after_ns], |row| row.get(0))?)
    }

    /// Writes down what attempts came to, all in one transaction. `target` as in [`Outbox::attach`]. Gives how many
    /// deliveries were given up by it.
    pub fn record_attempts(
        &mut self,
        receiver: &str,
        target: &str,
        attempts: &[Attempt],
    ) -> Result<u64, OutboxError> {
        if attempts.is_empty() {
            return Ok(0);
        }
        let transaction = self.connection.transaction()?;
        let before = failed(&transaction, receiver)?;
        for attempt in attempts {
            record(&transaction, receiver, attempt)?;
        }
        if let Some(gone) = attempts.iter().find(|attempt| attempt.next == Next::Disable) {
            disable(&transaction, receiver, target, gone)?;
        }
        let given_up = failed(&transaction, receiver)?.saturating_sub(before);
        transaction.commit()?;
        Ok(given_up)
    }

    /// Why the newest of what waits for another attempt was not taken at the last one.
    pub fn last_failure(&mut self, receiver: &str) -> Result<Option<String>, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT last_error FROM deliveries
             WHERE receiver = ?1 AND state = 'pending' AND attempts > 0 AND last_error IS NOT NULL
             ORDER BY alert DESC LIMIT 1",
        )?;
        Ok(statement.query_row([receiver], |row| row.get(0)).optional()?)
    }

    pub fn counts(&mut self, receiver: &str) -> Result<Counts, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT (SELECT count(*) FROM deliveries WHERE receiver = ?1 AND state = 'pending'),
                    (SELECT count(*) FROM deliveries
                     WHERE receiver = ?1 AND silenced_by IS NOT NULL AND state = 'pending')
                  + (SELECT count(DISTINCT d.alert) FROM deliveries h JOIN deliveries d ON d.id = h.id AND d.receiver = h.receiver
                     WHERE h.receiver = ?1 AND h.silenced_by IS NOT NULL AND h.state = 'pending'
                         AND d.revision > h.revision AND d.state = 'pending' AND d.silenced_by IS NULL),
                    (SELECT count(*) FROM deliveries WHERE receiver = ?1 AND state = 'failed'),
                    EXISTS (SELECT 1 FROM disabled WHERE receiver = ?1),
                    (SELECT count(*) FROM deliveries
                     WHERE receiver = ?1 AND state = 'pending' AND incident IS NOT NULL AND silenced_by IS NULL)",
        )?;
        Ok(statement.query_row([receiver], |row| {
            // A count is never negative; SQLite only has signed integers.
            let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
            let silenced = count(1)?;
            Ok(Counts {
                pending: count(0)? - silenced,
                in_messages: count(4)?,
                silenced,
                failed: count(2)?,
                disabled: row.get(3)?,
            })
        })?)
    }
}

fn failed(transaction: &Transaction<'_>, receiver: &str) -> rusqlite::Result<u64> {
    let mut statement = transaction
        .prepare_cached("SELECT count(*) FROM deliveries WHERE receiver = ?1 AND state = 'failed'")?;
    statement.query_row([receiver], |row| row.get::<_, i64>(0)).map(|count| count as u64)
}

/// Read off the index in order, up to the limit: in a storm thousands fall due in the same instant.
pub(super) fn due_sql() -> String {
    format!(
        "{DELIVERIES}
         WHERE d.receiver = ?1 AND d.state = 'pending' AND d.incident IS NULL AND d.next_attempt_at <= ?2 AND {IN_ORDER}
         ORDER BY d.next_attempt_at, d.alert LIMIT ?3"
    )
}

/// An attempt under way while another one met a 410 must not put its delivery back in the queue.
const STATE: &str = "state = CASE WHEN ?1 = 'pending' AND EXISTS (SELECT 1 FROM disabled WHERE receiver = ?2)
                     THEN 'failed' ELSE ?1 END, attempts = attempts + 1, next_attempt_at = ?3";

fn record(transaction: &Transaction<'_>, receiver: &str, attempt: &Attempt) -> rusqlite::Result<()> {
    if attempt.next == Next::Waits {
        return note_refusal(transaction, receiver, attempt);
    }
    let (state, next_attempt_at) = match attempt.next {
        Next::Delivered => ("delivered", attempt.finished_at_ns),
        Next::Retry { at_ns } => ("pending", at_ns),
        Next::Waits | Next::GiveUp | Next::Disable => ("failed", attempt.finished_at_ns),
    };
    let delivered_at = (attempt.next == Next::Delivered).then_some(attempt.finished_at_ns);
    let which = match attempt.incident {
        Some(_) => "incident = ?8 AND receiver = ?2",
        None => "id = ?8 AND revision = ?9 AND receiver = ?2",
    };
    let sql = format!(
        "UPDATE deliveries SET {STATE}, last_status = ?4, last_error = ?5, silenced_by = NULL,
             first_attempt_at = coalesce(first_attempt_at, ?6), delivered_at = ?7
         WHERE {which} AND state <> 'delivered'"
    );
    let (status, error, started) = (attempt.status, &attempt.error, attempt.started_at_ns);
    let mut statement = transaction.prepare_cached(&sql)?;
    match attempt.incident {
        Some(incident) => {
            let told =
                params![state, receiver, next_attempt_at, status, error, started, delivered_at, incident];
            statement.execute(told)?;
            // One under way while a later one took its place is not sent again.
            let sql = format!(
                "UPDATE incidents SET {STATE} WHERE seq = ?4 AND state <> 'delivered'
                     AND (state <> 'superseded' OR ?1 = 'delivered')"
            );
            let mut message = transaction.prepare_cached(&sql)?;
            message.execute(params![state, receiver, next_attempt_at, incident])?;
        }
        None => {
            let (id, revision) = (&attempt.id, attempt.revision);
            let told =
                params![state, receiver, next_attempt_at, status, error, started, delivered_at, id, revision];
            statement.execute(told)?;
        }
    }
    Ok(())
}

/// Of an attempt before its time only the reason stays.
fn note_refusal(transaction: &Transaction<'_>, receiver: &str, attempt: &Attempt) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "UPDATE deliveries SET last_status = ?2, last_error = ?3
         WHERE receiver = ?1 AND state = 'pending' AND iif(?4 IS NULL, id = ?5 AND revision = ?6, incident = ?4)",
    )?;
    let Attempt { id, revision, incident, status, error, .. } = attempt;
    statement.execute(params![receiver, status, error, incident, id, revision])?;
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
    transaction.execute(
        "UPDATE incidents SET state = 'failed' WHERE receiver = ?1 AND state = 'pending'",
        params![receiver],
    )?;
    Ok(())
}
