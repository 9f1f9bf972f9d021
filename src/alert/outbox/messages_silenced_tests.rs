use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::silenced_tests::silence;
use super::tests::{Fixture, alert, attempt};
use super::*;
use crate::config::plan::GroupPlan;
use crate::types::{Alert, AlertState, Silence};

const S: i64 = 1_000_000_000;
const ALL: GroupPlan =
    GroupPlan { by: vec![], wait: Duration::from_secs(30), interval: Duration::from_secs(300) };

fn firing(id: &str, key: &str) -> Alert {
    let mut alert = alert(id, 1, key);
    alert.decision.state = AlertState::Raised;
    alert
}

/// As a worker visits: what is due.
fn visit(outbox: &mut Outbox, now_ns: i64, silences: &[Arc<Silence>]) -> Vec<Due> {
    outbox.hold_back_messages("on_call", now_ns, silences, &HashSet::new()).unwrap();
    outbox.gather("on_call", &ALL, now_ns, silences, &Default::default()).unwrap();
    outbox.due_incidents("on_call", now_ns, 9).unwrap()
}

/// Two alerts in a message that waits for its first attempt.
fn put_together(outbox: &mut Outbox) -> Due {
    outbox.store(&[firing("a1", "k1"), firing("a2", "k2")], 0).unwrap();
    visit(outbox, 30 * S, &[]).remove(0)
}

fn fail(outbox: &mut Outbox, due: &Due, at_ns: i64) {
    outbox.record_attempts("on_call", "t", &[attempt(due, Next::Retry { at_ns })]).unwrap();
}

fn told(due: &[Due]) -> Vec<(u32, Vec<String>)> {
    let of = |due: &Due| {
        let body: Value = serde_json::from_slice(&due.body).unwrap();
        let ids = body["data"]["alerts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| alert["id"].as_str().unwrap().to_owned());
        (due.revision, ids.collect())
    };
    due.iter().map(of).collect()
}

fn delivery(outbox: &Outbox, id: &str) -> Delivery {
    let stored = outbox.reader().unwrap().alert(id).unwrap().remove(0);
    stored.deliveries.into_iter().find(|delivery| delivery.receiver == "on_call").unwrap()
}

#[test]
fn one_never_attempted_is_made_anew_without_what_is_silenced() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    put_together(&mut outbox);
    let silences = [silence("key=k1", 0, 500 * S)];
    let anew = visit(&mut outbox, 40 * S, &silences);
    assert_eq!(told(&anew), [(1, vec!["a2".to_owned()])]);
    assert_eq!(
        outbox.counts("on_call").unwrap(),
        Counts { pending: 1, in_messages: 1, silenced: 1, ..Counts::default() }
    );
    assert_eq!(delivery(&outbox, "a1").state, DeliveryState::Silenced);
    assert_eq!(visit(&mut outbox, 41 * S, &silences), anew, "once");
    outbox.record_attempts("on_call", "t", &[attempt(&anew[0], Next::Delivered)]).unwrap();
    // It still fires when the silence ends.
    let then = visit(&mut outbox, 500 * S, &[]);
    assert_eq!(told(&then), [(2, vec!["a1".to_owned(), "a2".to_owned()])]);
    assert_eq!(then[0].id, anew[0].id);
}

#[test]
fn one_of_which_all_is_silenced_waits_and_what_is_over_by_then_is_not_told() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    put_together(&mut outbox);
    let silences = [silence("stream=pumps", 0, 500 * S)];
    assert_eq!(visit(&mut outbox, 40 * S, &silences), []);
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { silenced: 2, ..Counts::default() });
    outbox.store(&[alert("a1", 2, "k1")], 50 * S).unwrap();
    let then = visit(&mut outbox, 500 * S, &[]);
    assert_eq!(told(&then), [(1, vec!["a2".to_owned()])], "nobody ever heard of a1");
}

#[test]
fn one_that_was_attempted_keeps_its_bytes_and_waits_only_while_all_of_it_is_silenced() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = put_together(&mut outbox);
    fail(&mut outbox, &first, 60 * S);
    let again = |attempts| Due { attempts, ..first.clone() };
    let part = [silence("key=k1", 0, 500 * S)];
    assert_eq!(visit(&mut outbox, 60 * S, &part), [again(1)], "a part is silenced");
    let both = [silence("key=k1", 0, 500 * S), silence("key=k2", 0, 700 * S)];
    assert_eq!(visit(&mut outbox, 61 * S, &both), []);
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { silenced: 2, ..Counts::default() });
    let asked = HashSet::new();
    assert_eq!(outbox.longest_waiting("on_call", 62 * S, &both, &asked).unwrap(), None, "nor does it ask");
    assert!(outbox.longest_waiting("on_call", 62 * S, &part, &asked).unwrap().is_some());
    assert_eq!(visit(&mut outbox, 499 * S, &both), []);
    assert_eq!(visit(&mut outbox, 500 * S, &both[1..]), [again(1)], "the first of them is told again");
    assert_eq!(outbox.counts("on_call").unwrap().silenced, 0);
    // Somebody ends one early.
    assert_eq!(visit(&mut outbox, 510 * S, &[silence("stream=pumps", 0, 900 * S)]), []);
    let by = delivery(&outbox, "a1").silenced_by.expect("a silence");
    assert_eq!(outbox.end_silence(&by, 520 * S).unwrap(), 2);
    assert_eq!(visit(&mut outbox, 520 * S, &[]), [again(1)]);
}

#[test]
fn one_made_before_a_restart_or_replayed_keeps_its_bytes() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = put_together(&mut outbox);
    // It may be on its way at this moment.
    std::mem::forget(outbox);
    let mut outbox = fixture.open();
    outbox.attach("on_call", "t", 40 * S).unwrap();
    let part = [silence("key=k1", 0, 500 * S)];
    assert_eq!(visit(&mut outbox, 40 * S, &part), std::slice::from_ref(&first));
    let all = [silence("stream=pumps", 0, 500 * S)];
    assert_eq!(visit(&mut outbox, 40 * S, &all), []);
    outbox.attach("on_call", "t", 50 * S).unwrap();
    assert_eq!(visit(&mut outbox, 50 * S, &[]), [first], "the silence was ended while nobody ran");

    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = put_together(&mut outbox);
    outbox.record_attempts("on_call", "t", &[attempt(&first, Next::GiveUp)]).unwrap();
    assert_eq!(outbox.replay_failed("a1", 1, "on_call", 50 * S).unwrap().deliveries, 1);
    assert_eq!(
        visit(&mut outbox, 50 * S, &part),
        [first],
        "it was attempted, though that is not counted any more"
    );
}

#[test]
fn what_is_under_way_is_left_alone() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = put_together(&mut outbox);
    let (all, held) = ([silence("stream=pumps", 0, 500 * S)], HashSet::from([first.id.clone()]));
    assert!(!outbox.hold_back_messages("on_call", 40 * S, &all, &held).unwrap());
    assert_eq!(outbox.due_incidents("on_call", 40 * S, 9).unwrap(), std::slice::from_ref(&first));
    outbox.record_attempts("on_call", "t", &[attempt(&first, Next::Delivered)]).unwrap();
    assert_eq!(outbox.counts("on_call").unwrap(), Counts::default());
}

#[test]
fn what_took_the_place_of_one_that_was_attempted_counts_as_attempted() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = put_together(&mut outbox);
    fail(&mut outbox, &first, 10_000 * S);
    outbox.store(&[firing("a3", "k3")], 40 * S).unwrap();
    let second = visit(&mut outbox, 330 * S, &[]);
    let part = [silence("key=k3", 0, 900 * S)];
    assert_eq!((second[0].revision, visit(&mut outbox, 340 * S, &part)), (2, second.clone()));
}

/// The first message is on its way while the next one takes its place, and arrives.
#[test]
fn what_took_the_place_of_one_under_way_counts_as_attempted() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let first = put_together(&mut outbox);
    outbox.store(&[firing("a3", "k3")], 40 * S).unwrap();
    let under_way = HashSet::from([first.id.clone()]);
    outbox.gather("on_call", &ALL, 330 * S, &[], &under_way).unwrap();
    let second: Vec<Due> = outbox.due_incidents("on_call", 330 * S, 9).unwrap();
    assert_eq!(told(&second), [(2, vec!["a1".to_owned(), "a2".to_owned(), "a3".to_owned()])]);
    outbox.record_attempts("on_call", "t", &[attempt(&first, Next::Delivered)]).unwrap();
    let part = [silence("key=k1", 0, 900 * S)];
    assert_eq!(visit(&mut outbox, 340 * S, &part), second, "the receiver may know a1");
    outbox.record_attempts("on_call", "t", &[attempt(&second[0], Next::Delivered)]).unwrap();
    outbox.store(&[alert("a1", 2, "k1")], 350 * S).unwrap();
    assert_eq!(visit(&mut outbox, 640 * S, &part), [], "its end is silenced");
    let then = visit(&mut outbox, 900 * S, &[]);
    assert_eq!(then[0].revision, 3, "and told after the silence: {:?}", told(&then));
}

/// The receiver is paused: what was put together for it was never sent.
#[test]
fn what_took_the_place_of_one_that_nobody_sent_is_made_anew() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    put_together(&mut outbox);
    outbox.store(&[firing("a3", "k3")], 40 * S).unwrap();
    assert_eq!(visit(&mut outbox, 330 * S, &[])[0].revision, 2);
    let anew = visit(&mut outbox, 340 * S, &[silence("key=k1", 0, 900 * S)]);
    assert_eq!(told(&anew), [(2, vec!["a2".to_owned(), "a3".to_owned()])]);
}
