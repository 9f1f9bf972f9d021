//! Messages of incidents that were put together before a silence began.
//!
//! One that was never attempted is taken apart, and made anew of what is not silenced: nobody has seen its id. Of any other
//! the bytes stay as they are: it waits while all that it tells is silenced, and goes as it is if only a part is. As
//! attempted counts what was made before the process started, which may have been under way when the one before died.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::incidents::read;
use super::silenced::holding;
use super::{Outbox, OutboxError};
use crate::types::Silence;

/// A message that is due.
struct Message {
    seq: i64,
    id: String,
    /// No attempt of it, nor of anything that it tells, was ever begun.
    untried: bool,
}

/// What of a message the receiver has yet to hear.
struct Told {
    id: String,
    revision: u32,
    /// The silence that fits it, and lasts longest.
    by: Option<Arc<Silence>>,
}

impl Outbox {
    /// Holds messages that are due against `silences`, those in force at `now_ns`. Gives whether one was taken apart: what
    /// it told is to be gathered again. Of incidents in `under_way` a message is being sent, or what came of it is not
    /// recorded yet.
    pub fn hold_back_messages(
        &mut self,
        receiver: &str,
        now_ns: i64,
        silences: &[Arc<Silence>],
        under_way: &HashSet<String>,
    ) -> Result<bool, OutboxError> {
        if silences.is_empty() {
            self.let_go(receiver, now_ns)?;
            return Ok(false);
        }
        let made_before = self.made_before;
        let transaction = self.connection.transaction()?;
        let mut is_apart = false;
        for message in due(&transaction, receiver, now_ns, made_before)? {
            if under_way.contains(&message.id) {
                continue;
            }
            let told = told(&transaction, message.seq, receiver, silences)?;
            if message.untried && told.iter().any(|told| told.by.is_some()) {
                take_apart(&transaction, message.seq)?;
                is_apart = true;
            } else {
                settle(&transaction, (message.seq, receiver), &told, now_ns)?;
            }
        }
        transaction.commit()?;
        Ok(is_apart)
    }

    /// No silence is in force: what was held back and is due is so no more.
    fn let_go(&mut self, receiver: &str, now_ns: i64) -> rusqlite::Result<()> {
        let mut free = self.connection.prepare_cached(
            "UPDATE deliveries SET silenced_by = NULL
             WHERE receiver = ?1 AND silenced_by IS NOT NULL AND state = 'pending' AND incident IN
                 (SELECT seq FROM incidents WHERE receiver = ?1 AND state = 'pending' AND next_attempt_at <= ?2)",
        )?;
        free.execute(params![receiver, now_ns]).map(drop)
    }

    /// Whether one of `silences` fits each alert of which the message has yet to tell.
    pub(super) fn is_all_silenced(
        &self,
        seq: i64,
        receiver: &str,
        silences: &[Arc<Silence>],
    ) -> Result<bool, OutboxError> {
        if silences.is_empty() {
            return Ok(false);
        }
        let told = told(&self.connection, seq, receiver, silences)?;
        Ok(!told.is_empty() && told.iter().all(|told| told.by.is_some()))
    }
}

fn due(
    transaction: &Transaction<'_>,
    receiver: &str,
    now_ns: i64,
    made_before: i64,
) -> rusqlite::Result<Vec<Message>> {
    // One that is replayed begins to count its attempts anew.
    let mut statement = transaction.prepare_cached(
        "SELECT i.seq, i.id, i.seq > ?3 AND i.attempts = 0
             AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.incident = i.seq AND d.first_attempt_at IS NOT NULL)
         FROM incidents i WHERE i.receiver = ?1 AND i.state = 'pending' AND i.next_attempt_at <= ?2",
    )?;
    let rows = statement.query_map(params![receiver, now_ns, made_before], |row| {
        Ok(Message { seq: row.get(0)?, id: row.get(1)?, untried: row.get(2)? })
    })?;
    rows.collect()
}

fn told(
    connection: &rusqlite::Connection,
    seq: i64,
    receiver: &str,
    silences: &[Arc<Silence>],
) -> Result<Vec<Told>, OutboxError> {
    let mut statement = connection.prepare_cached(
        "SELECT d.id, d.revision, a.decision FROM deliveries d JOIN alerts a ON a.seq = d.alert
         WHERE d.incident = ?1 AND d.state = 'pending'",
    )?;
    let mut rows = statement.query([seq])?;
    let mut told = Vec::new();
    while let Some(row) = rows.next()? {
        let by = holding(&read(row, 2)?, receiver, silences).cloned();
        told.push(Told { id: row.get(0)?, revision: row.get(1)?, by });
    }
    Ok(told)
}

/// As if it had never been made.
fn take_apart(transaction: &Transaction<'_>, seq: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE deliveries SET incident = NULL, silenced_by = NULL WHERE incident = ?1")?
        .execute([seq])?;
    transaction.prepare_cached("DELETE FROM incidents WHERE seq = ?1")?.execute([seq])?;
    Ok(())
}

/// Puts it off while all of it is silenced, until one of its silences ends; else what held it back does so no more.
fn settle(
    transaction: &Transaction<'_>,
    (seq, receiver): (i64, &str),
    told: &[Told],
    now_ns: i64,
) -> rusqlite::Result<()> {
    let ends: Option<Vec<i64>> = told.iter().map(|told| told.by.as_ref().map(|by| by.ends_at_ns)).collect();
    let Some(until_ns) = ends.and_then(|ends| ends.into_iter().min()) else {
        let mut free = transaction.prepare_cached(
            "UPDATE deliveries SET silenced_by = NULL WHERE incident = ?1 AND silenced_by IS NOT NULL",
        )?;
        free.execute([seq])?;
        return Ok(());
    };
    let mut mark = transaction.prepare_cached(
        "UPDATE deliveries SET silenced_by = ?4 WHERE id = ?1 AND revision = ?2 AND receiver = ?3",
    )?;
    for Told { id, revision, by } in told {
        mark.execute(params![id, revision, receiver, by.as_ref().map(|by| &by.id)])?;
    }
    transaction
        .prepare_cached("UPDATE incidents SET next_attempt_at = ?2 WHERE seq = ?1")?
        .execute(params![seq, until_ns.max(now_ns + 1)])?;
    Ok(())
}
