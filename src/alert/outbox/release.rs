//! Leaving deliveries to another Eddy.

use rusqlite::params;

use super::{Outbox, OutboxError};

impl Outbox {
    /// No more is sent of these revisions, (id, revision), to whoever has not got them. What they were is still known. One that
    /// is under way is not taken back. Gives how many deliveries it were.
    ///
    /// Only for what comes again to somebody: see [`Outbox::store_sent`].
    pub fn release(&mut self, revisions: &[(String, u32)]) -> Result<u64, OutboxError> {
        let transaction = self.connection.transaction()?;
        let mut released = 0;
        for (id, revision) in revisions {
            let mut statement = transaction.prepare_cached(
                "DELETE FROM deliveries WHERE id = ?1 AND revision = ?2 AND state = 'pending' AND incident IS NULL",
            )?;
            released += statement.execute(params![id, revision])? as u64;
        }
        transaction.commit()?;
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::PENDING;
    use super::super::tests::{Fixture, alert, attempt};
    use super::super::{Next, Outbox, Sent, Stored};

    fn ids(outbox: &mut Outbox, receiver: &str) -> Vec<String> {
        outbox.due(receiver, 1_000, 9).unwrap().into_iter().map(|due| due.message_id).collect()
    }

    #[test]
    fn what_is_left_to_another_is_not_sent_until_it_comes_again() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let sent: Vec<Sent> = [alert("a1", 1, "k"), alert("a1", 2, "k"), alert("b1", 1, "k")]
            .map(|alert| Sent { body: alert.decision.message_id(), alert })
            .to_vec();
        assert_eq!(outbox.store_sent(&sent, 10).unwrap().new, 3);
        let first = outbox.due("on_call", 1_000, 9).unwrap();
        outbox.record_attempts("on_call", "t", &[attempt(&first[0], Next::Delivered)]).unwrap();
        assert_eq!(outbox.release(&[("a1".into(), 1), ("a1".into(), 2)]).unwrap(), 3);
        assert_eq!([ids(&mut outbox, "on_call"), ids(&mut outbox, "console")], [["b1_1"], ["b1_1"]]);
        let rows = outbox.reader().unwrap().alert("a1").unwrap();
        assert_eq!(rows.len(), 2, "it stays on the page");

        let known = Stored { known: 3, ..Stored::default() };
        assert_eq!(outbox.store_sent(&sent, 20).unwrap(), known);
        assert_eq!(ids(&mut outbox, "on_call"), ["b1_1", "a1_2"], "the first it has");
        assert_eq!(ids(&mut outbox, "console"), ["b1_1", "a1_1"], "revisions in order");
        assert!(!outbox.is_settled("a1", 2).unwrap());
    }

    #[test]
    fn what_is_to_be_told_is_told_by_receiver_and_without_looking_at_what_was() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        outbox.store(&[alert("a1", 1, "k"), alert("b1", 1, "k")], 10).unwrap();
        let first = outbox.due("on_call", 1_000, 1).unwrap();
        outbox.record_attempts("on_call", "t", &[attempt(&first[0], Next::Delivered)]).unwrap();
        let reader = outbox.reader().unwrap();
        assert_eq!(reader.pending("on_call").unwrap(), [("b1".to_owned(), 1)]);
        assert_eq!(reader.pending("console").unwrap().len(), 2);
        let connection = rusqlite::Connection::open(&fixture.path).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {PENDING}");
        let plan: String = connection.query_row(&sql, ["on_call"], |row| row.get(3)).unwrap();
        assert!(
            plan.contains("USING COVERING INDEX deliveries_by_receiver (receiver=? AND state=?)"),
            "{plan}"
        );
    }

    #[test]
    fn who_is_a_sink_no_more_is_waited_for_by_nobody() {
        let fixture = Fixture::new();
        fixture.open().store(&[alert("a1", 1, "k")], 10).unwrap();
        let mut outbox = Outbox::open(&fixture.path, &["on_call".to_owned()]).unwrap();
        assert!(!outbox.is_settled("a1", 1).unwrap());
        let due = outbox.due("on_call", 1_000, 1).unwrap();
        outbox.record_attempts("on_call", "t", &[attempt(&due[0], Next::Delivered)]).unwrap();
        assert!(outbox.is_settled("a1", 1).unwrap(), "the console is of another time");
    }
}
