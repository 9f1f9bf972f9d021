//! Which delivery asks a receiver whether it takes anything again.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{OptionalExtension, Row, params};

use super::due::{DELIVERIES, Due, WAITING};
use super::incidents::read;
use super::queue::IN_ORDER;
use super::silenced::holding;
use super::{Outbox, OutboxError};
use crate::types::Silence;

/// So many alerts are held against the silences before something else is to ask.
const LOT: usize = 256;

impl Outbox {
    /// Of what the receiver has not taken at a first attempt, the one that has waited longest; of those not in `asked`,
    /// that one of them which it never takes does not ask for ever. Also before its time has come, see [`Due::early`]; but
    /// nothing that one of `silences`, those in force, fits.
    pub fn longest_waiting(
        &mut self,
        receiver: &str,
        now_ns: i64,
        silences: &[Arc<Silence>],
        asked: &HashSet<String>,
    ) -> Result<Option<Due>, OutboxError> {
        let message = self.longest_waiting_incident(receiver, now_ns, silences, asked)?;
        if message.is_some() {
            return Ok(message);
        }
        let sql = format!(
            "SELECT d.id, d.revision, a.decision FROM deliveries d JOIN alerts a ON a.seq = d.alert
             WHERE d.receiver = ?1 AND d.state = 'pending' AND d.incident IS NULL AND d.attempts > 0
                 AND d.silenced_by IS NULL AND {IN_ORDER}
             ORDER BY d.alert LIMIT ?2"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let looked = asked.len() + if silences.is_empty() { 1 } else { LOT };
        let mut rows = statement.query(params![receiver, looked as i64])?;
        while let Some(row) = rows.next()? {
            let (id, revision): (String, u32) = (row.get(0)?, row.get(1)?);
            if !asked.contains(&id) && !is_silenced(row, receiver, silences)? {
                return self.delivery(receiver, &id, revision, now_ns);
            }
        }
        Ok(None)
    }

    fn delivery(
        &self,
        receiver: &str,
        id: &str,
        revision: u32,
        now_ns: i64,
    ) -> Result<Option<Due>, OutboxError> {
        let sql = format!("{DELIVERIES} WHERE d.receiver = ?1 AND d.id = ?3 AND d.revision = ?4");
        let mut statement = self.connection.prepare_cached(&sql)?;
        Ok(statement.query_row(params![receiver, now_ns, id, revision], Due::read).optional()?)
    }

    fn longest_waiting_incident(
        &self,
        receiver: &str,
        now_ns: i64,
        silences: &[Arc<Silence>],
        asked: &HashSet<String>,
    ) -> Result<Option<Due>, OutboxError> {
        let sql = format!("{WAITING} AND i.attempts > 0 ORDER BY i.seq");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![receiver, now_ns])?;
        while let Some(row) = rows.next()? {
            let is_new = !asked.contains(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
            if is_new && !self.is_all_silenced(row.get(2)?, receiver, silences)? {
                return Ok(Some(Due::read(row)?));
            }
        }
        Ok(None)
    }
}

/// Whether a silence in force fits the alert of which the third column is the decision.
fn is_silenced(row: &Row<'_>, receiver: &str, silences: &[Arc<Silence>]) -> Result<bool, OutboxError> {
    if silences.is_empty() {
        return Ok(false);
    }
    Ok(holding(&read(row, 2)?, receiver, silences).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::silenced_tests::silence;
    use super::super::tests::{Fixture, alert, attempt};
    use super::super::{Attempt, Next};
    use super::*;

    #[test]
    fn it_is_the_oldest_that_was_refused_before_its_time_too_and_each_in_turn() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k"), alert("b1", 1, "k"), alert("c1", 1, "k")], 10).unwrap();
        let due = outbox.due("on_call", 10, 9).unwrap();
        let none = HashSet::new();
        assert_eq!(
            outbox.longest_waiting("on_call", 10, &[], &none).unwrap(),
            None,
            "nothing was refused yet"
        );
        let retries = [(&due[1], 50), (&due[0], 90)];
        for (due, at_ns) in retries {
            outbox.record_attempts("on_call", "t", &[attempt(due, Next::Retry { at_ns })]).unwrap();
        }
        // Fresh, and due; the last in line all the same.
        outbox.store(&[alert("d1", 1, "k")], 20).unwrap();
        let mut ask = |now_ns, silences: &[Arc<Silence>], asked: &[&str]| {
            let asked = asked.iter().map(|id| (*id).to_owned()).collect();
            outbox
                .longest_waiting("on_call", now_ns, silences, &asked)
                .unwrap()
                .map(|due| (due.id, due.early))
        };
        let found = |id: &str, early| Some((id.to_owned(), early));
        assert_eq!(ask(60, &[], &[]), found("a1", true));
        assert_eq!(ask(60, &[], &["a1"]), found("b1", false));
        assert_eq!(ask(60, &[], &["a1", "b1"]), None);
        assert_eq!(ask(95, &[], &[]), found("a1", false));
    }

    #[test]
    fn what_is_silenced_does_not_ask_and_a_silence_of_something_else_forbids_nothing() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k1"), alert("b1", 1, "k2")], 10).unwrap();
        for due in &outbox.due("on_call", 10, 9).unwrap() {
            outbox.record_attempts("on_call", "t", &[attempt(due, Next::Retry { at_ns: 90 })]).unwrap();
        }
        for (matcher, asks) in [("key=k1", Some("b1")), ("key=other", Some("a1")), ("stream=pumps", None)] {
            let silences = [silence(matcher, 0, 1_000)];
            let found = outbox.longest_waiting("on_call", 60, &silences, &HashSet::new()).unwrap();
            assert_eq!(
                found.as_ref().map(|due| (&*due.id, due.early)),
                asks.map(|id| (id, true)),
                "{matcher}"
            );
        }
    }

    #[test]
    fn an_attempt_before_its_time_that_fails_takes_nothing_of_the_schedule() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k")], 10).unwrap();
        let due = outbox.due("on_call", 10, 9).unwrap().remove(0);
        outbox.record_attempts("on_call", "t", &[attempt(&due, Next::Retry { at_ns: 90 })]).unwrap();
        let early = outbox.longest_waiting("on_call", 60, &[], &HashSet::new()).unwrap().unwrap();
        let refused = Attempt { error: Some("still away".into()), ..attempt(&early, Next::Waits) };
        outbox.record_attempts("on_call", "t", &[refused]).unwrap();
        assert_eq!(outbox.due("on_call", 89, 9).unwrap(), []);
        let then = outbox.due("on_call", 90, 9).unwrap().remove(0);
        assert_eq!((then.attempts, then.early), (1, false));
        let shown = outbox.reader().unwrap().alert("a1").unwrap();
        let told = shown[0].deliveries.iter().find(|told| told.receiver == "on_call").unwrap();
        assert_eq!(told.last_error.as_deref(), Some("still away"));
    }
}
