//! What a receiver that forgets is told again.

use bytes::Bytes;
use rusqlite::params;

use super::{Outbox, OutboxError};

impl Outbox {
    /// Of every alert the newest revision that `receiver` has, where the alert fires by it, or was told to be over since
    /// `since_ns`, wall time.
    pub fn told(&mut self, receiver: &str, since_ns: i64) -> Result<Vec<Bytes>, OutboxError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT a.body FROM alerts a JOIN deliveries d ON d.alert = a.seq
             WHERE d.receiver = ?1 AND d.state = 'delivered'
                 AND (a.state IN ('raised', 'revised') OR d.delivered_at >= ?2)
                 AND NOT EXISTS (SELECT 1 FROM deliveries l WHERE l.id = d.id AND l.receiver = d.receiver
                                 AND l.revision > d.revision AND l.state = 'delivered')
             ORDER BY a.seq",
        )?;
        let rows = statement.query_map(params![receiver, since_ns], |row| row.get::<_, String>(0))?;
        Ok(rows.map(|body| body.map(Bytes::from)).collect::<Result<_, _>>()?)
    }
}
