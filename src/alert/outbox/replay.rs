//! Trying again what was given up.

use rusqlite::{Transaction, params};

use super::{Outbox, OutboxError};

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Deliveries that wait again.
    pub deliveries: u64,
    /// Those that need not be told any more: a later one has been delivered.
    pub superseded: u64,
}

impl Outbox {
    /// Puts a failed delivery back in the queue with a fresh schedule; false if it has not failed. Where it was part of an
    /// incident's message, the message is sent again as it was, with all that it tells. What a later message that was
    /// delivered has overtaken is not taken up: it would say that what is over has begun.
    /// Asking for it also takes a receiver disabled by a 410 up again.
    pub fn replay_failed(
        &mut self,
        id: &str,
        revision: u32,
        receiver: &str,
        now_ns: i64,
    ) -> Result<Replayed, OutboxError> {
        let transaction = self.connection.transaction()?;
        supersede(&transaction, Some(receiver))?;
        let found = {
            let mut statement = transaction.prepare_cached(
                "SELECT incident FROM deliveries
                 WHERE id = ?1 AND revision = ?2 AND receiver = ?3 AND state = 'failed'",
            )?;
            let mut rows = statement.query(params![id, revision, receiver])?;
            rows.next()?.map(|row| row.get::<_, Option<i64>>(0)).transpose()?
        };
        match found {
            None => {
                let superseded = u64::from(is_superseded(&transaction, id, revision, receiver)?);
                transaction.commit()?;
                return Ok(Replayed { deliveries: 0, superseded });
            }
            Some(Some(incident)) => {
                again(&transaction, "deliveries", "incident = ?2", params![now_ns, incident])?
            }
            Some(None) => {
                let one = "id = ?2 AND revision = ?3 AND receiver = ?4";
                again(&transaction, "deliveries", one, params![now_ns, id, revision, receiver])?
            }
        };
        if let Some(Some(incident)) = found {
            again(&transaction, "incidents", "seq = ?2", params![now_ns, incident])?;
        }
        transaction.execute("DELETE FROM disabled WHERE receiver = ?1", [receiver])?;
        transaction.commit()?;
        Ok(Replayed { deliveries: 1, superseded: 0 })
    }

    /// The same of everything that `receiver` was not told, or, without one, nobody was.
    pub fn replay_all_failed(
        &mut self,
        receiver: Option<&str>,
        now_ns: i64,
    ) -> Result<Replayed, OutboxError> {
        let transaction = self.connection.transaction()?;
        let superseded = supersede(&transaction, receiver)?;
        let of = "(?2 IS NULL OR receiver = ?2)";
        let deliveries = again(&transaction, "deliveries", of, params![now_ns, receiver])?;
        again(&transaction, "incidents", of, params![now_ns, receiver])?;
        transaction.execute("DELETE FROM disabled WHERE (?1 IS NULL OR receiver = ?1)", params![receiver])?;
        transaction.commit()?;
        Ok(Replayed { deliveries: deliveries as u64, superseded })
    }
}

/// Marks what was given up and need not be told any more: the receiver has a later revision, or a later message of the
/// same incident. Gives how many deliveries that were.
fn supersede(transaction: &Transaction<'_>, receiver: Option<&str>) -> rusqlite::Result<u64> {
    let deliveries = transaction.execute(
        "UPDATE deliveries AS d SET state = 'superseded'
         WHERE d.state = 'failed' AND (?1 IS NULL OR d.receiver = ?1) AND iif(d.incident IS NULL,
             EXISTS (SELECT 1 FROM deliveries l WHERE l.id = d.id AND l.receiver = d.receiver
                     AND l.revision > d.revision AND l.state = 'delivered'),
             EXISTS (SELECT 1 FROM incidents i JOIN incidents l ON l.receiver = i.receiver AND l.id = i.id
                     WHERE i.seq = d.incident AND l.revision > i.revision AND l.state = 'delivered'))",
        params![receiver],
    )?;
    transaction.execute(
        "UPDATE incidents AS i SET state = 'superseded'
         WHERE i.state = 'failed' AND (?1 IS NULL OR i.receiver = ?1)
             AND EXISTS (SELECT 1 FROM incidents l WHERE l.receiver = i.receiver AND l.id = i.id
                         AND l.revision > i.revision AND l.state = 'delivered')",
        params![receiver],
    )?;
    Ok(deliveries as u64)
}

fn is_superseded(
    transaction: &Transaction<'_>,
    id: &str,
    revision: u32,
    receiver: &str,
) -> rusqlite::Result<bool> {
    let mut statement = transaction.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries
                        WHERE id = ?1 AND revision = ?2 AND receiver = ?3 AND state = 'superseded')",
    )?;
    statement.query_row(params![id, revision, receiver], |row| row.get(0))
}

/// Of `table`, which is `deliveries` or `incidents`; `?1`: now. What was given up without an attempt keeps its reason until
/// there is one.
fn again(
    transaction: &Transaction<'_>,
    table: &str,
    which: &str,
    params: impl rusqlite::Params,
) -> rusqlite::Result<usize> {
    let sql = format!(
        "UPDATE {table} SET state = 'pending', attempts = 0, next_attempt_at = ?1
         WHERE {which} AND state = 'failed'"
    );
    transaction.execute(&sql, params)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Fixture, alert, attempt};
    use super::super::{Counts, Next};
    use super::Replayed;
    use crate::config::plan::GroupPlan;
    use crate::types::AlertState;

    #[test]
    fn what_a_later_revision_has_overtaken_is_not_replayed() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k"), alert("a1", 2, "k"), alert("b1", 1, "k")], 10).unwrap();
        for due in outbox.due("on_call", 10, 9).unwrap() {
            outbox.record_attempts("on_call", "t", &[attempt(&due, Next::GiveUp)]).unwrap();
        }
        let end = outbox.due("on_call", 10, 9).unwrap();
        assert_eq!(end[0].message_id, "a1_2");
        outbox.record_attempts("on_call", "t", &[attempt(&end[0], Next::Delivered)]).unwrap();
        assert_eq!(outbox.counts("on_call").unwrap().failed, 2);
        let superseded = Replayed { deliveries: 0, superseded: 1 };
        let one = outbox.replay_failed("a1", 1, "on_call", 40).unwrap();
        assert_eq!(one, superseded, "it would fire at the receiver again");
        assert_eq!(outbox.replay_failed("x", 1, "on_call", 40).unwrap(), Replayed::default());
        assert_eq!(outbox.replay_all_failed(None, 40).unwrap(), Replayed { deliveries: 1, superseded: 0 });
        let due = outbox.due("on_call", 40, 9).unwrap();
        assert_eq!(due.iter().map(|due| due.message_id.as_str()).collect::<Vec<_>>(), ["b1_1"]);
        assert_eq!(outbox.counts("on_call").unwrap(), Counts { pending: 1, ..Counts::default() });
        assert_eq!(outbox.reader().unwrap().failed(9).unwrap(), [], "there is nothing to be done about it");
    }

    #[test]
    fn an_incident_s_message_that_a_later_one_has_overtaken_is_not_replayed() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let short = Duration::from_nanos(1);
        let group = GroupPlan { by: vec![], wait: short, interval: short };
        let tell = |outbox: &mut super::Outbox, at_ns, next| {
            outbox.gather("on_call", &group, at_ns, &[], &Default::default()).unwrap();
            let due = outbox.due_incidents("on_call", at_ns, 9).unwrap();
            outbox.record_attempts("on_call", "t", &[attempt(&due[0], next)]).unwrap();
        };
        let mut first = alert("a1", 1, "k");
        first.decision.state = AlertState::Raised;
        outbox.store(&[first], 10).unwrap();
        tell(&mut outbox, 20, Next::GiveUp);
        outbox.store(&[alert("a1", 2, "k")], 30).unwrap();
        tell(&mut outbox, 40, Next::Delivered);
        let all = outbox.replay_all_failed(Some("on_call"), 50).unwrap();
        assert_eq!(all, Replayed { deliveries: 0, superseded: 1 });
        assert_eq!(outbox.due_incidents("on_call", 50, 9).unwrap(), []);
        assert_eq!(outbox.counts("on_call").unwrap(), Counts::default());
    }

    /// Gives up what of these alerts is due, or delivers it.
    fn settle(outbox: &mut super::Outbox, receiver: &str, next: Next) {
        for due in outbox.due(receiver, 1_000, 9).unwrap() {
            outbox.record_attempts(receiver, "t", &[attempt(&due, next)]).unwrap();
        }
    }

    #[test]
    fn only_a_later_revision_that_the_receiver_itself_has_takes_the_place_of_one() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox
            .store(&[alert("a1", 1, "k"), alert("a1", 2, "k"), alert("b1", 1, "k"), alert("b1", 2, "k")], 10)
            .unwrap();
        // The first revisions, then the second ones; of the console's none is ever delivered.
        [Next::GiveUp, Next::GiveUp].iter().for_each(|next| settle(&mut outbox, "console", *next));
        settle(&mut outbox, "on_call", Next::Delivered);
        settle(&mut outbox, "on_call", Next::GiveUp);
        outbox.store(&[alert("c1", 1, "k"), alert("c1", 2, "k")], 20).unwrap();
        settle(&mut outbox, "on_call", Next::GiveUp);
        settle(&mut outbox, "on_call", Next::Delivered);
        [Next::GiveUp, Next::GiveUp].iter().for_each(|next| settle(&mut outbox, "console", *next));
        let none = Replayed::default();
        assert_eq!(outbox.replay_failed("a1", 1, "on_call", 40).unwrap(), none, "it was delivered");
        assert_eq!(outbox.replay_failed("c1", 2, "on_call", 40).unwrap(), none, "so was this");
        assert_eq!(
            outbox.replay_failed("c1", 1, "on_call", 40).unwrap(),
            Replayed { deliveries: 0, superseded: 1 }
        );
        let one = Replayed { deliveries: 1, superseded: 0 };
        assert_eq!(outbox.replay_failed("c1", 1, "console", 40).unwrap(), one, "it was told of none of them");
        assert_eq!(outbox.counts("console").unwrap().failed, 5, "the others");
        let on_call = outbox.replay_all_failed(Some("on_call"), 50).unwrap();
        assert_eq!(on_call, Replayed { deliveries: 2, superseded: 0 }, "revisions after what was delivered");
        let console = outbox.replay_all_failed(None, 50).unwrap();
        assert_eq!(console, Replayed { deliveries: 5, superseded: 0 }, "another receiver has heard of some");
    }

    #[test]
    fn a_replay_of_one_receiver_passes_over_nothing_of_another_s() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k"), alert("a1", 2, "k")], 10).unwrap();
        for receiver in ["on_call", "console"] {
            settle(&mut outbox, receiver, Next::GiveUp);
            settle(&mut outbox, receiver, Next::Delivered);
        }
        let one = Replayed { deliveries: 0, superseded: 1 };
        assert_eq!(outbox.replay_all_failed(Some("on_call"), 40).unwrap(), one);
        assert_eq!(outbox.replay_failed("x", 1, "on_call", 40).unwrap(), Replayed::default());
        assert_eq!(outbox.counts("console").unwrap().failed, 1, "nobody has asked for it");
        assert_eq!(outbox.replay_all_failed(None, 50).unwrap(), one, "until somebody does");
    }

    #[test]
    fn only_a_later_message_of_the_same_incident_that_was_delivered_takes_the_place_of_one() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let short = Duration::from_nanos(1);
        let by_key = GroupPlan { by: vec![crate::types::silence::Label::Key], wait: short, interval: short };
        // Each time the messages of these alerts, as they come to be due.
        let mut tell = |alerts: &[(&str, u32)], at_ns, next: &[Next]| {
            let alerts: Vec<_> = alerts
                .iter()
                .map(|(id, revision)| {
                    let mut alert = alert(id, *revision, id);
                    alert.decision.state = AlertState::Revised;
                    alert
                })
                .collect();
            outbox.store(&alerts, at_ns).unwrap();
            outbox.gather("on_call", &by_key, at_ns + 5, &[], &Default::default()).unwrap();
            let due = outbox.due_incidents("on_call", at_ns + 5, 9).unwrap();
            assert_eq!(due.len(), next.len());
            for (due, next) in due.iter().zip(next) {
                outbox.record_attempts("on_call", "t", &[attempt(due, *next)]).unwrap();
            }
        };
        // Of b the second message, whose number is higher, is delivered; of a and c never one.
        tell(&[("a", 1), ("b", 1), ("c", 1)], 10, &[Next::GiveUp, Next::Delivered, Next::GiveUp]);
        tell(&[("b", 2), ("c", 2)], 30, &[Next::Delivered, Next::GiveUp]);
        let all = outbox.replay_all_failed(Some("on_call"), 50).unwrap();
        assert_eq!(all, Replayed { deliveries: 3, superseded: 0 });
        assert_eq!(outbox.due_incidents("on_call", 50, 9).unwrap().len(), 2, "of c one after the other");
    }
}
