//! Letting go of alerts that are over and done with.
//!
//! Of an alert that goes its id and last revision stay, some sixty bytes: a replay of the log hands in what was decided
//! long ago, and nobody is to be told of it again.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Outbox, OutboxError};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Alerts, with all their revisions.
    pub alerts: u64,
    /// There is more to look at: take another step.
    pub more: bool,
}

/// One revision, as the pass comes to it.
struct Found {
    seq: i64,
    id: String,
    stored_at_ns: i64,
}

impl Outbox {
    /// Removes alerts whose last revision was stored before `before_ns`, wall time, and which are over, and done with by
    /// every sink of this config: delivered, given up or passed over. Looks at `lot` revisions from where the last step
    /// ended, oldest first, in one short transaction. The alert of the newest revision stays: a number that is free at the
    /// end would be given again, and who follows the alerts by number would miss the next ones.
    pub fn prune(&mut self, before_ns: i64, lot: usize) -> Result<Pruned, OutboxError> {
        let transaction = self.connection.transaction()?;
        let found = found(&transaction, self.pruned_to, lot)?;
        let newest = newest(&transaction)?;
        let mut alerts = 0;
        let mut pruned_to = self.pruned_to;
        for Found { seq, id, stored_at_ns } in &found {
            if *stored_at_ns >= before_ns {
                break;
            }
            pruned_to = *seq;
            if newest.as_ref() != Some(id)
                && let Some(revision) = last_revision(&transaction, id, before_ns)?
                && !waits(&transaction, id, &self.receivers)?
            {
                remove(&transaction, id, revision)?;
                alerts += 1;
            }
        }
        let more = found.len() == lot && found.last().is_some_and(|last| last.seq == pruned_to);
        if !more {
            remove_incidents(&transaction, before_ns)?;
            pruned_to = 0;
        }
        transaction.commit()?;
        self.pruned_to = pruned_to;
        Ok(Pruned { alerts, more })
    }
}

fn found(transaction: &Transaction<'_>, after: i64, lot: usize) -> rusqlite::Result<Vec<Found>> {
    let mut statement = transaction
        .prepare_cached("SELECT seq, id, stored_at FROM alerts WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let rows = statement.query_map(params![after, lot as i64], |row| {
        Ok(Found { seq: row.get(0)?, id: row.get(1)?, stored_at_ns: row.get(2)? })
    })?;
    rows.collect()
}

fn newest(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    let mut statement = transaction.prepare_cached("SELECT id FROM alerts ORDER BY seq DESC LIMIT 1")?;
    statement.query_row([], |row| row.get(0)).optional()
}

/// If it is over and old; `None` also of one that went with an earlier revision.
fn last_revision(transaction: &Transaction<'_>, id: &str, before_ns: i64) -> rusqlite::Result<Option<u32>> {
    let mut statement = transaction.prepare_cached(
        "SELECT revision, state NOT IN ('raised', 'revised') AND stored_at < ?2 FROM alerts
         WHERE id = ?1 ORDER BY revision DESC LIMIT 1",
    )?;
    let mut rows = statement.query(params![id, before_ns])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (revision, goes): (u32, bool) = (row.get(0)?, row.get(1)?);
    Ok(goes.then_some(revision))
}

/// A sink has yet to take a revision of it. Of sinks that are configured no more nobody waits.
fn waits(transaction: &Transaction<'_>, id: &str, receivers: &[String]) -> rusqlite::Result<bool> {
    let mut statement =
        transaction.prepare_cached("SELECT receiver FROM deliveries WHERE id = ?1 AND state = 'pending'")?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        if receivers.iter().any(|receiver| row.get_ref(0).is_ok_and(|of| of.as_str() == Ok(receiver))) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove(transaction: &Transaction<'_>, id: &str, revision: u32) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO removed (id, revision) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET revision = ?2",
        )?
        .execute(params![id, revision])?;
    transaction.prepare_cached("DELETE FROM deliveries WHERE id = ?1")?.execute([id])?;
    transaction.prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Messages of incidents of whose alerts none is left, but for one by which something still fires.
fn remove_incidents(transaction: &Transaction<'_>, before_ns: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM incidents AS i WHERE i.stored_at < ?1 AND i.state <> 'pending'
                 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.incident = i.seq)
                 AND (i.firing = 0 OR EXISTS (SELECT 1 FROM incidents l WHERE l.receiver = i.receiver
                                              AND l.labels = i.labels AND l.seq > i.seq))",
        )?
        .execute([before_ns])?;
    Ok(())
}

/// Whether a revision was there once and is gone.
pub(super) fn is_removed(transaction: &Transaction<'_>, id: &str, revision: u32) -> rusqlite::Result<bool> {
    let mut statement = transaction
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM removed WHERE id = ?1 AND revision >= ?2)")?;
    statement.query_row(params![id, revision], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Fixture, alert, attempt};
    use super::super::{Next, Outbox, Stored};
    use crate::config::plan::GroupPlan;

    /// Takes steps of `lot` until there is nothing to be done; gives how many alerts went.
    fn prune(outbox: &mut Outbox, before_ns: i64, lot: usize) -> u64 {
        let mut alerts = 0;
        for _ in 0..100 {
            let step = outbox.prune(before_ns, lot).unwrap();
            alerts += step.alerts;
            if !step.more {
                return alerts;
            }
        }
        panic!("it never ends");
    }

    fn deliver(outbox: &mut Outbox, receiver: &str, next: Next) {
        loop {
            let due = outbox.due(receiver, 1_000, 99).unwrap();
            if due.is_empty() {
                return;
            }
            let attempts: Vec<_> = due.iter().map(|due| attempt(due, next)).collect();
            outbox.record_attempts(receiver, "t", &attempts).unwrap();
        }
    }

    fn left(outbox: &Outbox) -> Vec<String> {
        let rows = outbox.reader().unwrap().alerts_page(None, 99, &Default::default()).unwrap();
        rows.iter().map(|row| row.alert.decision.message_id()).collect()
    }

    #[test]
    fn what_is_over_and_done_with_goes_and_is_never_told_again() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let all = [alert("a1", 1, "k"), alert("a1", 2, "k"), alert("b1", 1, "k")];
        outbox.store(&all, 10).unwrap();
        deliver(&mut outbox, "on_call", Next::Delivered);
        assert_eq!(prune(&mut outbox, 1_000, 9), 0, "the other sink waits for it");
        deliver(&mut outbox, "console", Next::GiveUp);
        assert_eq!(prune(&mut outbox, 10, 9), 0, "it is too young");
        assert_eq!(prune(&mut outbox, 1_000, 1), 1, "step by step");
        assert_eq!(left(&outbox), ["b1_1"], "it still fires");
        assert_eq!(outbox.store(&all, 2_000).unwrap(), Stored { known: 3, ..Stored::default() });
        assert_eq!(outbox.due("on_call", 3_000, 9).unwrap(), []);
        assert_eq!(outbox.counts("console").unwrap().failed, 1, "what was given up goes with it");
        // A revision that nobody has heard of.
        assert_eq!(outbox.store(&[alert("a1", 3, "k")], 2_000).unwrap().new, 1);
        assert_eq!(outbox.due("on_call", 3_000, 9).unwrap().len(), 1);
        drop(outbox);
        assert_eq!(fixture.open().store(&all, 3_000).unwrap().known, 3, "over a restart too");
    }

    #[test]
    fn one_that_goes_on_holds_up_no_other_and_one_of_a_sink_of_before_holds_up_nothing() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let all = [alert("a1", 1, "k"), alert("b1", 1, "k"), alert("b1", 2, "k"), alert("c1", 1, "k")];
        outbox.store(&all, 10).unwrap();
        deliver(&mut outbox, "on_call", Next::Delivered);
        drop(outbox);
        let mut outbox = Outbox::open(&fixture.path, &["on_call".to_owned()]).unwrap();
        assert_eq!(prune(&mut outbox, 1_000, 1), 1);
        assert_eq!(left(&outbox), ["c1_1", "a1_1"]);
        outbox.store(&[alert("a1", 2, "k"), alert("c1", 2, "k")], 500).unwrap();
        deliver(&mut outbox, "on_call", Next::Delivered);
        assert_eq!(prune(&mut outbox, 500, 1), 0, "by its last revision");
        assert_eq!(prune(&mut outbox, 501, 1), 1);
    }

    #[test]
    fn numbers_are_given_out_once() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let newest = |outbox: &Outbox| {
            outbox.reader().unwrap().alerts_page(None, 1, &Default::default()).unwrap()[0].seq
        };
        outbox.store(&[alert("a1", 1, "k"), alert("b1", 1, "k"), alert("b1", 2, "k")], 10).unwrap();
        outbox.store(&[alert("a1", 2, "k")], 20).unwrap();
        deliver(&mut outbox, "on_call", Next::Delivered);
        deliver(&mut outbox, "console", Next::Delivered);
        let before = newest(&outbox);
        assert_eq!(prune(&mut outbox, 1_000, 9), 1, "the newest stays");
        outbox.store(&[alert("c1", 1, "k")], 30).unwrap();
        assert_eq!(newest(&outbox), before + 1);
        assert_eq!(prune(&mut outbox, 1_000, 9), 1, "until there is a newer one");
    }

    #[test]
    fn removing_looks_at_the_deliveries_of_the_alert_alone() {
        let fixture = Fixture::new();
        fixture.open();
        let connection = rusqlite::Connection::open(&fixture.path).unwrap();
        let sql = "EXPLAIN QUERY PLAN SELECT 1 FROM deliveries WHERE alert = 1";
        let plan: String = connection.query_row(sql, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("deliveries_by_alert"), "{plan}");
    }

    #[test]
    fn messages_of_incidents_go_with_their_alerts_and_a_new_one_has_an_id_of_its_own() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let short = Duration::from_nanos(1);
        let group = GroupPlan { by: vec![], wait: short, interval: short };
        let tell = |outbox: &mut Outbox, id: &str, revision, at_ns| {
            outbox.store(&[alert(id, revision, "k")], at_ns).unwrap();
            outbox.gather("on_call", &group, at_ns + 10, &[], &Default::default()).unwrap();
            let due = outbox.due_incidents("on_call", at_ns + 10, 9).unwrap();
            outbox.record_attempts("on_call", "t", &[attempt(&due[0], Next::Delivered)]).unwrap();
            due[0].id.clone()
        };
        let first = tell(&mut outbox, "a1", 1, 10);
        assert_eq!(tell(&mut outbox, "a1", 2, 40), first);
        outbox.store(&[alert("c1", 1, "k")], 45).unwrap();
        deliver(&mut outbox, "console", Next::Delivered);
        assert_eq!(prune(&mut outbox, 900, 9), 1);
        let count = || -> i64 {
            let sql = "SELECT count(*) FROM incidents";
            rusqlite::Connection::open(&fixture.path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(count(), 0);
        assert_ne!(tell(&mut outbox, "b1", 1, 950), first);
        assert_eq!(prune(&mut outbox, 2_000, 9), 0);
        assert_eq!(count(), 1, "something fires by it");
    }
}
