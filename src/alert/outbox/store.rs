//! Putting alerts in.

use rusqlite::{Transaction, params};

use super::prune::is_removed;
use super::{Outbox, OutboxError};
use crate::alert::body;
use crate::types::{Alert, AlertState, Decision};

/// What became of a batch of alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Not seen before; will be delivered.
    pub new: usize,
    /// Already there: keeps its first receipt and is not sent again.
    pub known: usize,
    /// Of the known ones, those whose decision is not byte-equal to the stored one. More than 0
    /// means that replaying the log did not lead to the same decisions.
    pub differing: usize,
}

/// An alert with the bytes that its receivers get.
#[derive(Clone, Debug)]
pub struct Sent {
    pub alert: Alert,
    pub body: String,
}

impl Outbox {
    /// Makes a batch of alerts durable together with one pending delivery a receiver.
    ///
    /// Recovery replays the log and hands in the same alerts again: a revision that is already
    /// there is left as it is. `now_ns` is wall time, ns.
    pub fn store(&mut self, alerts: &[Alert], now_ns: i64) -> Result<Stored, OutboxError> {
        self.store_each(alerts.iter().map(|alert| (alert, None)), now_ns)
    }

    /// The same of alerts whose bodies were made elsewhere, from where they come again until each is settled: of a known one
    /// deliveries that are missing, as after [`Outbox::release`], begin anew.
    pub fn store_sent(&mut self, sent: &[Sent], now_ns: i64) -> Result<Stored, OutboxError> {
        self.store_each(sent.iter().map(|sent| (&sent.alert, Some(sent.body.as_str()))), now_ns)
    }

    fn store_each<'a>(
        &mut self,
        alerts: impl Iterator<Item = (&'a Alert, Option<&'a str>)>,
        now_ns: i64,
    ) -> Result<Stored, OutboxError> {
        let mut stored = Stored::default();
        let transaction = self.connection.transaction()?;
        for (alert, body) in alerts {
            if is_removed(&transaction, &alert.decision.id, alert.decision.revision)? {
                stored.known += 1;
                continue;
            }
            let comes_again = body.is_some();
            let encode_error = |source| OutboxError::Encode {
                id: alert.decision.id.clone(),
                revision: alert.decision.revision,
                source,
            };
            let decision = serde_json::to_string(&alert.decision).map_err(encode_error)?;
            let body = match body {
                Some(body) => body.to_owned(),
                None => {
                    let link = self.links.as_ref().map(|links| links.feedback(&alert.decision.id, now_ns));
                    body::encode_linked(alert, link.as_deref()).map_err(encode_error)?
                }
            };
            let receipt = serde_json::to_string(&alert.receipt).map_err(encode_error)?;
            let texts = Texts { decision: &decision, receipt: &receipt, body: &body };
            let is_new = insert_alert(&transaction, alert, texts, now_ns)?;
            if is_new || comes_again {
                insert_deliveries(&transaction, alert, &self.receivers, now_ns)?;
            }
            if is_new {
                stored.new += 1;
            } else {
                stored.known += 1;
                stored.differing += usize::from(differs(&transaction, alert, &decision)?);
            }
        }
        transaction.commit()?;
        Ok(stored)
    }

    /// Every receiver of a revision has it, or was given up on. Those that are configured no more count as such.
    pub fn is_settled(&mut self, id: &str, revision: u32) -> Result<bool, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deliveries
                            WHERE id = ?1 AND revision = ?2 AND receiver = ?3 AND state = 'pending')",
        )?;
        for receiver in &self.receivers {
            if statement.query_row(params![id, revision, receiver], |row| row.get(0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// An alert as JSON, byte for byte as it is kept.
struct Texts<'a> {
    decision: &'a str,
    receipt: &'a str,
    body: &'a str,
}

/// False if the revision is already there. Only that conflict is passed over: `INSERT OR IGNORE`
/// would also swallow a violated NOT NULL, and with it the alert.
fn insert_alert(
    transaction: &Transaction<'_>,
    alert: &Alert,
    texts: Texts<'_>,
    now_ns: i64,
) -> rusqlite::Result<bool> {
    let decision = &alert.decision;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO alerts (id, revision, message_id, state, stream, key, onset, decision, receipt, body, stored_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (id, revision) DO NOTHING",
    )?;
    let rows = statement.execute(params![
        decision.id,
        decision.revision,
        decision.message_id(),
        state_name(decision.state),
        decision.stream,
        decision.key,
        decision.onset.0,
        texts.decision,
        texts.receipt,
        texts.body,
        now_ns,
    ])?;
    Ok(rows == 1)
}

/// Those that are not there. A receiver that answered 410 gets no attempt, but its alerts are listed as failed, with the reason.
fn insert_deliveries(
    transaction: &Transaction<'_>,
    alert: &Alert,
    receivers: &[String],
    now_ns: i64,
) -> rusqlite::Result<()> {
    let Decision { id, revision, .. } = &alert.decision;
    let mut statement = transaction.prepare_cached(
        "INSERT INTO deliveries (alert, id, revision, receiver, state, next_attempt_at, last_error)
         SELECT seq, ?1, ?2, ?3, CASE WHEN reason IS NULL THEN 'pending' ELSE 'failed' END, ?4, reason
         FROM (SELECT seq, (SELECT reason FROM disabled WHERE receiver = ?3) AS reason FROM alerts
               WHERE id = ?1 AND revision = ?2)
         WHERE true ON CONFLICT (id, revision, receiver) DO NOTHING",
    )?;
    for receiver in receivers {
        statement.execute(params![id, revision, receiver, now_ns])?;
    }
    Ok(())
}

fn differs(transaction: &Transaction<'_>, alert: &Alert, decision_json: &str) -> rusqlite::Result<bool> {
    let mut statement =
        transaction.prepare_cached("SELECT decision FROM alerts WHERE id = ?1 AND revision = ?2")?;
    let stored: String =
        statement.query_row(params![alert.decision.id, alert.decision.revision], |row| row.get(0))?;
    if stored == decision_json {
        return Ok(false);
    }
    tracing::error!(
        alert = %alert.decision.id,
        revision = alert.decision.revision,
        stored,
        decided = decision_json,
        "a replay decided differently: decisions are not reproducible, the stored one stands; \
         expected only if Eddy, its config or its model was changed without a fresh `durable.path`"
    );
    Ok(true)
}

/// As in JSON, so that a person reading the file and one reading the API see the same word.
fn state_name(state: AlertState) -> &'static str {
    match state {
        AlertState::Raised => "raised",
        AlertState::Revised => "revised",
        AlertState::Resolved => "resolved",
        AlertState::Retracted => "retracted",
    }
}
