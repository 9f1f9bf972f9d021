//! What is held back, and let go.

use std::collections::BTreeMap;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::{
    BROKEN, ask, break_down, deployment, held, silence, silences, text, told, until_held, until_known,
};
use crate::e2e;
use crate::e2e::eddy::Eddy;
use crate::e2e::group::{ALERTS, NOBODY, QUIET};
use crate::e2e::kafka::Kafka;
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{GROUP, PARTITIONS, TOPIC};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_said_to_one_holds_at_all_and_ended_at_another_lets_go_everywhere() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let [here, there, late] = [(); 3].map(|()| deployment(&kafka, &receiver.url));
    let (first, mut second) = (here.start(), there.start());
    let id = silence(&first, "stream=pumps");
    until_known(&mut second, &id, "active");
    let all = break_down(&kafka);
    until_held(&[&first, &second], all);
    // One that joins takes over what others hold back, restores partitions beside which words lie, and holds it back as well.
    let mut third = late.start();
    until_known(&mut third, &id, "active");
    third.until("it has alerts to deliver", |third| (held(&[third]) > 0).then_some(()));
    until_held(&[&first, &second, &third], all);
    std::thread::sleep(QUIET);
    assert_eq!(told(&receiver), BTreeMap::new());

    let (status, ended) = ask(&second, "DELETE", &format!("/api/v1/silences/{id}"), &Value::Null);
    assert_eq!((status, &ended["state"]), (200, &"expired".into()), "{ended}");
    receiver.wait_for(all).await;
    until_held(&[&first, &second, &third], 0);
    std::thread::sleep(QUIET);
    let told = told(&receiver);
    assert!(told.len() == all && told.values().all(|times| *times == 1), "{told:?}");
    for eddy in [&first, &second, &third] {
        assert_eq!(silences(eddy), BTreeMap::from([(id.clone(), "expired".to_owned())]));
    }
}

/// What it has to send when it starts was not silenced when it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_starts_sends_nothing_that_was_silenced_while_it_was_off() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let [here, there] = [(); 2].map(|()| deployment(&kafka, NOBODY));
    let mut off = here.start();
    let all = break_down(&kafka);
    off.until("all of it waits", |off| {
        (off.metric("eddy_sink_queued{sink=\"on_call\"}") == all as u64).then_some(())
    });
    off.kill();
    let on = there.start();
    let id = silence(&on, "stream=pumps");
    here.configure(&text(&kafka, &receiver.url));
    let mut off = here.start();
    until_known(&mut off, &id, "active");
    let queued = |eddy: &Eddy| eddy.metric("eddy_sink_queued{sink=\"on_call\"}") as usize;
    // What has failed before its start it would send at once: some of it is not due yet, and waits.
    off.until("it has looked", |off| (held(&[off]) + queued(off) > 0).then_some(()));
    std::thread::sleep(QUIET);
    assert_eq!(told(&receiver), BTreeMap::new());
}

/// What the group was told of the one partition of alerts.
struct Told {
    offset: i64,
    metadata: String,
}

impl Told {
    fn of(kafka: &Kafka) -> Self {
        let asking: BaseConsumer =
            kafka.client().set("group.id", format!("{GROUP}-delivery")).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition(ALERTS, 0);
        let committed = asking.committed_offsets(list, e2e::WAIT_MAX).expect("an answer");
        let first = &committed.elements()[0];
        Told { offset: first.offset().to_raw().expect("an offset"), metadata: first.metadata().to_owned() }
    }

    fn has(&self, offset: i64) -> bool {
        let mut end = self.offset;
        let is_in = |stretch: &str| {
            let (gap, length) = stretch.split_once('+').expect("a stretch");
            let number = |text: &str| text.parse::<i64>().expect("a number");
            let start = end + number(gap);
            end = start + number(length);
            (start..end).contains(&offset)
        };
        offset < self.offset || self.metadata.split_whitespace().any(is_in)
    }
}

/// Offsets and keys of all alerts.
fn order(kafka: &Kafka) -> Vec<(i64, String)> {
    let key = |payload: &[u8]| e2e::json(payload)["data"]["key"].as_str().expect("a key").to_owned();
    let all = kafka.all_committed(ALERTS);
    all.iter().map(|message| (message.offset, key(message.payload.as_ref().expect("a body")))).collect()
}

fn is_held(key: &str) -> bool {
    ("pump-0"..="pump-4").contains(&key)
}

/// Its offset cannot be committed for as long as one before it is silenced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_behind_a_silenced_alert_is_not_told_again_by_the_next() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic(ALERTS, 1);
    let receiver = Receiver::start([]).await;
    let [here, there, back] = [(); 3].map(|()| deployment(&kafka, &receiver.url));
    let mut dies = here.start();
    let id = silence(&dies, "key=~pump-[0-4]");
    let all = break_down(&kafka);
    let order = order(&kafka);
    let sent = order.iter().filter(|(_, key)| !is_held(key)).count();
    let behind = order.iter().skip_while(|(_, key)| !is_held(key)).filter(|(_, key)| !is_held(key)).count();
    assert!(behind > 0 && sent < all, "{behind} of {sent} of {all}");
    let is_written = || {
        let told = Told::of(&kafka);
        order.iter().all(|(offset, key)| told.has(*offset) != is_held(key))
    };
    receiver.wait_for(sent).await;
    dies.until("it is written down", |_| is_written().then_some(()));
    dies.kill();
    let mut next = there.start();
    next.until("it has taken over", |next| (held(&[next]) == all - sent).then_some(()));
    std::thread::sleep(QUIET);
    assert_eq!(told(&receiver).len(), sent);
    assert!(is_written(), "it still is");
    next.stop();
    let mut last = back.start();
    last.until("it has taken over", |last| (held(&[last]) == all - sent).then_some(()));
    let (status, said) = ask(&last, "DELETE", &format!("/api/v1/silences/{id}"), &Value::Null);
    assert_eq!(status, 200, "{said}");
    receiver.wait_for(all).await;
    std::thread::sleep(QUIET);
    let told = told(&receiver);
    assert!(told.len() == all && told.values().all(|times| *times == 1), "{told:?}");
}

/// It has just been delivered, and is said before the partition goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stops_says_before_what_it_delivered_behind_a_silenced_alert() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic(ALERTS, 1);
    let receiver = Receiver::start([]).await;
    let deployment = deployment(&kafka, &receiver.url);
    let mut stops = deployment.start();
    silence(&stops, "key=~pump-[0-4]");
    let mut each: Vec<(String, String)> = (5..BROKEN)
        .map(|pump| format!("pump-{pump}"))
        .map(|key| (silence(&stops, &format!("key={key}")), key))
        .collect();
    break_down(&kafka);
    let order = order(&kafka);
    until_held(&[&stops], order.len());
    let delivered = |eddy: &Eddy| eddy.metric("eddy_sink_delivered_total{sink=\"on_call\"}") as usize;
    while let Some((id, key)) = each.pop() {
        let (status, said) = ask(&stops, "DELETE", &format!("/api/v1/silences/{id}"), &Value::Null);
        assert_eq!(status, 200, "{said}");
        let sent = order.iter().filter(|(_, of)| *of == key).count();
        stops.until("they are delivered", |stops| (delivered(stops) == sent).then_some(()));
        stops.stop();
        let told = Told::of(&kafka);
        let waits = |key: &str| is_held(key) || each.iter().any(|(_, of)| of == key);
        assert!(
            order.iter().all(|(offset, key)| told.has(*offset) != waits(key)),
            "{key}: {}",
            told.metadata
        );
        stops = deployment.start();
        let left = order.iter().filter(|(_, key)| waits(key)).count();
        until_held(&[&stops], left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_take_no_such_metadata_are_told_offsets_without_it() {
    let kafka = Kafka::start();
    kafka.kill();
    kafka.set("offset.metadata.max.bytes=1");
    kafka.launch();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic(ALERTS, 1);
    let receiver = Receiver::start([]).await;
    let deployment = deployment(&kafka, &receiver.url);
    let mut eddy = deployment.start();
    let all = silence(&eddy, "stream=pumps");
    break_down(&kafka);
    let order = order(&kafka);
    let first = &order[0].1;
    let (next, second) = order.iter().find(|(_, key)| key != first).expect("of another");
    let [gone, _stays] = [first, second].map(|key| silence(&eddy, &format!("key={key}")));
    let end = |eddy: &Eddy, id: &str| {
        let (status, said) = ask(eddy, "DELETE", &format!("/api/v1/silences/{id}"), &Value::Null);
        assert_eq!(status, 200, "{said}");
    };
    end(&eddy, &all);
    eddy.until("it says why", |eddy| {
        eddy.said().contains("give the brokers offset.metadata.max.bytes = 4096").then_some(())
    });
    end(&eddy, &gone);
    eddy.until("the offset goes on", |_| (Told::of(&kafka).offset == *next).then_some(()));
    assert_eq!(Told::of(&kafka).metadata, "");
}
