//! What a receiver that forgets is told again.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::params;

use super::incidents::read;
use super::{OutboxError, OutboxReader};
use crate::types::{Labels, Silence};

impl OutboxReader {
    /// Of every alert the newest revision that `receiver` has, where the alert fires by it, or was told to be over since
    /// `since_ns`, wall time. Not of those about which that is no longer so, which the receiver has yet to be told, nor of
    /// those that one of `silences` fits.
    pub fn told(
        &self,
        receiver: &str,
        since_ns: i64,
        silences: &[Arc<Silence>],
    ) -> Result<Vec<Bytes>, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT a.body, a.decision FROM alerts a JOIN deliveries d ON d.alert = a.seq
             WHERE d.receiver = ?1 AND d.state = 'delivered'
                 AND (a.state IN ('raised', 'revised') OR d.delivered_at >= ?2)
                 AND NOT EXISTS (SELECT 1 FROM deliveries l WHERE l.id = d.id AND l.receiver = d.receiver
                                 AND l.revision > d.revision AND l.state = 'delivered')
                 AND (a.state IN ('raised', 'revised'))
                     = ((SELECT n.state FROM alerts n WHERE n.id = a.id ORDER BY n.revision DESC LIMIT 1)
                        IN ('raised', 'revised'))
             ORDER BY a.seq",
        )?;
        let mut rows = statement.query(params![receiver, since_ns])?;
        let mut told = Vec::new();
        while let Some(row) = rows.next()? {
            if !silences.is_empty() {
                let decision = read(row, 1)?;
                let labels = Labels::of(&decision, receiver);
                if silences.iter().any(|silence| silence.fits(&labels)) {
                    continue;
                }
            }
            told.push(Bytes::from(row.get::<_, String>(0)?));
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Next;
    use super::super::tests::{Fixture, alert, attempt};
    use super::*;
    use crate::types::SilenceDraft;

    #[test]
    fn only_what_is_still_so_and_is_not_silenced_is_told_again() {
        let fixture = Fixture::new();
        let mut outbox = fixture.open();
        let told = |outbox: &super::super::Outbox, since_ns, silences: &[Arc<Silence>]| {
            let bodies = outbox.reader().unwrap().told("on_call", since_ns, silences).unwrap();
            let id = |body: &Bytes| {
                let body: serde_json::Value = serde_json::from_slice(body).unwrap();
                format!("{}_{}", body["data"]["id"].as_str().unwrap(), body["data"]["revision"])
            };
            bodies.iter().map(id).collect::<Vec<_>>()
        };
        outbox.store(&[alert("a1", 1, "k1"), alert("b1", 1, "k2"), alert("c1", 1, "k3")], 10).unwrap();
        let due = outbox.due("on_call", 10, 2).unwrap();
        let attempts: Vec<_> = due.iter().map(|due| attempt(due, Next::Delivered)).collect();
        outbox.record_attempts("on_call", "t", &attempts).unwrap();
        assert_eq!(told(&outbox, 0, &[]), ["a1_1", "b1_1"], "not what it has yet to be told");

        let draft = SilenceDraft {
            matchers: vec!["key=k1".into()],
            starts_at_ns: None,
            ends_at_ns: 100,
            author: "ann".into(),
            comment: String::new(),
        };
        let silence = Arc::new(Silence::new(&draft, 0).unwrap());
        assert_eq!(told(&outbox, 0, &[silence]), ["b1_1"]);

        outbox.store(&[alert("b1", 2, "k2")], 20).unwrap();
        assert_eq!(told(&outbox, 0, &[]), ["a1_1"], "it is over, and its end is on the way");
        let due = outbox.due("on_call", 20, 9).unwrap();
        let end = due.iter().find(|due| due.message_id == "b1_2").unwrap();
        outbox.record_attempts("on_call", "t", &[attempt(end, Next::Delivered)]).unwrap();
        assert_eq!(told(&outbox, 30, &[]), ["a1_1", "b1_2"], "an end is told again too");
        assert_eq!(told(&outbox, 31, &[]), ["a1_1"], "for a while");
    }
}
