//! Putting alerts of one receiver together: a thousand keys that break at once are one message.
//!
//! An incident begins with its first alert and ends with the message that none of its alerts fires any more. Each of its
//! messages is stored with its bytes before it is sent, so it has one id over retries and restarts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction, params};
use sha2::{Digest, Sha256};

use super::due::{Due, WAITING};
use super::{Outbox, OutboxError};
use crate::alert::incident::{self, Incident};
use crate::config::plan::GroupPlan;
use crate::types::{Decision, Labels, Silence, hex};

/// An alert's revision that no message has told of yet.
struct Member {
    revision: u32,
    decision: Decision,
    stored_at_ns: i64,
}

/// Where the labels' incident stands.
struct Standing {
    id: String,
    revision: u32,
    firing: bool,
    /// Wall time of its last message.
    stored_at_ns: i64,
}

/// The incidents of one receiver in one transaction.
struct Gathering<'a> {
    transaction: Transaction<'a>,
    receiver: &'a str,
    group: &'a GroupPlan,
    now_ns: i64,
    /// Incidents of which a message is being sent.
    under_way: &'a HashSet<String>,
    /// Messages up to this one were made before the process started, and may have been sent by the one before.
    made_before: i64,
}

impl Outbox {
    /// Makes messages of what has waited for long enough, each of all that belongs together. Gives when there will be more
    /// to do, as far as is known: look again then, and after the group's wait.
    pub fn gather(
        &mut self,
        receiver: &str,
        group: &GroupPlan,
        now_ns: i64,
        silences: &[Arc<Silence>],
        under_way: &HashSet<String>,
    ) -> Result<Option<i64>, OutboxError> {
        self.hold_back(receiver, now_ns, silences, usize::MAX)?;
        let made_before = self.made_before;
        let transaction = self.connection.transaction()?;
        let gathering = Gathering { transaction, receiver, group, now_ns, under_way, made_before };
        let mut next = None::<i64>;
        for (labels, members) in gathering.members()? {
            let standing = gathering.standing(&labels)?;
            let due_ns = gathering.due_at(standing.as_ref(), &members);
            if due_ns > now_ns {
                next = Some(next.map_or(due_ns, |next| next.min(due_ns)));
            } else {
                gathering.tell(&labels, standing, members)?;
            }
        }
        gathering.transaction.commit()?;
        Ok(next)
    }

    /// Messages of incidents to attempt at `now_ns`; one revision an incident.
    pub fn due_incidents(
        &mut self,
        receiver: &str,
        now_ns: i64,
        limit: usize,
    ) -> Result<Vec<Due>, OutboxError> {
        let sql = format!("{WAITING} AND i.next_attempt_at <= ?2 ORDER BY i.next_attempt_at, i.seq LIMIT ?3");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![receiver, now_ns, limit as i64], Due::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

impl Gathering<'_> {
    /// What is due and not told of, by the labels. An alert stays with the incident that told of it first,
    /// whatever column a later revision is about.
    fn members(&self) -> Result<BTreeMap<String, Vec<Member>>, OutboxError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT d.revision, a.decision, a.stored_at,
                    (SELECT i.labels FROM deliveries o JOIN incidents i ON i.seq = o.incident
                     WHERE o.id = d.id AND o.receiver = d.receiver ORDER BY o.revision LIMIT 1)
             FROM deliveries d JOIN alerts a ON a.seq = d.alert
             WHERE d.receiver = ?1 AND d.state = 'pending' AND d.incident IS NULL AND d.next_attempt_at <= ?2
                 AND NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.id = d.id AND e.revision < d.revision
                                 AND e.receiver = d.receiver AND e.state = 'pending' AND e.incident IS NULL
                                 AND e.next_attempt_at > ?2)
             ORDER BY d.next_attempt_at, d.alert",
        )?;
        let mut rows = statement.query(params![self.receiver, self.now_ns])?;
        let mut members = BTreeMap::<String, Vec<Member>>::new();
        while let Some(row) = rows.next()? {
            let member = Member { revision: row.get(0)?, decision: read(row, 1)?, stored_at_ns: row.get(2)? };
            let labels = match row.get::<_, Option<String>>(3)? {
                Some(labels) => labels,
                None => self.labels(&member.decision),
            };
            members.entry(labels).or_default().push(member);
        }
        Ok(members)
    }

    /// The labels with their values, as JSON: what is asked for today may not be what an incident was put together by.
    fn labels(&self, decision: &Decision) -> String {
        let labels = Labels::of(decision, self.receiver);
        let named = self.group.by.iter().map(|&label| (label.as_str().to_owned(), labels.get(label).into()));
        serde_json::Value::Object(named.collect()).to_string()
    }

    fn standing(&self, labels: &str) -> rusqlite::Result<Option<Standing>> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, revision, firing, stored_at FROM incidents
             WHERE receiver = ?1 AND labels = ?2 ORDER BY seq DESC LIMIT 1",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Standing {
                id: row.get(0)?,
                revision: row.get(1)?,
                firing: row.get::<_, i64>(2)? > 0,
                stored_at_ns: row.get(3)?,
            })
        };
        statement.query_row(params![self.receiver, labels], read).optional()
    }

    /// When the next message of the labels is due. A time that is yet to come was taken from a clock that was set back since:
    /// such a wait is over.
    fn due_at(&self, standing: Option<&Standing>, members: &[Member]) -> i64 {
        let since = |at_ns: i64, wait: std::time::Duration| {
            if at_ns > self.now_ns { self.now_ns } else { at_ns.saturating_add(wait.as_nanos() as i64) }
        };
        match standing.filter(|standing| standing.firing) {
            Some(standing) => since(standing.stored_at_ns, self.group.interval),
            None => {
                let first = members.iter().map(|member| member.stored_at_ns).min();
                since(first.unwrap_or(self.now_ns), self.group.wait)
            }
        }
    }

    fn tell(
        &self,
        labels: &str,
        standing: Option<Standing>,
        members: Vec<Member>,
    ) -> Result<(), OutboxError> {
        // An alert that fires again goes on with the incident that it belonged to, even if that was over.
        let known = members.iter().find_map(|member| self.incident_of(&member.decision.id).transpose());
        let known = known.transpose()?;
        let going_on = standing.filter(|s| s.firing || known.as_ref() == Some(&s.id));
        let (id, revision) = match going_on {
            Some(standing) => (standing.id, standing.revision + 1),
            None => (self.new_id(labels, &members), 1),
        };
        let mut newest = self.told_of(&id)?;
        for member in &members {
            newest.insert(member.decision.id.clone(), (member.decision.clone(), true));
        }
        let alerts: Vec<(Decision, bool)> = newest.into_values().collect();
        // Those that version 3 stored have no names.
        let group = serde_json::from_str(labels).unwrap_or_default();
        let told = Incident { id: &id, revision, group, alerts: &alerts };
        let body = incident::encode(&told).map_err(|source| OutboxError::Encode {
            id: id.clone(),
            revision,
            source,
        })?;
        let seq = self.store((&id, revision, labels), &body, told.firing(), &members)?;
        self.supersede(&id, seq)?;
        Ok(())
    }

    fn store(
        &self,
        (id, revision, labels): (&str, u32, &str),
        body: &str,
        firing: usize,
        members: &[Member],
    ) -> rusqlite::Result<i64> {
        self.transaction
            .prepare_cached(
                "INSERT INTO incidents (receiver, id, revision, labels, firing, body, stored_at, state, next_attempt_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'pending', ?7)",
            )?
            .execute(params![self.receiver, id, revision, labels, firing as i64, body, self.now_ns])?;
        let seq = self.transaction.last_insert_rowid();
        let mut mark = self.transaction.prepare_cached(
            "UPDATE deliveries SET incident = ?4 WHERE id = ?1 AND revision = ?2 AND receiver = ?3",
        )?;
        for member in members {
            mark.execute(params![member.decision.id, member.revision, self.receiver, seq])?;
        }
        Ok(seq)
    }

    /// A message tells all that earlier ones of its incident tell: those that still wait are not sent any more. What one tells
    /// that may be on its way at this moment counts as attempted.
    fn supersede(&self, id: &str, by: i64) -> rusqlite::Result<()> {
        const EARLIER: &str = "receiver = ?1 AND id = ?2 AND seq < ?3 AND state = 'pending'";
        let of = params![self.receiver, id, by];
        let deliveries = format!(
            "UPDATE deliveries SET next_attempt_at = ?4, incident = ?3,
                 first_attempt_at = coalesce(first_attempt_at, iif(incident <= ?5, ?4, NULL))
             WHERE receiver = ?1 AND state = 'pending' AND incident IN (SELECT seq FROM incidents WHERE {EARLIER})"
        );
        let perhaps_sent = if self.under_way.contains(id) { i64::MAX } else { self.made_before };
        let moved = params![self.receiver, id, by, self.now_ns, perhaps_sent];
        self.transaction.prepare_cached(&deliveries)?.execute(moved)?;
        let messages = format!("UPDATE incidents SET state = 'superseded' WHERE {EARLIER}");
        self.transaction.prepare_cached(&messages)?.execute(of)?;
        Ok(())
    }

    /// The incident that told of an alert.
    fn incident_of(&self, alert: &str) -> Result<Option<String>, OutboxError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT i.id FROM deliveries d JOIN incidents i ON i.seq = d.incident
             WHERE d.id = ?1 AND d.receiver = ?2 ORDER BY d.revision DESC LIMIT 1",
        )?;
        Ok(statement.query_row(params![alert, self.receiver], |row| row.get(0)).optional()?)
    }

    /// The newest revision that an incident told of each of its alerts, and whether the receiver has yet to hear of it.
    fn told_of(&self, id: &str) -> Result<BTreeMap<String, (Decision, bool)>, OutboxError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT a.decision, d.state = 'pending' FROM incidents i JOIN deliveries d ON d.incident = i.seq JOIN alerts a ON a.seq = d.alert
             WHERE i.receiver = ?1 AND i.id = ?2 ORDER BY d.revision",
        )?;
        let mut rows = statement.query(params![self.receiver, id])?;
        let mut told = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let decision = read(row, 0)?;
            told.insert(decision.id.clone(), (decision, row.get(1)?));
        }
        Ok(told)
    }

    /// Made of what is stored of its first alert, and the same whenever it is made.
    fn new_id(&self, labels: &str, members: &[Member]) -> String {
        let first = members.first().map_or((String::new(), 0), |m| (m.decision.id.clone(), m.revision));
        let mut hash = Sha256::new();
        for part in [self.receiver, labels, &first.0] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(first.1.to_le_bytes());
        hex(&hash.finalize()[..16])
    }
}

/// A decision of a row.
pub(super) fn read(row: &rusqlite::Row<'_>, column: usize) -> Result<Decision, OutboxError> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    sonic_rs::from_str(text).map_err(OutboxError::Corrupt)
}
