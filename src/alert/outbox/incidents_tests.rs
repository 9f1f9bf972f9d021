use std::time::Duration;

use serde_json::Value;

use super::tests::{Fixture, alert, attempt};
use super::*;
use crate::config::plan::GroupPlan;
use crate::types::silence::Label;
use crate::types::{Alert, AlertState};

const S: i64 = 1_000_000_000;

fn plan(by: &[Label]) -> GroupPlan {
    GroupPlan { by: by.to_vec(), wait: Duration::from_secs(30), interval: Duration::from_secs(300) }
}

fn firing(id: &str, key: &str) -> Alert {
    let mut alert = alert(id, 1, key);
    alert.decision.state = AlertState::Raised;
    alert
}

fn gather(outbox: &mut Outbox, plan: &GroupPlan, now_ns: i64) -> (Vec<Due>, Option<i64>) {
    let next = outbox.gather("on_call", plan, now_ns, &[]).unwrap();
    (outbox.due_incidents("on_call", now_ns, 9).unwrap(), next)
}

fn body(due: &Due) -> Value {
    serde_json::from_slice(&due.body).unwrap()
}

#[test]
fn five_thousand_keys_are_one_message_after_the_wait_with_what_they_share() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let by_stream = plan(&[Label::Stream]);
    let alerts: Vec<_> =
        (0..5_000).map(|i| firing(&format!("a{i:04}"), &format!("hall-3/pump-{i}"))).collect();
    outbox.store(&alerts[..1], 10 * S).unwrap();
    outbox.store(&alerts[1..], 39 * S).unwrap();
    let (early, next) = gather(&mut outbox, &by_stream, 39 * S);
    assert_eq!((early, next), (vec![], Some(40 * S)), "the wait is from the first one on");
    let (told, next) = gather(&mut outbox, &by_stream, 40 * S);
    assert_eq!((told.len(), next), (1, None));
    assert!(told[0].body.len() < crate::alert::body::BODY_BYTES_MAX, "{} bytes", told[0].body.len());
    let body = body(&told[0]);
    let data = &body["data"];
    assert_eq!((&body["type"], &data["state"]), (&"incident.raised".into(), &"raised".into()));
    assert_eq!(data["group"]["stream"], "pumps");
    let shared = &data["shared"];
    assert_eq!((&shared["stream"], &shared["rule"]), (&"pumps".into(), &"window".into()));
    assert_eq!((&shared["key_prefix"], &shared["onset_first"]), (&"hall-3/pump-".into(), &1_000.into()));
    let listed = data["alerts"].as_array().unwrap().len() as u64;
    assert_eq!((data["alerts_firing"].as_u64(), data["alerts_resolved"].as_u64()), (Some(5_000), Some(0)));
    assert!(listed >= 50 && listed + data["alerts_omitted"].as_u64().unwrap() == 5_000, "{listed} listed");
    assert_eq!(outbox.reader().unwrap().alert("a4999").unwrap()[0].alert, alerts[4_999], "each keeps its id");

    outbox.record_attempts("on_call", "t", &[attempt(&told[0], Next::Delivered)]).unwrap();
    assert_eq!(outbox.counts("on_call").unwrap(), Counts::default(), "all of them were told");
    let stored = outbox.reader().unwrap().alert("a4999").unwrap();
    let delivery = stored[0].deliveries.iter().find(|d| d.receiver == "on_call").unwrap();
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert_eq!(delivery.incident.as_ref(), Some(&told[0].message_id));
    assert_eq!(outbox.counts("console").unwrap().pending, 5_000, "the other receiver has them one by one");
}

#[test]
fn a_message_is_the_same_over_retries_and_restarts() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let all = plan(&[]);
    outbox.store(&[firing("a1", "k1"), firing("a2", "k2")], 0).unwrap();
    let (told, _) = gather(&mut outbox, &all, 30 * S);
    outbox.record_attempts("on_call", "t", &[attempt(&told[0], Next::Retry { at_ns: 35 * S })]).unwrap();
    // Without a clean close.
    std::mem::forget(outbox);
    let mut outbox = fixture.open();
    outbox.store(&[firing("a3", "k3")], 31 * S).unwrap();
    let (again, next) = gather(&mut outbox, &all, 35 * S);
    assert_eq!(again, [Due { attempts: 1, ..told[0].clone() }], "what came since has a message of its own");
    assert_eq!(next, Some(330 * S), "after the interval");
    outbox.record_attempts("on_call", "t", &[attempt(&again[0], Next::GiveUp)]).unwrap();
    let failed = outbox.reader().unwrap().failed(9).unwrap();
    assert_eq!(failed.iter().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["a1", "a2"]);
    assert!(outbox.replay_failed("a2", 1, "on_call", 40 * S).unwrap());
    let replayed = outbox.due_incidents("on_call", 40 * S, 9).unwrap();
    assert_eq!(replayed, told, "the message is sent again as it was");
    outbox.record_attempts("on_call", "t", &[attempt(&replayed[0], Next::Delivered)]).unwrap();
    assert_eq!(outbox.counts("on_call").unwrap(), Counts { pending: 1, ..Counts::default() });
}

#[test]
fn an_incident_goes_on_until_none_of_its_alerts_fires_and_the_next_is_another() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let by_stream = plan(&[Label::Stream]);
    outbox.store(&[firing("a1", "k1"), firing("a2", "k2")], 0).unwrap();
    let (first, _) = gather(&mut outbox, &by_stream, 30 * S);
    outbox.record_attempts("on_call", "t", &[attempt(&first[0], Next::Delivered)]).unwrap();
    outbox.store(&[alert("a1", 2, "k1")], 40 * S).unwrap();
    assert_eq!(
        gather(&mut outbox, &by_stream, 329 * S),
        (vec![], Some(330 * S)),
        "not before the interval is over"
    );
    let (second, _) = gather(&mut outbox, &by_stream, 330 * S);
    assert_eq!((second[0].id.as_str(), second[0].revision), (first[0].id.as_str(), 2));
    let data = body(&second[0])["data"].clone();
    assert_eq!(
        (&data["state"], &data["alerts_firing"], &data["alerts_resolved"]),
        (&"revised".into(), &1.into(), &1.into())
    );
    assert_eq!(data["alerts"][0]["id"], "a1", "what is new stands first");
    outbox.record_attempts("on_call", "t", &[attempt(&second[0], Next::Delivered)]).unwrap();
    outbox.store(&[alert("a2", 2, "k2")], 340 * S).unwrap();
    let (third, _) = gather(&mut outbox, &by_stream, 630 * S);
    assert_eq!(body(&third[0])["type"], "incident.resolved");
    outbox.record_attempts("on_call", "t", &[attempt(&third[0], Next::Delivered)]).unwrap();
    outbox.store(&[firing("a3", "k1")], 640 * S).unwrap();
    let (other, _) = gather(&mut outbox, &by_stream, 670 * S);
    assert_eq!(other[0].revision, 1);
    assert_ne!(other[0].id, first[0].id);
}

#[test]
fn alerts_are_put_together_by_the_labels_that_were_asked_for() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[firing("a1", "k1"), firing("a2", "k2"), firing("a3", "k1")], 0).unwrap();
    let (told, _) = gather(&mut outbox, &plan(&[Label::Stream, Label::Key]), 30 * S);
    let mut told: Vec<(Value, Value)> = told
        .iter()
        .map(body)
        .map(|body| (body["data"]["group"]["key"].clone(), body["data"]["alerts_firing"].clone()))
        .collect();
    told.sort_by_key(|(key, _)| key.to_string());
    assert_eq!(told, [("k1".into(), 2.into()), ("k2".into(), 1.into())]);
}

#[test]
fn what_was_put_together_is_told_even_if_the_config_puts_nothing_together_any_more() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[firing("a1", "k1")], 0).unwrap();
    let (told, _) = gather(&mut outbox, &plan(&[]), 30 * S);
    outbox.store(&[firing("a2", "k2")], 31 * S).unwrap();
    let due = outbox.due("on_call", 32 * S, 9).unwrap();
    assert_eq!(
        due.iter().map(|due| due.message_id.as_str()).collect::<Vec<_>>(),
        [told[0].message_id.as_str(), "a2_1"]
    );
}

#[test]
fn a_clock_that_was_set_back_keeps_no_incident_waiting() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[firing("a1", "k1")], 9_000 * S).unwrap();
    outbox.set_back("on_call", 8_000 * S).unwrap();
    let (told, _) = gather(&mut outbox, &plan(&[]), 1_000 * S);
    assert_eq!(told.len(), 1);
}
