//! The Kafka source against a real Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::kafka::{Kafka, Sent};
use crate::support::{FakeLog, Rig, numbered, read, stop, texts};
use eddy::config::plan::{ClusterPlan, KafkaPlan, KafkaStart, SourceKind};
use eddy::types::{Header, Message, Offsets};

/// As long as a member that has gone without a word is waited for.
const SESSION: Duration = Duration::from_secs(46);
/// Longer than the client takes to commit what is stored.
const COMMITTED: Duration = Duration::from_millis(2500);

fn plan(kafka: &Kafka, topic: &str) -> KafkaPlan {
    KafkaPlan {
        cluster: ClusterPlan { brokers: vec![kafka.brokers()], tls: None, sasl: None },
        topics: vec![topic.into()],
        group: format!("of-{topic}"),
        member: "eddy-test-plant".into(),
        start: KafkaStart::Earliest,
        dead_letters: None,
        registry: None,
        shared: None,
    }
}

/// A topic of its own for a test.
fn topic(kafka: &Kafka, partitions: i32) -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let name = format!("plant.{}", MADE.fetch_add(1, Ordering::Relaxed));
    kafka.make_topic(&name, partitions);
    name
}

fn rig(plan: KafkaPlan, logged: &[(i32, i64)]) -> (Rig, FakeLog) {
    let topic = plan.topics[0].clone();
    let (mut rig, log) = Rig::new(SourceKind::Kafka(plan));
    if !logged.is_empty() {
        rig.context.offsets_logged = Offsets::from([(topic.into(), logged.iter().copied().collect())]);
    }
    (rig, log)
}

fn offsets(messages: &[Message]) -> BTreeMap<i32, Vec<i64>> {
    let mut found = BTreeMap::<i32, Vec<i64>>::new();
    for origin in messages.iter().map(|message| message.origin.as_ref().expect("an origin")) {
        found.entry(origin.partition).or_default().push(origin.offset);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_arrives_once_in_order_and_is_committed_to_its_end() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 4);
    (0..4).for_each(|partition| kafka.produce(&topic, partition, &numbered(0..500)));
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    let messages = log.accept(2000).await;
    let each: Vec<i64> = (0..500).collect();
    assert_eq!(offsets(&messages), (0..4).map(|partition| (partition, each.clone())).collect());
    assert!(messages.iter().all(|m| *m.topic == *topic && &*m.source == "plant"));
    rig.until_acked(2000).await;
    rig.until("nothing behind", |s| s.kafka.lag() == Some(0) && !s.kafka.behind.load(Ordering::Relaxed))
        .await;
    assert_eq!(read(&rig.status().kafka.partitions), 4);
    log.stays_empty(Duration::from_millis(200)).await;
    stop(&rig, task).await;
    assert_eq!(kafka.committed(&format!("of-{topic}"), &topic, 4), [Some(500); 4], "lag tools show none");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_headers_and_time_come_along_and_tombstones_do_not() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    let producer = kafka.producer();
    let headers: [(&str, Option<&[u8]>); 2] = [("site", Some(b"north")), ("empty", None)];
    let whole = Sent {
        key: Some(b"pump-1"),
        headers: &headers,
        timestamp_ms: Some(1_700_000_000_123),
        ..Sent::new(&topic, 0, b"{}")
    };
    producer.send(&whole);
    producer.send(&Sent { payload: None, ..whole });
    producer.send(&Sent::new(&topic, 0, b""));
    producer.flush();
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    let messages = log.accept(2).await;
    assert_eq!(texts(&messages), ["{}", ""], "no value and an empty one differ");
    let origin = messages[0].origin.as_deref().expect("an origin");
    assert_eq!((origin.key.as_deref(), origin.timestamp_ms), (Some(&b"pump-1"[..]), Some(1_700_000_000_123)));
    let header = |name: &str, value: Option<&'static [u8]>| Header {
        name: name.into(),
        value: value.map(bytes::Bytes::from_static),
    };
    assert_eq!(*origin.headers, [header("site", Some(b"north")), header("empty", None)]);
    assert_eq!(messages[1].origin.as_deref().map(|o| (o.offset, o.key.clone())), Some((2, None)));
    rig.until_acked(2).await;
    stop(&rig, task).await;
    assert_eq!(read(&rig.status().kafka.tombstones_total), 1);
    assert_eq!(kafka.committed(&format!("of-{topic}"), &topic, 1), [Some(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_it_is_logged() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    let group = format!("of-{topic}");
    kafka.produce(&topic, 0, &numbered(0..3));
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    let held = log.next().await;
    tokio::time::sleep(COMMITTED).await;
    assert_eq!(kafka.committed(&group, &topic, 1), [None], "committed before the log had it");
    let held_count = held.messages.len();
    held.logged.send(Ok(())).expect("the source waits for it");
    log.accept(3 - held_count).await;
    rig.until_acked(3).await;
    let committed = || kafka.committed(&group, &topic, 1) == [Some(3)];
    rig.until("committed", |_| tokio::task::block_in_place(committed)).await;
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_where_to_go_on_and_not_the_group() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 2);
    let group = format!("of-{topic}");
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(0..10)));
    kafka.commit(&group, &topic, 0, 9);
    kafka.commit(&group, &topic, 1, 1);
    let (rig, mut log) = rig(plan(&kafka, &topic), &[(0, 4), (1, 8)]);
    let task = rig.spawn();
    assert_eq!(offsets(&log.accept(8).await), BTreeMap::from([(0, (4..10).collect()), (1, vec![8, 9])]));
    rig.until_acked(8).await;
    stop(&rig, task).await;
    assert_eq!(kafka.committed(&group, &topic, 2), [Some(10); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_refuses_comes_again_without_a_gap() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    kafka.produce(&topic, 0, &numbered(0..2000));
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    let first = log.next().await;
    let mut logged = first.messages;
    first.logged.send(Ok(())).expect("the source waits for it");
    if logged.len() < 2000 {
        log.refuse().await;
        rig.until_told("the log cannot be written").await;
        assert!(!rig.status().connected.load(Ordering::Relaxed));
    }
    logged.extend(log.accept(2000 - logged.len()).await);
    assert_eq!(offsets(&logged), BTreeMap::from([(0, (0..2000).collect())]));
    kafka.produce(&topic, 0, &numbered(2000..2001));
    log.refuse().await;
    assert_eq!(offsets(&log.accept(1).await), BTreeMap::from([(0, vec![2000])]));
    rig.until_acked(2001).await;
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_unread_is_told_and_counted_and_the_rest_is_read() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    kafka.produce(&topic, 0, &numbered(0..50));
    kafka.delete_before(&topic, 0, 30);
    let (rig, mut log) = rig(plan(&kafka, &topic), &[(0, 10)]);
    let task = rig.spawn();
    assert_eq!(offsets(&log.accept(20).await), BTreeMap::from([(0, (30..50).collect())]));
    assert_eq!(read(&rig.status().kafka.lost_total), 20);
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_is_read_from_its_beginning() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    kafka.produce(&topic, 0, &numbered(0..5));
    let (rig, mut log) = rig(plan(&kafka, &topic), &[(0, 1000)]);
    let task = rig.spawn();
    assert_eq!(offsets(&log.accept(5).await), BTreeMap::from([(0, (0..5).collect())]));
    stop(&rig, task).await;
    assert_eq!(read(&rig.status().kafka.lost_total), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_takes_what_comes_from_now_on_and_what_came_while_it_was_away() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 2);
    kafka.produce(&topic, 0, &numbered(0..10));
    let latest = KafkaPlan { start: KafkaStart::Latest, ..plan(&kafka, &topic) };
    let (first, mut log) = rig(latest.clone(), &[]);
    let task = first.spawn();
    first.until_connected().await;
    kafka.produce(&topic, 0, &numbered(10..12));
    assert_eq!(texts(&log.accept(2).await), numbered(10..12));
    stop(&first, task).await;
    kafka.produce(&topic, 1, &numbered(0..3));
    // The log has nothing of partition 1, and its end is behind what came meanwhile.
    let (second, mut log) = rig(latest, &[(0, 12)]);
    let task = second.spawn();
    assert_eq!(offsets(&log.accept(3).await), BTreeMap::from([(1, vec![0, 1, 2])]));
    stop(&second, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_to_start_at_is_the_first_message_not_before_it() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    let producer = kafka.producer();
    let begin = 1_700_000_000_000;
    for n in 0..10 {
        producer.send(&Sent { timestamp_ms: Some(begin + n * 1000), ..Sent::new(&topic, 0, b"{}") });
    }
    producer.flush();
    let start = KafkaStart::At(begin + 6500);
    let (rig, mut log) = rig(KafkaPlan { start, ..plan(&kafka, &topic) }, &[]);
    let task = rig.spawn();
    assert_eq!(offsets(&log.accept(3).await), BTreeMap::from([(0, vec![7, 8, 9])]));
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_told_and_taken_once_it_is_there() {
    let kafka = Kafka::shared();
    let (rig, mut log) = rig(plan(&kafka, "not.there"), &[]);
    let task = rig.spawn();
    rig.until_told("make it, or correct `topics`").await;
    assert!(!rig.status().connected.load(Ordering::Relaxed));
    kafka.make_topic("not.there", 1);
    kafka.produce("not.there", 0, &numbered(0..2));
    assert_eq!(texts(&log.accept(2).await), numbered(0..2));
    rig.until_connected().await;
    assert_eq!(*rig.status().last_error.lock().unwrap(), None);
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_log_holds_the_source_back_and_costs_nothing() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 2);
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(0..30_000)));
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    let held = log.next().await;
    // Long enough for it to pause.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let taken = read(&rig.status().messages_total);
    assert!(taken < 20_000, "{taken} messages were taken that are in no log");
    let mut logged = held.messages;
    held.logged.send(Ok(())).expect("the source waits for it");
    logged.extend(log.accept(60_000 - logged.len()).await);
    let each: Vec<i64> = (0..30_000).collect();
    assert_eq!(offsets(&logged), BTreeMap::from([(0, each.clone()), (1, each)]));
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_mid_stream_loses_and_doubles_nothing() {
    let kafka = Arc::new(Kafka::start());
    let topic = topic(&kafka, 2);
    let (rig, log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(0..500)));
    let logged = log.accept_from_now_on();
    rig.until("some logged", |_| !logged.lock().unwrap().is_empty()).await;
    tokio::task::block_in_place(|| kafka.kill());
    rig.until_told("start it, or correct `brokers`").await;
    assert!(!rig.status().connected.load(Ordering::Relaxed));
    tokio::task::block_in_place(|| kafka.launch());
    (0..2).for_each(|partition| kafka.produce(&topic, partition, &numbered(500..1000)));
    rig.until("all logged", |_| logged.lock().unwrap().len() >= 2000).await;
    rig.until_connected().await;
    assert_eq!(read(&rig.status().reconnects_total), 1);
    stop(&rig, task).await;
    let each: Vec<i64> = (0..1000).collect();
    assert_eq!(offsets(&logged.lock().unwrap()), BTreeMap::from([(0, each.clone()), (1, each)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_at_the_start_is_waited_for() {
    let kafka = Kafka::start();
    let topic = topic(&kafka, 1);
    kafka.produce(&topic, 0, &numbered(0..2));
    tokio::task::block_in_place(|| kafka.kill());
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    rig.until_told("start it, or correct `brokers`").await;
    tokio::task::block_in_place(|| kafka.launch());
    assert_eq!(texts(&log.accept(2).await), numbered(0..2));
    stop(&rig, task).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_in_time_though_the_broker_is_away() {
    let kafka = Kafka::start();
    let topic = topic(&kafka, 1);
    kafka.produce(&topic, 0, &numbered(0..2));
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    log.accept(2).await;
    rig.until_acked(2).await;
    tokio::task::block_in_place(|| kafka.kill());
    let begun = std::time::Instant::now();
    stop(&rig, task).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_took_back_is_not_read_and_its_marks_are_no_lag() {
    let kafka = Kafka::shared();
    let topic = topic(&kafka, 1);
    kafka.transaction(&topic, &numbered(0..3), true);
    kafka.transaction(&topic, &numbered(3..5), false);
    kafka.transaction(&topic, &numbered(5..7), true);
    let (rig, mut log) = rig(plan(&kafka, &topic), &[]);
    let task = rig.spawn();
    let messages = log.accept(5).await;
    assert_eq!(texts(&messages), [numbered(0..3), numbered(5..7)].concat());
    rig.until("nothing behind", |s| s.kafka.lag() == Some(0)).await;
    log.stays_empty(Duration::from_millis(200)).await;
    stop(&rig, task).await;
}

/// Brokers give a member that comes back what it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_comes_back_with_another_topic_reads_that_one() {
    let kafka = Kafka::shared();
    let (before, after) = (topic(&kafka, 2), topic(&kafka, 2));
    (0..2).for_each(|partition| kafka.produce(&before, partition, &numbered(0..10)));
    (0..2).for_each(|partition| kafka.produce(&after, partition, &numbered(0..10)));
    for topic in [&before, &after] {
        if topic == &after {
            // Until then the group waits for who it was.
            tokio::time::sleep(SESSION).await;
        }
        let (rig, mut log) = rig(KafkaPlan { group: format!("of-{before}"), ..plan(&kafka, topic) }, &[]);
        let task = rig.spawn();
        let found = log.accept(20).await;
        assert!(found.iter().all(|message| *message.topic == **topic), "{topic} alone is read");
        stop(&rig, task).await;
    }
}
