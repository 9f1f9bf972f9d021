//! Trying again what was given up.

use rusqlite::{Transaction, params};

use super::{Outbox, OutboxError};

impl Outbox {
    /// Puts a failed delivery back in the queue with a fresh schedule; false if it has not failed. Where it was part of an
    /// incident's message, the message is sent again as it was, with all that it tells.
    /// Asking for it also takes a receiver disabled by a 410 up again.
    pub fn replay_failed(
        &mut self,
        id: &str,
        revision: u32,
        receiver: &str,
        now_ns: i64,
    ) -> Result<bool, OutboxError> {
        let transaction = self.connection.transaction()?;
        let found = {
            let mut statement = transaction.prepare_cached(
                "SELECT incident FROM deliveries
                 WHERE id = ?1 AND revision = ?2 AND receiver = ?3 AND state = 'failed'",
            )?;
            let mut rows = statement.query(params![id, revision, receiver])?;
            rows.next()?.map(|row| row.get::<_, Option<i64>>(0)).transpose()?
        };
        match found {
            None => return Ok(false),
            Some(Some(incident)) => again(&transaction, "incident = ?2", params![now_ns, incident])?,
            Some(None) => {
                let one = "id = ?2 AND revision = ?3 AND receiver = ?4";
                again(&transaction, one, params![now_ns, id, revision, receiver])?
            }
        };
        if let Some(Some(incident)) = found {
            message_again(&transaction, "seq = ?2", params![now_ns, incident])?;
        }
        transaction.execute("DELETE FROM disabled WHERE receiver = ?1", [receiver])?;
        transaction.commit()?;
        Ok(true)
    }

    /// The same of everything that `receiver` was not told, or, without one, nobody was; gives how many deliveries there
    /// were.
    pub fn replay_all_failed(&mut self, receiver: Option<&str>, now_ns: i64) -> Result<u64, OutboxError> {
        let transaction = self.connection.transaction()?;
        let of = "(?2 IS NULL OR receiver = ?2)";
        let deliveries = again(&transaction, of, params![now_ns, receiver])?;
        message_again(&transaction, of, params![now_ns, receiver])?;
        transaction.execute("DELETE FROM disabled WHERE (?1 IS NULL OR receiver = ?1)", params![receiver])?;
        transaction.commit()?;
        Ok(deliveries as u64)
    }
}

/// `?1`: now. What was given up without an attempt keeps its reason until there is one.
fn again(
    transaction: &Transaction<'_>,
    which: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<usize> {
    let sql = format!(
        "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = ?1
         WHERE {which} AND state = 'failed'"
    );
    transaction.execute(&sql, params)
}

fn message_again(
    transaction: &Transaction<'_>,
    which: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<usize> {
    let sql = format!(
        "UPDATE incidents SET state = 'pending', attempts = 0, next_attempt_at = ?1
         WHERE {which} AND state = 'failed'"
    );
    transaction.execute(&sql, params)
}
