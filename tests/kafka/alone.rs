//! Events in eight partitions of a real Kafka into the release binary. The broker is killed with SIGKILL once and the
//! binary again and again; what is decided and told equals what the engine decides of the same events, and the log
//! holds each message once.
//!
//! `EDDY_KAFKA_EVENTS` and `EDDY_KAFKA_KILLS` make it longer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::kafka::{Kafka, Sent};
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{AHEAD, GROUP, PARTITIONS, TOPIC, expected, rows, send, setting};
use crate::plant;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn source(kafka: &Kafka) -> String {
    format!("[source.plant]\ntype = \"kafka\"\nbrokers = [\"{}\"]\ntopics = [\"{TOPIC}\"]", kafka.brokers())
}

/// Kills and restarts at random moments of the stream; the broker once, in the middle.
fn kill_again_and_again(
    deployment: &Deployment,
    mut eddy: Eddy,
    kafka: &Kafka,
    total: usize,
    limit: &AtomicUsize,
) -> Eddy {
    let kills = setting("EDDY_KAFKA_KILLS", 3);
    let mut rng = ChaCha8Rng::seed_from_u64(plant::seeds(1)[0]);
    let share = total * 8 / 10 / kills;
    let mut reread = Vec::new();
    for kill in 0..kills {
        let moment = share * kill + rng.random_range(share / 4..share);
        eddy.until("the stream goes on", |eddy| {
            let events = eddy.events() as usize;
            limit.store(events.min(moment) + AHEAD, SeqCst);
            (events >= moment).then_some(())
        });
        if kill == kills / 2 {
            kafka.kill();
            kafka.launch();
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..5_000)));
        eddy.kill();
        eddy = deployment.start();
        reread.push(eddy.metric("eddy_recovered_messages_total"));
    }
    limit.store(usize::MAX, SeqCst);
    println!("read back at each start: {reread:?}");
    assert!(reread.iter().any(|messages| *messages > 0), "no kill met a message that was not saved");
    eddy
}

/// Offsets of each partition as the log has them.
fn logged(deployment: &Deployment) -> BTreeMap<i32, Vec<i64>> {
    let mut found = BTreeMap::<i32, Vec<i64>>::new();
    for message in deployment.logged() {
        let origin = message.origin.expect("a message of Kafka");
        found.entry(origin.partition).or_default().push(origin.offset);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_the_broker_and_of_eddy_change_nothing() {
    let rows = rows(setting("EDDY_KAFKA_EVENTS", 50_000));
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let deployment = Deployment::new(
        &(config(&source(&kafka), "[\"plant\"]", "max_future = \"none\"", &receiver.url)
            + "snapshot_every = \"1s\"\n"),
    );
    let mut eddy = deployment.start();
    let limit = Arc::new(AtomicUsize::new(AHEAD));
    let sending = {
        let (producer, rows, limit) = (kafka.producer(), rows.clone(), limit.clone());
        std::thread::spawn(move || send(&producer, &rows, &limit))
    };
    eddy = kill_again_and_again(&deployment, eddy, &kafka, rows.len(), &limit);
    sending.join().expect("the producer ends");
    expect::settles(&mut eddy, &receiver, &expected);
    eddy.until("nothing behind", |eddy| {
        (eddy.metric("eddy_source_lag{source=\"plant\"}") == 0).then_some(())
    });
    assert_eq!(eddy.metric("eddy_source_lost_total{source=\"plant\"}"), 0);
    assert_eq!(eddy.metric("eddy_source_partitions{source=\"plant\"}"), PARTITIONS as u64);
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let ends = kafka.ends(TOPIC, PARTITIONS);
    let whole: BTreeMap<i32, Vec<i64>> =
        (0..).zip(&ends).map(|(partition, end)| (partition, (0..*end).collect())).collect();
    assert_eq!(ends.iter().sum::<i64>(), rows.len() as i64);
    assert!(logged(&deployment) == whole, "the log has gaps or doubles");
    let committed: Vec<i64> = kafka.committed(GROUP, TOPIC, PARTITIONS).into_iter().flatten().collect();
    assert_eq!(committed, ends, "lag tools show none");
}

/// Why it is refused, its key and its value.
type Bad = (&'static str, Option<&'static [u8]>, Option<&'static [u8]>);

/// Read as a backlog: whichever partition comes first makes nothing of the other late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_messages_stop_nothing_and_say_where_they_stand() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, 2);
    let receiver = Receiver::start([]).await;
    let text = config(&source(&kafka), "[\"plant\"]", "max_future = \"none\"", &receiver.url)
        .replace("key = \"pump\"", "key = \"kafka.key\"");
    let deployment = Deployment::new(&text);
    let rows = plant::rows(4, 500, 5, 0..0);
    let producer = kafka.producer();
    let bad: [Bad; 6] = [
        ("malformed", Some(b"pump-0"), Some(b"{\"ts\":")),
        ("malformed", Some(b"pump-0"), Some(b"")),
        ("no_key", None, Some(b"{}")),
        ("no_key", Some(b"\xff\xfe"), Some(b"{}")),
        ("bad_time", Some(b"pump-0"), Some(b"{\"ts\":\"x\"}")),
        ("", Some(b"pump-0"), None),
    ];
    for (at, row) in rows.iter().enumerate() {
        let payload = row.message().payload;
        let partition = i32::from(row.key.ends_with(['1', '3']));
        let key = Some(row.key.as_bytes());
        producer.send(&Sent { key, ..Sent::new(TOPIC, partition, &payload) });
        if let Some((_, key, payload)) = bad.get(at / 100).filter(|_| at % 100 == 50) {
            producer.send(&Sent { key: *key, payload: *payload, ..Sent::new(TOPIC, 0, b"") });
        }
    }
    producer.flush();
    let mut eddy = deployment.start();
    eddy.until("everything is taken", |eddy| (eddy.events() == rows.len() as u64).then_some(()));
    let late: u64 = eddy.partitions().iter().map(|p| p.late_total).sum();
    assert_eq!(late, 0, "each partition has a watermark of its own");
    assert_eq!(eddy.metric("eddy_source_tombstones_total{source=\"plant\"}"), 1);
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let letters = deployment.dead_letters();
    let reasons: Vec<&str> =
        letters.iter().map(|letter| letter["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["malformed", "malformed", "no_key", "no_key", "bad_time"]);
    let at = deployment.logged();
    for letter in &letters {
        assert_eq!((&letter["topic"], &letter["partition"]), (&TOPIC.into(), &0.into()));
        let position = letter["position"].as_u64().expect("a position") as usize;
        let origin = at[position].origin.as_ref().expect("a message of Kafka");
        assert_eq!(letter["offset"], origin.offset);
    }
}
