use std::path::PathBuf;

use rusqlite::Connection;

use super::*;
use crate::types::{About, Alert, AlertState, Decision, EventTime, Receipt, Segment, WindowEvidence};

pub(super) const RECEIVERS: [&str; 2] = ["console", "on_call"];

pub(super) fn alert(id: &str, revision: u32, key: &str) -> Alert {
    Alert {
        decision: Decision {
            id: id.into(),
            revision,
            state: if revision == 1 { AlertState::Raised } else { AlertState::Resolved },
            stream: "pumps".into(),
            key: key.into(),
            rule: "window".into(),
            onset: EventTime(1_000),
            about: About::Window(WindowEvidence {
                window_start: EventTime(1_000),
                window_end: EventTime(2_000),
                epoch: 0,
                model: "m".into(),
                log_likelihood: -0.1,
                p_value: 1e-5,
                threshold: 1e-4,
                p_value_min: 1e-5,
                transactions_anomalous: None,
                coverage: 1.0,
                confidence: Some(0.75),
                resolution: None,
                columns: vec![],
            }),
        },
        receipt: Receipt {
            segments: vec![Segment { stage: "log".into(), ns: 5 }],
            total_ns: 5,
            ..Default::default()
        },
    }
}

fn window(alert: &mut Alert) -> &mut WindowEvidence {
    match &mut alert.decision.about {
        About::Window(window) => window,
        About::NoData(_) | About::Onset(_) => panic!("it is about a window"),
    }
}

pub(super) struct Fixture {
    _folder: tempfile::TempDir,
    pub(super) path: PathBuf,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        Fixture { _folder: folder, path }
    }

    pub(super) fn open(&self) -> Outbox {
        Outbox::open(&self.path, &RECEIVERS.map(String::from)).unwrap()
    }
}

pub(super) fn attempt(due: &Due, next: Next) -> Attempt {
    Attempt {
        id: due.id.clone(),
        revision: due.revision,
        incident: due.incident,
        started_at_ns: 20,
        finished_at_ns: 30,
        status: Some(500),
        error: (next != Next::Delivered).then(|| "answered 500".to_owned()),
        next,
    }
}

#[test]
fn commits_reach_the_disk_before_they_return() {
    let outbox = Fixture::new().open();
    let pragma =
        |name: &str| outbox.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pragma("synchronous"), 2, "FULL: in WAL mode NORMAL does not sync a commit");
    let mode: String = outbox.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn files_of_another_format_or_program_are_refused_unchanged() {
    let fixture = Fixture::new();
    drop(fixture.open());
    Connection::open(&fixture.path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Outbox::open(&fixture.path, &[]).err().expect("format 99");
    assert!(matches!(error, OutboxError::Version { found: 99, .. }));
    assert!(
        error.to_string().contains("format 99, this Eddy reads format 5; run the Eddy that wrote it"),
        "{error}"
    );
    assert!(!error.is_retryable());
    assert!(OutboxReader::open(&fixture.path).is_err());

    let other = Fixture::new();
    Connection::open(&other.path).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    assert!(matches!(Outbox::open(&other.path, &[]), Err(OutboxError::Foreign { .. })));

    let text = Fixture::new();
    std::fs::write(&text.path, "not a database at all, but long enough to be looked at as one").unwrap();
    assert!(matches!(Outbox::open(&text.path, &[]), Err(OutboxError::Open { .. })));
    assert_eq!(std::fs::read(&text.path).unwrap().len(), 61);
}

#[test]
fn a_revision_is_stored_once_and_a_different_decision_is_counted() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = alert("a1", 1, "pump-1");
    assert_eq!(
        outbox.store(std::slice::from_ref(&first), 10).unwrap(),
        Stored { new: 1, known: 0, differing: 0 }
    );
    let mut again = first.clone();
    again.receipt = Receipt { recovered: true, ..Receipt::default() };
    let mut differing = first.clone();
    window(&mut differing).log_likelihood = -0.2;
    let stored = outbox.store(&[again, differing, alert("a1", 2, "pump-1")], 99).unwrap();
    assert_eq!(stored, Stored { new: 1, known: 2, differing: 1 });

    let revisions = outbox.reader().unwrap().alert("a1").unwrap();
    assert_eq!(revisions.len(), 2);
    assert_eq!((&revisions[0].alert, revisions[0].stored_at_ns), (&first, 10));
    let receivers: Vec<_> = revisions[0].deliveries.iter().map(|d| d.receiver.as_str()).collect();
    assert_eq!(receivers, RECEIVERS);
}

#[test]
fn a_decision_is_read_back_to_the_last_bit() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let numbers = (1..500).map(|i| f64::from(i).sqrt() * 10f64.powi(i % 30 - 25));
    let alerts: Vec<Alert> = numbers
        .enumerate()
        .map(|(i, number)| {
            let mut alert = alert("a1", i as u32 + 1, "pump-1");
            (window(&mut alert).p_value, window(&mut alert).log_likelihood) = (number, -number);
            alert
        })
        .collect();
    outbox.store(&alerts, 10).unwrap();
    let read: Vec<Alert> =
        outbox.reader().unwrap().alert("a1").unwrap().into_iter().map(|s| s.alert).collect();
    assert_eq!(read, alerts);
}

#[test]
fn a_batch_is_stored_whole_or_not_at_all() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let mut broken = alert("a2", 1, "pump-1");
    // JSON has no NaN: it must fail aloud, not be passed over.
    window(&mut broken).p_value = f64::NAN;
    assert!(outbox.store(&[alert("a1", 1, "pump-1"), broken], 10).is_err());
    assert!(outbox.reader().unwrap().alert("a1").unwrap().is_empty());
    assert_eq!(outbox.counts("on_call").unwrap(), Counts::default());
}

#[test]
fn revisions_wait_for_earlier_ones_of_their_alert_and_receiver_alone() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 1, "k"), alert("a1", 2, "k"), alert("a2", 1, "k")], 10).unwrap();
    let ids = |due: Vec<Due>| due.into_iter().map(|due| due.message_id).collect::<Vec<_>>();
    assert_eq!(ids(outbox.due("on_call", 9, 9).unwrap()), Vec::<String>::new());
    assert_eq!(outbox.next_due_at("on_call", 9).unwrap(), Some(10));
    let due = outbox.due("on_call", 10, 9).unwrap();
    assert_eq!(ids(due.clone()), ["a1_1", "a2_1"]);

    outbox.record_attempts("on_call", "t", &[attempt(&due[0], Next::Retry { at_ns: 500 })]).unwrap();
    assert_eq!(ids(outbox.due("on_call", 100, 9).unwrap()), ["a2_1"]);
    assert_eq!(outbox.next_due_at("on_call", 100).unwrap(), Some(500), "not the one that waits behind it");
    let late = outbox.due("on_call", 500, 9).unwrap();
    assert_eq!((ids(late.clone()), late[1].attempts), (vec!["a2_1".into(), "a1_1".into()], 1));

    outbox.record_attempts("on_call", "t", &[attempt(&due[0], Next::GiveUp)]).unwrap();
    assert_eq!(ids(outbox.due("on_call", 500, 9).unwrap()), ["a1_2", "a2_1"]);
    assert_eq!(ids(outbox.due("console", 500, 9).unwrap()), ["a1_1", "a2_1"], "receivers are independent");
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { pending: 2, failed: 1, ..Counts::default() });
}

#[test]
fn an_attempt_that_ends_after_a_410_does_not_queue_its_delivery_again() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 1, "k"), alert("a2", 1, "k"), alert("a3", 1, "k")], 10).unwrap();
    let due = outbox.due("on_call", 10, 9).unwrap();
    let given_up = outbox.record_attempts("on_call", "t", &[attempt(&due[0], Next::Disable)]).unwrap();
    assert_eq!(given_up, 3, "those that wait are given up with it");
    let late = [attempt(&due[1], Next::Retry { at_ns: 40 }), attempt(&due[2], Next::Delivered)];
    assert_eq!(outbox.record_attempts("on_call", "t", &late).unwrap(), 0, "they were given up already");
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { failed: 2, disabled: true, ..Counts::default() });
    assert_eq!(outbox.due("on_call", 1_000, 9).unwrap(), []);
    assert_eq!(outbox.counts("console").unwrap(), Counts { pending: 3, ..Counts::default() });
}

#[test]
fn what_is_pending_outlives_the_process() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 1, "k")], 10).unwrap();
    let before = outbox.due("on_call", 10, 9).unwrap();
    outbox.record_attempts("on_call", "t", &[attempt(&before[0], Next::Retry { at_ns: 40 })]).unwrap();
    // Without a clean close: the write-ahead log is all there is.
    std::mem::forget(outbox);
    let after = fixture.open().due("on_call", 40, 9).unwrap();
    assert_eq!(after, [Due { attempts: 1, ..before[0].clone() }]);
}

#[test]
fn pages_walk_back_in_time_and_filter() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let alerts: Vec<_> =
        (0..5).map(|i| alert(&format!("a{i}"), 1, if i < 3 { "old" } else { "new" })).collect();
    outbox.store(&alerts, 10).unwrap();
    outbox.store(&[alert("a0", 2, "old")], 20).unwrap();
    let reader = outbox.reader().unwrap();
    let ids = |page: &[StoredAlert]| page.iter().map(|s| s.alert.decision.message_id()).collect::<Vec<_>>();
    let all = AlertFilter::default();
    let first = reader.alerts_page(None, 2, &all).unwrap();
    assert_eq!(ids(&first), ["a0_2", "a4_1"]);
    let second = reader.alerts_page(Some(first[1].seq), 9, &all).unwrap();
    assert_eq!(ids(&second), ["a3_1", "a2_1", "a1_1", "a0_1"]);
    let key = AlertFilter { key: Some("new".into()), ..AlertFilter::default() };
    assert_eq!(ids(&reader.alerts_page(None, 9, &key).unwrap()), ["a4_1", "a3_1"]);
    let stream = AlertFilter { stream: Some("cards".into()), ..AlertFilter::default() };
    assert_eq!(ids(&reader.alerts_page(None, 9, &stream).unwrap()), Vec::<String>::new());
    assert_eq!(ids(&reader.open_alerts().unwrap()), ["a1_1", "a2_1", "a3_1", "a4_1"], "a0 is resolved");
}

#[test]
fn a_reader_neither_waits_for_the_writer_nor_holds_it_up() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 1, "k")], 10).unwrap();
    let reader = outbox.reader().unwrap();
    // A read transaction held open for the whole of a write.
    let held = Connection::open(&fixture.path).unwrap();
    held.execute_batch("BEGIN; SELECT count(*) FROM alerts").unwrap();
    let _: i64 = held.query_row("SELECT count(*) FROM alerts", [], |row| row.get(0)).unwrap();
    let writing = outbox.connection.transaction().unwrap();
    writing.execute("UPDATE deliveries SET attempts = 9", []).unwrap();
    assert_eq!(reader.alert("a1").unwrap()[0].deliveries[0].attempts, 0);
    writing.commit().unwrap();
    assert_eq!(reader.alert("a1").unwrap()[0].deliveries[0].attempts, 9);
}

#[test]
fn a_clock_set_back_between_runs_does_not_put_deliveries_off() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let year_ns = 365 * 24 * 3600 * 1_000_000_000;
    outbox.store(&[alert("a1", 1, "k"), alert("a2", 1, "k"), alert("a3", 1, "k")], year_ns).unwrap();
    let due = outbox.due("on_call", year_ns, 9).unwrap();
    outbox.record_attempts("on_call", "t", &[attempt(&due[0], Next::Retry { at_ns: year_ns + 5 })]).unwrap();
    outbox.record_attempts("on_call", "t", &[attempt(&due[1], Next::Retry { at_ns: 700 })]).unwrap();
    assert_eq!(outbox.due("on_call", 600, 9).unwrap(), []);

    outbox.attach("on_call", "t", 600).unwrap();
    assert_eq!(outbox.due("on_call", 600, 9).unwrap(), [due[2].clone()]);
    assert_eq!(outbox.next_due_at("on_call", 600).unwrap(), Some(700), "sooner than a day stays as it is");
    assert_eq!(outbox.next_due_at("on_call", 700).unwrap(), Some(600 + 24 * 3600 * 1_000_000_000));
}
