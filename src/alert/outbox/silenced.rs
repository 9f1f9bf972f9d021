//! Deliveries that a silence holds back.
//!
//! They stay pending and are due again when the silence ends, like one that is tried again later: nothing that
//! is held back can be lost. Later revisions of the alert wait behind it as they always do.

use std::sync::Arc;

use rusqlite::{Transaction, params};

use super::incidents::read;
use super::{Outbox, OutboxError};
use crate::types::{Decision, Labels, Silence};

/// What is to become of a delivery that is due.
enum Fate {
    /// As if there had never been a silence.
    Send,
    Hold {
        by: Arc<Silence>,
    },
    /// Its silence is over, and so is the alert, of which the receiver never heard.
    Pass,
}

struct Looked {
    id: String,
    revision: u32,
    silenced_by: Option<String>,
    /// Earlier revisions were passed over.
    passed: bool,
    /// Only read where there is a silence to hold it against.
    decision: Option<Decision>,
    firing: bool,
    /// The receiver may have heard of the alert.
    told: bool,
}

impl Outbox {
    /// Puts off what is due and one of `silences` fits, until that ends; lets go of what none fits any more. `silences` are
    /// those in force at `now_ns`. Of what is due it looks at the first `lot`, until none of them is held back.
    pub fn hold_back(
        &mut self,
        receiver: &str,
        now_ns: i64,
        silences: &[Arc<Silence>],
        lot: usize,
    ) -> Result<(), OutboxError> {
        if silences.is_empty() && !self.has_silenced(receiver)? {
            return Ok(());
        }
        let of = Of { receiver, others: self.others };
        loop {
            let transaction = self.connection.transaction()?;
            let looked = look(&transaction, of, now_ns, lot, !silences.is_empty())?;
            let mut changed = 0;
            for delivery in &looked {
                changed += settle(&transaction, receiver, delivery, now_ns, silences)?;
            }
            transaction.commit()?;
            if changed == 0 {
                return Ok(());
            }
        }
    }

    /// A silence has ended early: what it held back is due. Gives how many deliveries that are.
    pub fn end_silence(&mut self, id: &str, now_ns: i64) -> Result<usize, OutboxError> {
        let transaction = self.connection.transaction()?;
        transaction.execute(
            "UPDATE incidents SET next_attempt_at = ?2 WHERE state = 'pending' AND seq IN
                 (SELECT incident FROM deliveries WHERE silenced_by = ?1 AND state = 'pending')",
            params![id, now_ns],
        )?;
        let released = transaction.execute(
            "UPDATE deliveries SET next_attempt_at = ?2 WHERE silenced_by = ?1 AND state = 'pending'",
            params![id, now_ns],
        )?;
        transaction.commit()?;
        Ok(released)
    }

    fn has_silenced(&mut self, receiver: &str) -> Result<bool, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deliveries
                            WHERE receiver = ?1 AND silenced_by IS NOT NULL AND state = 'pending')
                 OR EXISTS (SELECT 1 FROM deliveries WHERE receiver = ?1 AND state = 'silenced')",
        )?;
        Ok(statement.query_row([receiver], |row| row.get(0))?)
    }
}

/// Whose deliveries are looked at.
#[derive(Clone, Copy)]
struct Of<'a> {
    receiver: &'a str,
    /// Of whatever revision nothing is known here another Eddy may have told it.
    others: bool,
}

fn look(
    transaction: &Transaction<'_>,
    of: Of<'_>,
    now_ns: i64,
    lot: usize,
    parse: bool,
) -> Result<Vec<Looked>, OutboxError> {
    let mut statement = transaction.prepare_cached(
        "SELECT d.id, d.revision, d.silenced_by, a.decision,
                EXISTS (SELECT 1 FROM deliveries p WHERE p.id = d.id AND p.receiver = d.receiver AND p.state = 'silenced'),
                (SELECT l.state FROM alerts l WHERE l.id = d.id ORDER BY l.revision DESC LIMIT 1) IN ('raised', 'revised'),
                EXISTS (SELECT 1 FROM deliveries t WHERE t.id = d.id AND t.receiver = d.receiver
                        AND (t.state = 'delivered' OR t.attempts > 0 OR t.incident IS NOT NULL))
                OR ?4 AND (SELECT count(*) FROM deliveries k WHERE k.id = d.id AND k.receiver = d.receiver
                           AND k.revision < d.revision) < d.revision - 1
         FROM deliveries d JOIN alerts a ON a.seq = d.alert
         WHERE d.receiver = ?1 AND d.state = 'pending' AND d.incident IS NULL AND d.next_attempt_at <= ?2
             AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.id = d.id AND e.revision < d.revision
                             AND e.receiver = d.receiver AND e.state = 'pending' AND e.incident IS NULL)
         ORDER BY d.next_attempt_at, d.alert LIMIT ?3",
    )?;
    let lot = i64::try_from(lot).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![of.receiver, now_ns, lot, of.others])?;
    let mut looked = Vec::new();
    while let Some(row) = rows.next()? {
        looked.push(Looked {
            id: row.get(0)?,
            revision: row.get(1)?,
            silenced_by: row.get(2)?,
            decision: parse.then(|| read(row, 3)).transpose()?,
            passed: row.get(4)?,
            firing: row.get(5)?,
            told: row.get(6)?,
        });
    }
    Ok(looked)
}

/// Of `silences` the one that keeps this from the receiver. Of several that fit, the one that lasts longest: by the end of another it
/// would only be held back anew.
pub(super) fn holding<'a>(
    decision: &Decision,
    receiver: &str,
    silences: &'a [Arc<Silence>],
) -> Option<&'a Arc<Silence>> {
    let labels = Labels::of(decision, receiver);
    silences.iter().filter(|silence| silence.fits(&labels)).max_by_key(|silence| silence.ends_at_ns)
}

fn fate(delivery: &Looked, receiver: &str, silences: &[Arc<Silence>]) -> Fate {
    if let Some(by) = delivery.decision.as_ref().and_then(|decision| holding(decision, receiver, silences)) {
        return Fate::Hold { by: by.clone() };
    }
    let was_silenced = delivery.silenced_by.is_some() || delivery.passed;
    if was_silenced && !delivery.firing && !delivery.told { Fate::Pass } else { Fate::Send }
}

/// Gives 1 if something was changed.
fn settle(
    transaction: &Transaction<'_>,
    receiver: &str,
    delivery: &Looked,
    now_ns: i64,
    silences: &[Arc<Silence>],
) -> rusqlite::Result<usize> {
    let Looked { id, revision, .. } = delivery;
    match fate(delivery, receiver, silences) {
        Fate::Hold { by } => transaction.execute(
            "UPDATE deliveries SET silenced_by = ?4, next_attempt_at = ?5
             WHERE id = ?1 AND revision = ?2 AND receiver = ?3",
            params![id, revision, receiver, by.id, by.ends_at_ns.max(now_ns + 1)],
        ),
        Fate::Send if delivery.silenced_by.is_some() => transaction.execute(
            "UPDATE deliveries SET silenced_by = NULL WHERE id = ?1 AND revision = ?2 AND receiver = ?3",
            params![id, revision, receiver],
        ),
        Fate::Send => Ok(0),
        Fate::Pass => transaction.execute(
            "UPDATE deliveries SET state = 'silenced', silenced_by = coalesce(silenced_by, ?3)
             WHERE id = ?1 AND receiver = ?2 AND state = 'pending' AND incident IS NULL",
            params![id, receiver, delivery.silenced_by],
        ),
    }
    .map(|rows| rows.min(1))
}
