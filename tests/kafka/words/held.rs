//! What is held back, and let go.

use std::collections::BTreeMap;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use super::{ask, break_down, deployment, held, silence, silences, text, told, until_held, until_known};
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

/// How many alerts of the one partition count as delivered behind the first that is not.
fn delivered_behind(kafka: &Kafka) -> usize {
    let asking: BaseConsumer =
        kafka.client().set("group.id", format!("{GROUP}-delivery")).create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition(ALERTS, 0);
    let committed = asking.committed_offsets(list, e2e::WAIT_MAX).expect("an answer");
    let stretches = committed.elements()[0].metadata().to_owned();
    let length =
        |stretch: &str| stretch.split_once('+').expect("a stretch").1.parse::<usize>().expect("a number");
    stretches.split_whitespace().map(length).sum()
}

/// Its offset cannot be committed for as long as one before it is silenced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_behind_a_silenced_alert_is_not_told_again_by_the_next() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic(ALERTS, 1);
    let receiver = Receiver::start([]).await;
    let [here, there] = [(); 2].map(|()| deployment(&kafka, &receiver.url));
    let mut dies = here.start();
    let id = silence(&dies, "key=~pump-[0-4]");
    let all = break_down(&kafka);
    let order: Vec<Value> =
        kafka.all_committed(ALERTS).iter().map(|m| e2e::json(m.payload.as_ref().expect("a body"))).collect();
    let is_held =
        |alert: &Value| ("pump-0"..="pump-4").contains(&alert["data"]["key"].as_str().expect("a key"));
    let sent = order.iter().filter(|alert| !is_held(alert)).count();
    let behind = order.iter().skip_while(|alert| !is_held(alert)).filter(|alert| !is_held(alert)).count();
    assert!(behind > 0 && sent < all, "{behind} of {sent} of {all}");
    receiver.wait_for(sent).await;
    dies.until("it is written down", |_| (delivered_behind(&kafka) == behind).then_some(()));
    dies.kill();
    let mut next = there.start();
    next.until("it has taken over", |next| (held(&[next]) == all - sent).then_some(()));
    std::thread::sleep(QUIET);
    assert_eq!(told(&receiver).len(), sent);
    let (status, said) = ask(&next, "DELETE", &format!("/api/v1/silences/{id}"), &Value::Null);
    assert_eq!(status, 200, "{said}");
    receiver.wait_for(all).await;
    std::thread::sleep(QUIET);
    let told = told(&receiver);
    assert!(told.len() == all && told.values().all(|times| *times == 1), "{told:?}");
}
