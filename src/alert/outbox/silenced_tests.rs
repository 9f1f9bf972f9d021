use std::sync::Arc;

use super::tests::{Fixture, alert, attempt};
use super::*;
use crate::types::{Alert, AlertState, Silence, SilenceDraft};

const LOT: usize = 8;

pub(in super::super) fn silence(matcher: &str, starts_at_ns: i64, ends_at_ns: i64) -> Arc<Silence> {
    let draft = SilenceDraft {
        matchers: vec![matcher.to_owned()],
        starts_at_ns: Some(starts_at_ns),
        ends_at_ns,
        author: "ann".into(),
        comment: String::new(),
    };
    Arc::new(Silence::new(&draft, 0).unwrap())
}

fn firing(id: &str, revision: u32, key: &str) -> Alert {
    let mut alert = alert(id, revision, key);
    alert.decision.state = if revision == 1 { AlertState::Raised } else { AlertState::Revised };
    alert
}

/// What `on_call` is to be sent at `now_ns`, under the silences in force.
fn due(outbox: &mut Outbox, now_ns: i64, silences: &[Arc<Silence>]) -> Vec<Due> {
    let active: Vec<_> = silences.iter().filter(|silence| silence.is_active(now_ns)).cloned().collect();
    outbox.hold_back("on_call", now_ns, &active, LOT).unwrap();
    outbox.due("on_call", now_ns, LOT).unwrap()
}

fn ids(due: &[Due]) -> Vec<&str> {
    due.iter().map(|due| due.message_id.as_str()).collect()
}

fn accept(outbox: &mut Outbox, due: &[Due]) {
    let attempts: Vec<_> = due.iter().map(|due| attempt(due, Next::Delivered)).collect();
    outbox.record_attempts("on_call", "t", &attempts).unwrap();
}

fn state(outbox: &Outbox, id: &str, revision: usize) -> (DeliveryState, Option<String>) {
    let stored = outbox.reader().unwrap().alert(id).unwrap();
    let delivery = stored[revision - 1].deliveries.iter().find(|d| d.receiver == "on_call").unwrap().clone();
    (delivery.state, delivery.silenced_by)
}

#[test]
fn a_silenced_alert_that_still_fires_is_told_when_the_silence_ends_and_in_order() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let silences = [silence("key=pump-1", 0, 100)];
    outbox.store(&[firing("a1", 1, "pump-1"), firing("b1", 1, "pump-2")], 10).unwrap();
    let sent = due(&mut outbox, 10, &silences);
    assert_eq!(ids(&sent), ["b1_1"], "only the other one is sent");
    accept(&mut outbox, &sent);
    assert_eq!(state(&outbox, "a1", 1), (DeliveryState::Silenced, Some(silences[0].id.clone())));
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { silenced: 1, ..Counts::default() });
    assert_eq!(
        outbox.counts("console").unwrap().pending,
        2,
        "held back by a key, it waits for both receivers"
    );
    outbox.store(&[firing("a1", 2, "pump-1")], 50).unwrap();
    assert_eq!(due(&mut outbox, 99, &silences), []);
    assert_eq!(outbox.next_due_at("on_call", 99).unwrap(), Some(100));
    // Nothing of it is lost with the process.
    drop(outbox);
    let mut outbox = fixture.open();
    let first = due(&mut outbox, 100, &silences);
    assert_eq!(ids(&first), ["a1_1"]);
    accept(&mut outbox, &first);
    let second = due(&mut outbox, 100, &silences);
    assert_eq!(ids(&second), ["a1_2"]);
    accept(&mut outbox, &second);
    assert_eq!(state(&outbox, "a1", 1), (DeliveryState::Delivered, None));
    assert_eq!(outbox.counts("on_call").unwrap(), Counts::default());
}

#[test]
fn what_is_over_before_its_silence_is_passed_over_and_marked() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let silences = [silence("stream=pumps", 0, 100)];
    outbox.store(&[firing("a1", 1, "pump-1")], 10).unwrap();
    assert_eq!(due(&mut outbox, 10, &silences), []);
    outbox.store(&[alert("a1", 2, "pump-1")], 50).unwrap();
    assert_eq!(
        due(&mut outbox, 100, &silences),
        [],
        "nobody heard of it, so nobody need hear that it is over"
    );
    for revision in [1, 2] {
        assert_eq!(state(&outbox, "a1", revision).0, DeliveryState::Silenced, "revision {revision}");
    }
    assert_eq!(outbox.counts("on_call").unwrap(), Counts::default(), "it waits for nothing");
    // Late data: it had not been over. Then it is told after all.
    outbox.store(&[firing("a1", 3, "pump-1")], 200).unwrap();
    assert_eq!(ids(&due(&mut outbox, 200, &silences)), ["a1_3"]);
}

#[test]
fn the_end_of_an_alert_that_was_told_is_told_after_the_silence() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let silences = [silence("sink=on_call", 20, 100)];
    outbox.store(&[firing("a1", 1, "pump-1")], 10).unwrap();
    let told = due(&mut outbox, 10, &silences);
    assert_eq!(ids(&told), ["a1_1"], "the silence has not begun");
    accept(&mut outbox, &told);
    outbox.store(&[alert("a1", 2, "pump-1")], 50).unwrap();
    assert_eq!(due(&mut outbox, 50, &silences), []);
    assert_eq!(ids(&due(&mut outbox, 100, &silences)), ["a1_2"]);
    // It was of one receiver alone.
    assert_eq!(outbox.due("console", 50, 9).unwrap().len(), 1);
}

#[test]
fn a_silence_that_is_ended_early_lets_go_at_once_even_over_a_kill() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let day = silence("stream=pumps", 0, 86_400_000_000_000);
    outbox.store(&[firing("a1", 1, "pump-1")], 10).unwrap();
    assert_eq!(due(&mut outbox, 10, std::slice::from_ref(&day)), []);
    assert_eq!(outbox.end_silence(&day.id, 40).unwrap(), 1);
    assert_eq!(ids(&due(&mut outbox, 40, &[])), ["a1_1"]);

    // Tried once before the silence, and held back since.
    outbox.store(&[firing("b1", 1, "pump-1")], 50).unwrap();
    let tried = due(&mut outbox, 50, &[]).pop().unwrap();
    assert_eq!(tried.id, "b1");
    outbox.record_attempts("on_call", "t", &[attempt(&tried, Next::Retry { at_ns: 55 })]).unwrap();
    assert_eq!(due(&mut outbox, 55, std::slice::from_ref(&day)), []);
    // Killed between the control log and the outbox: the next start looks at everything anew.
    outbox.attach("on_call", "t", 60).unwrap();
    let mut released = due(&mut outbox, 60, &[]);
    released.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(ids(&released), ["a1_1", "b1_1"]);
}

#[test]
fn more_than_a_lot_is_held_back_at_once() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let alerts: Vec<_> =
        (0..50).map(|i| firing(&format!("a{i:02}"), 1, &format!("pump-{}", i % 2))).collect();
    outbox.store(&alerts, 10).unwrap();
    let silences = [silence("key=pump-0", 0, 100)];
    let mut told = 0;
    loop {
        let sent = due(&mut outbox, 10, &silences);
        if sent.is_empty() {
            break;
        }
        assert!(sent.iter().all(|due| due.id[1..].parse::<u32>().unwrap() % 2 == 1), "{sent:?}");
        told += sent.len();
        accept(&mut outbox, &sent);
    }
    assert_eq!(told, 25);
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { silenced: 25, ..Counts::default() });
}

#[test]
fn what_waits_behind_what_is_silenced_waits_for_no_receiver() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 1, "k1"), alert("b1", 1, "k2")], 10).unwrap();
    outbox.hold_back("on_call", 20, &[silence("key=k1", 0, 1_000)], 9).unwrap();
    outbox.store(&[alert("a1", 2, "k1"), alert("a1", 3, "k1")], 30).unwrap();
    let counts = outbox.counts("on_call").unwrap();
    assert_eq!((counts.pending, counts.silenced), (1, 3));
}

/// Stores alerts as they come from a topic.
fn comes(outbox: &mut Outbox, alerts: &[Alert], now_ns: i64) {
    let sent: Vec<Sent> =
        alerts.iter().map(|alert| Sent { body: alert.decision.message_id(), alert: alert.clone() }).collect();
    outbox.store_sent(&sent, now_ns).unwrap();
}

#[test]
fn the_end_of_what_another_eddy_told_is_told_after_the_silence() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open().with_others(true);
    let silences = [silence("stream=pumps", 0, 100)];
    // The first of it was another's.
    comes(&mut outbox, &[alert("a1", 2, "pump-1")], 10);
    // All of this came here, and nobody was told.
    comes(&mut outbox, &[firing("b1", 1, "pump-2"), alert("b1", 2, "pump-2")], 10);
    // This went to another that told it, and came back.
    comes(&mut outbox, &[firing("c1", 1, "pump-3")], 10);
    outbox.release(&[("c1".into(), 1)]).unwrap();
    comes(&mut outbox, &[alert("c1", 2, "pump-3")], 20);
    assert_eq!(due(&mut outbox, 20, &silences), []);
    let mut ends = due(&mut outbox, 100, &silences);
    ends.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(ids(&ends), ["a1_2", "c1_2"]);
    assert_eq!(state(&outbox, "b1", 2).0, DeliveryState::Silenced);
}

#[test]
fn one_alone_tells_a_sink_that_came_later_no_end_without_a_beginning() {
    let fixture = Fixture::new();
    let silences = [silence("stream=pumps", 0, 100)];
    let mut outbox = Outbox::open(&fixture.path, &["console".to_owned()]).unwrap();
    outbox.store(&[firing("a1", 1, "pump-1")], 5).unwrap();
    drop(outbox);
    let mut outbox = fixture.open();
    outbox.store(&[alert("a1", 2, "pump-1")], 10).unwrap();
    assert_eq!(due(&mut outbox, 10, &silences), []);
    assert_eq!(due(&mut outbox, 100, &silences), []);
}
