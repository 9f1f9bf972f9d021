//! What waits for a receiver, since when, and when its turn comes by the schedule.

use rusqlite::{OptionalExtension, params};

use super::queue::IN_ORDER;
use super::{Outbox, OutboxError};

/// Of what a receiver is to be told and no silence holds back. Times are wall time, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// When the oldest of it was stored.
    pub oldest_stored_at_ns: i64,
    /// That were made of the oldest; those before their time are not counted.
    pub attempts: u32,
    /// When the first of it falls due. What waits for an earlier revision of its alert has no turn yet.
    pub next_attempt_at_ns: i64,
}

/// Messages of incidents to be sent. One is held back while all that it tells is.
const MESSAGES: &str = "FROM incidents i WHERE i.receiver = ?1 AND i.state = 'pending'
     AND EXISTS (SELECT 1 FROM deliveries d WHERE d.incident = i.seq AND d.silenced_by IS NULL)";

/// Neither the delivery nor one that it waits for is held back.
const UNHELD: &str = "AND d.silenced_by IS NULL
     AND NOT EXISTS (SELECT 1 FROM deliveries h WHERE h.id = d.id AND h.revision < d.revision AND h.receiver = d.receiver
                     AND h.state = 'pending' AND h.silenced_by IS NOT NULL)";

impl Outbox {
    /// `grouped`: alerts that no message tells of yet are put together first, and do not wait for the receiver.
    pub fn waiting(&mut self, receiver: &str, grouped: bool) -> Result<Option<Waiting>, OutboxError> {
        let messages = self.waiting_messages(receiver)?;
        let alerts = if grouped { None } else { self.waiting_alerts(receiver)? };
        Ok(match (messages, alerts) {
            (Some(a), Some(b)) => {
                let oldest = if a.oldest_stored_at_ns <= b.oldest_stored_at_ns { a } else { b };
                let next_attempt_at_ns = a.next_attempt_at_ns.min(b.next_attempt_at_ns);
                Some(Waiting { next_attempt_at_ns, ..oldest })
            }
            (one, other) => one.or(other),
        })
    }

    fn waiting_messages(&mut self, receiver: &str) -> Result<Option<Waiting>, OutboxError> {
        let sql = format!(
            "SELECT i.stored_at, i.attempts,
                    (SELECT min(i.next_attempt_at) {MESSAGES}
                         AND NOT EXISTS (SELECT 1 FROM incidents e WHERE e.receiver = i.receiver AND e.id = i.id
                                         AND e.revision < i.revision AND e.state = 'pending'))
             {MESSAGES} ORDER BY i.seq LIMIT 1"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let found = statement.query_row([receiver], |row| {
            let (oldest_stored_at_ns, attempts, next): (_, _, Option<i64>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(next.map(|next_attempt_at_ns| Waiting { oldest_stored_at_ns, attempts, next_attempt_at_ns }))
        });
        Ok(found.optional()?.flatten())
    }

    fn waiting_alerts(&mut self, receiver: &str) -> Result<Option<Waiting>, OutboxError> {
        const PENDING: &str =
            "FROM deliveries d WHERE d.receiver = ?1 AND d.state = 'pending' AND d.incident IS NULL";
        // In a storm thousands wait, and this is asked at every turn: without a silence the index alone answers.
        let unheld = if self.holds_back(receiver)? { UNHELD } else { "" };
        let oldest: Option<i64> = self
            .connection
            .prepare_cached(&format!("SELECT min(d.alert) {PENDING} {unheld}"))?
            .query_row([receiver], |row| row.get(0))?;
        let Some(oldest) = oldest else { return Ok(None) };
        let (oldest_stored_at_ns, attempts) = self
            .connection
            .prepare_cached(
                "SELECT a.stored_at, d.attempts FROM alerts a JOIN deliveries d ON d.alert = a.seq
                 WHERE a.seq = ?1 AND d.receiver = ?2",
            )?
            .query_row(params![oldest, receiver], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let sql = format!(
            "SELECT d.next_attempt_at {PENDING} {unheld} AND {IN_ORDER} ORDER BY d.next_attempt_at LIMIT 1"
        );
        let next =
            self.connection.prepare_cached(&sql)?.query_row([receiver], |row| row.get(0)).optional()?;
        Ok(next.map(|next_attempt_at_ns| Waiting { oldest_stored_at_ns, attempts, next_attempt_at_ns }))
    }

    fn holds_back(&mut self, receiver: &str) -> Result<bool, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM deliveries
                            WHERE receiver = ?1 AND silenced_by IS NOT NULL AND state = 'pending')",
        )?;
        Ok(statement.query_row([receiver], |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Next;
    use super::super::silenced_tests::silence;
    use super::super::tests::{Fixture, alert, attempt};
    use super::*;
    use crate::config::plan::GroupPlan;

    fn found(oldest_stored_at_ns: i64, attempts: u32, next_attempt_at_ns: i64) -> Option<Waiting> {
        Some(Waiting { oldest_stored_at_ns, attempts, next_attempt_at_ns })
    }

    #[test]
    fn it_is_the_oldest_that_waits_and_the_first_that_may_go() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        assert_eq!(outbox.waiting("on_call", false).unwrap(), None);
        outbox.store(&[alert("a1", 1, "k"), alert("a1", 2, "k")], 10).unwrap();
        outbox.store(&[alert("b1", 1, "k")], 20).unwrap();
        assert_eq!(outbox.waiting("on_call", false).unwrap(), found(10, 0, 10));
        for due in outbox.due("on_call", 20, 9).unwrap() {
            let at_ns = if due.id == "a1" { 900 } else { 500 };
            outbox.record_attempts("on_call", "t", &[attempt(&due, Next::Retry { at_ns })]).unwrap();
        }
        // The second revision of the first was due at 10, and waits behind the first one.
        assert_eq!(outbox.waiting("on_call", false).unwrap(), found(10, 1, 500));
        let early = outbox.longest_waiting("on_call", 30, &[], &Default::default()).unwrap().unwrap();
        outbox.record_attempts("on_call", "t", &[attempt(&early, Next::Waits)]).unwrap();
        assert_eq!(outbox.waiting("on_call", false).unwrap(), found(10, 1, 500), "nothing of the schedule");
        drop(outbox);
        assert_eq!(fixture.open().waiting("on_call", false).unwrap(), found(10, 1, 500), "over a restart");
        assert_eq!(fixture.open().waiting("console", false).unwrap(), found(10, 0, 10), "each its own");
    }

    #[test]
    fn what_a_silence_holds_back_is_not_waited_for() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k1")], 10).unwrap();
        outbox.store(&[alert("a1", 2, "k1"), alert("b1", 1, "k2")], 20).unwrap();
        outbox.hold_back("on_call", 30, &[silence("key=k1", 0, 700)], 9).unwrap();
        assert_eq!(outbox.waiting("on_call", false).unwrap(), found(20, 0, 20));
        outbox.hold_back("on_call", 30, &[silence("stream=pumps", 0, 800)], 9).unwrap();
        assert_eq!(outbox.waiting("on_call", false).unwrap(), None);
    }

    #[test]
    fn of_a_group_messages_wait_and_not_what_is_yet_to_be_put_together() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let short = Duration::from_nanos(1);
        let group = GroupPlan { by: vec![], wait: short, interval: short };
        outbox.store(&[alert("a1", 1, "k")], 10).unwrap();
        assert_eq!(outbox.waiting("on_call", true).unwrap(), None);
        outbox.gather("on_call", &group, 30, &[], &Default::default()).unwrap();
        let message = outbox.due_incidents("on_call", 30, 9).unwrap().remove(0);
        outbox.record_attempts("on_call", "t", &[attempt(&message, Next::Retry { at_ns: 600 })]).unwrap();
        outbox.store(&[alert("c1", 1, "k")], 40).unwrap();
        assert_eq!(outbox.waiting("on_call", true).unwrap(), found(30, 1, 600));
    }
}
