//! Files that earlier versions left.

use rusqlite::Connection;

use super::tests::{Fixture, RECEIVERS, alert};
use crate::types::{About, Alert, EventTime, NoDataEvidence};

/// A file with one alert as version 2 left it, then `change`d.
fn as_of_version_2(fixture: &Fixture, change: &str) {
    fixture.open().store(&[alert("a1", 1, "pump-1")], 10).unwrap();
    let connection = Connection::open(&fixture.path).unwrap();
    let deliveries = "
        ALTER TABLE deliveries RENAME TO now;
        DROP INDEX deliveries_by_receiver;
        DROP INDEX deliveries_failed;
        CREATE TABLE deliveries (
            alert INTEGER NOT NULL REFERENCES alerts (seq), id TEXT NOT NULL, revision INTEGER NOT NULL,
            receiver TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
            attempts INTEGER NOT NULL DEFAULT 0, next_attempt_at INTEGER NOT NULL, last_status INTEGER,
            last_error TEXT, first_attempt_at INTEGER, delivered_at INTEGER, PRIMARY KEY (id, revision, receiver)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO deliveries SELECT alert, id, revision, receiver, state, 3, next_attempt_at, 500, 'answered 500',
            first_attempt_at, delivered_at FROM now;
        DROP TABLE now;
        DROP TABLE incidents;
        DROP TABLE removed;
        CREATE INDEX deliveries_by_receiver ON deliveries (receiver, state, next_attempt_at, alert);
        CREATE INDEX deliveries_failed ON deliveries (alert) WHERE state = 'failed';
        PRAGMA user_version = 2;";
    connection.execute_batch(deliveries).unwrap();
    connection.execute_batch(change).unwrap();
}

#[test]
fn what_version_2_left_waits_as_before() {
    let fixture = Fixture::new();
    as_of_version_2(&fixture, "");
    let mut outbox = fixture.open();
    for receiver in RECEIVERS {
        let due = outbox.due(receiver, 10, 9).unwrap();
        assert_eq!((due.len(), due[0].message_id.as_str(), due[0].attempts), (1, "a1_1", 3));
    }
    let delivery = outbox.reader().unwrap().alert("a1").unwrap()[0].deliveries[0].clone();
    assert_eq!((delivery.last_status, delivery.last_error.as_deref()), (Some(500), Some("answered 500")));
}

#[test]
fn a_silence_is_stored_and_read_back_beside_what_version_1_left() {
    let fixture = Fixture::new();
    as_of_version_2(
        &fixture,
        "ALTER TABLE alerts ADD COLUMN p_value REAL NOT NULL DEFAULT 0.5; PRAGMA user_version = 1",
    );
    let mut silent = alert("b1", 1, "pump-2");
    let (last_seen, due) = (EventTime(1_000), EventTime(31_000));
    silent.decision.about =
        About::NoData(NoDataEvidence { last_seen, expected_every_ns: 7, due, resumed: None });
    let mut outbox = fixture.open();
    outbox.store(std::slice::from_ref(&silent), 20).unwrap();
    let open: Vec<Alert> =
        outbox.reader().unwrap().open_alerts().unwrap().into_iter().map(|s| s.alert).collect();
    assert_eq!(open, [alert("a1", 1, "pump-1"), silent]);
}

#[test]
fn what_version_3_left_can_be_superseded() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 1, "pump-1")], 10).unwrap();
    let short = std::time::Duration::from_nanos(1);
    let group = crate::config::plan::GroupPlan { by: vec![], wait: short, interval: short };
    outbox.gather("on_call", &group, 20, &[], &Default::default()).unwrap();
    let before = outbox.due_incidents("on_call", 20, 9).unwrap();
    drop(outbox);
    let connection = Connection::open(&fixture.path).unwrap();
    let old = "PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = replace(sql, ', ''superseded''', '');
        PRAGMA writable_schema = OFF;
        UPDATE incidents SET labels = '[]';
        DROP TABLE removed;
        PRAGMA user_version = 3;";
    connection.execute_batch(old).unwrap();
    drop(connection);
    let mut outbox = fixture.open();
    assert_eq!(outbox.due_incidents("on_call", 20, 9).unwrap(), before);
    outbox.store(&[alert("a1", 2, "pump-1")], 30).unwrap();
    outbox.gather("on_call", &group, 40, &[], &Default::default()).unwrap();
    let due = outbox.due_incidents("on_call", 40, 9).unwrap();
    assert_eq!((due.len(), due[0].id == before[0].id, due[0].revision), (1, true, 2), "the incident goes on");
}

#[test]
fn from_what_version_4_left_alerts_can_be_removed() {
    let fixture = Fixture::new();
    let all = [alert("a1", 1, "pump-1"), alert("a1", 2, "pump-1"), alert("b1", 1, "pump-1")];
    fixture.open().store(&all, 10).unwrap();
    let connection = Connection::open(&fixture.path).unwrap();
    connection.execute_batch("DROP TABLE removed; PRAGMA user_version = 4;").unwrap();
    drop(connection);
    drop(fixture.open());
    let mut outbox = crate::alert::outbox::Outbox::open(&fixture.path, &[]).unwrap();
    assert_eq!(outbox.prune(11, 9).unwrap().alerts, 1);
}
