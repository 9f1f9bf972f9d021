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
    let next = outbox.gather("on_call", plan, now_ns, &[], &Default::default()).unwrap();
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
    assert_eq!(outbox.replay_failed("a2", 1, "on_call", 40 * S).unwrap().deliveries, 1);
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

#[test]
fn a_later_message_of_an_incident_takes_the_place_of_one_that_is_put_off_for_hours() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let all = plan(&[]);
    outbox.store(&[firing("a1", "k1"), firing("a2", "k2")], 0).unwrap();
    let (first, _) = gather(&mut outbox, &all, 30 * S);
    let put_off = attempt(&first[0], Next::Retry { at_ns: 10_000 * S });
    outbox.record_attempts("on_call", "t", std::slice::from_ref(&put_off)).unwrap();
    outbox.store(&[alert("a1", 2, "k1"), firing("a3", "k3")], 40 * S).unwrap();
    assert_eq!(gather(&mut outbox, &all, 40 * S), (vec![], Some(330 * S)));
    assert_eq!(
        outbox.counts("on_call").unwrap(),
        Counts { pending: 4, in_messages: 2, ..Counts::default() },
        "two wait for the receiver, two for the interval"
    );
    let (second, _) = gather(&mut outbox, &all, 330 * S);
    assert_eq!((second.len(), second[0].id == first[0].id, second[0].revision), (1, true, 2));
    let data = body(&second[0])["data"].clone();
    assert_eq!((&data["alerts_firing"], &data["alerts_resolved"]), (&2.into(), &1.into()));
    // The first was under way just then.
    outbox.record_attempts("on_call", "t", &[put_off]).unwrap();
    assert_eq!(
        outbox.due_incidents("on_call", 20_000 * S, 9).unwrap(),
        second,
        "the first is not sent any more"
    );
    outbox.record_attempts("on_call", "t", &[attempt(&second[0], Next::Delivered)]).unwrap();
    assert_eq!(outbox.counts("on_call").unwrap(), Counts::default());
    let stored = outbox.reader().unwrap().alert("a2").unwrap();
    let delivery = stored[0].deliveries.iter().find(|d| d.receiver == "on_call").unwrap();
    assert_eq!(delivery.incident.as_ref(), Some(&second[0].message_id), "the one that told of it");
}

#[test]
fn what_is_silenced_while_a_message_of_its_incident_waits_is_held_back_and_not_forgotten() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    let draft = crate::types::SilenceDraft {
        matchers: vec!["key=k1".into()],
        starts_at_ns: None,
        ends_at_ns: 500 * S,
        author: "ann".into(),
        comment: String::new(),
    };
    let silences = [std::sync::Arc::new(crate::types::Silence::new(&draft, 0).unwrap())];
    outbox.store(&[firing("a1", "k1"), firing("a2", "k2")], 0).unwrap();
    let (first, _) = gather(&mut outbox, &plan(&[]), 30 * S);
    assert_eq!(first.len(), 1, "its first attempt is to come");
    outbox.store(&[alert("a1", 2, "k1")], 40 * S).unwrap();
    outbox.gather("on_call", &plan(&[]), 330 * S, &silences, &Default::default()).unwrap();
    assert_eq!(outbox.due_incidents("on_call", 330 * S, 9).unwrap(), first, "the end of a1 is silenced");
    assert_eq!(outbox.counts("on_call").unwrap().silenced, 1);
    let (second, _) = gather(&mut outbox, &plan(&[]), 500 * S);
    assert_eq!(second[0].revision, 2, "the receiver may have heard of a1 by then, so it hears of its end");
    assert_eq!(body(&second[0])["data"]["alerts_resolved"], 1);
}

#[test]
fn an_incident_keeps_the_labels_it_was_put_together_by() {
    let fixture = Fixture::new();
    let mut outbox = fixture.open();
    outbox.store(&[firing("a1", "k1")], 0).unwrap();
    let (first, _) = gather(&mut outbox, &plan(&[Label::Stream]), 30 * S);
    outbox.record_attempts("on_call", "t", &[attempt(&first[0], Next::Delivered)]).unwrap();
    // The config asks for another label from here on; an alert of today has the value that was another label's.
    outbox.store(&[alert("a1", 2, "k1"), firing("b1", "pumps")], 40 * S).unwrap();
    let (told, _) = gather(&mut outbox, &plan(&[Label::Key]), 330 * S);
    let mut groups: Vec<_> =
        told.iter().map(|due| (due.revision, body(due)["data"]["group"].clone())).collect();
    groups.sort_by_key(|(revision, _)| *revision);
    let expected = [(1, serde_json::json!({"key": "pumps"})), (2, serde_json::json!({"stream": "pumps"}))];
    assert_eq!(groups, expected);
}
