//! Show 5: one bad message of each kind in a long stream of good ones, from a real Kafka into the release binary. The stream
//! goes on, and each bad message is in the dead-letter topic as it came, with where it stood and what was wrong.
//!
//! `EDDY_KAFKA_MESSAGES` is the length of the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use crate::e2e;
use crate::e2e::eddy::{Deployment, Eddy, config};
use crate::e2e::expect;
use crate::e2e::group::{self, NOBODY, assert_told_once, committed, until_committed};
use crate::e2e::kafka::{Kafka, Received, Sent};
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{self, AHEAD, PARTITIONS, TOPIC, expected, partition_of, rows, setting};
use crate::plant::{Row, START_NS};

const DEAD: &str = "plant-dead";
/// Behind now, so that each bad message has a time of its own by which it is known.
const BEHIND_MS: i64 = 3_600_000;
const HEADER: (&str, &[u8]) = ("line", b"north");

#[derive(Clone)]
struct Bad {
    reason: &'static str,
    key: Option<&'static str>,
    payload: Vec<u8>,
}

/// One of each kind that a message can be refused for.
fn kinds() -> Vec<Bad> {
    let ts = START_NS / 1_000_000;
    let bad = |reason, payload: String| Bad { reason, key: Some("pump-0"), payload: payload.into_bytes() };
    let long_key = "k".repeat(256);
    let mut all = vec![
        bad("malformed", format!("{{\"pump\":\"pump-0\",\"ts\":{ts},\"fl")),
        bad("malformed", "flow=20.5".to_owned()),
        bad("malformed", String::new()),
        bad("no_key", format!("{{\"ts\":{ts},\"flow\":20}}")),
        bad("too_large", format!("{{\"pump\":\"{long_key}\",\"ts\":{ts},\"flow\":20}}")),
        bad("bad_time", "{\"pump\":\"pump-0\",\"flow\":20}".to_owned()),
        bad("bad_value", format!("{{\"pump\":\"pump-0\",\"ts\":{ts},\"flow\":\"20\"}}")),
        bad("no_columns", format!("{{\"pump\":\"pump-0\",\"ts\":{ts},\"state\":1}}")),
        bad(
            "future",
            format!(
                "{{\"pump\":\"pump-0\",\"ts\":{},\"flow\":20}}",
                expect::now_ns() / 1_000_000 + 200 * 86_400_000
            ),
        ),
    ];
    all.push(Bad { key: None, ..all[1].clone() });
    let payload = b"{\"pump\":\"\xff\"}".to_vec();
    all.push(Bad { reason: "malformed", key: Some("pump-0"), payload });
    all
}

/// What is to be in the dead-letter topic, by the time it was sent.
type SentBad = BTreeMap<i64, (Bad, i32)>;

/// Sends the rows, and the bad messages spread evenly among them.
fn send_with_bad(kafka: &Kafka, rows: &[Row], limit: &AtomicUsize) -> SentBad {
    let (producer, kinds) = (kafka.producer(), kinds());
    let every = rows.len() / (kinds.len() + 1);
    let begin_ms = expect::now_ns() / 1_000_000 - BEHIND_MS;
    let mut bad = SentBad::new();
    for (at, row) in rows.iter().enumerate() {
        while at >= limit.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (payload, key) = (row.message().payload, Some(row.key.as_bytes()));
        producer.send(&Sent { key, ..Sent::new(TOPIC, partition_of(&row.key), &payload) });
        let Some(kind) = kinds.get(at / every).filter(|_| at % every == every / 2) else { continue };
        let (sent_ms, partition) = (begin_ms + at as i64, (at / every) as i32 % PARTITIONS);
        let (key, headers) = (kind.key.map(str::as_bytes), &[(HEADER.0, Some(HEADER.1))]);
        let timestamp_ms = Some(sent_ms);
        producer.send(&Sent { key, timestamp_ms, headers, ..Sent::new(TOPIC, partition, &kind.payload) });
        bad.insert(sent_ms, (kind.clone(), partition));
    }
    producer.flush();
    bad
}

/// Each letter is a message that was sent, as it was sent, and says where that lies in its topic. How often each is there.
fn letters(kafka: &Kafka, sent: &SentBad) -> BTreeMap<i64, usize> {
    let mut found = BTreeMap::new();
    for letter in kafka.all_committed(DEAD) {
        let header = |name: &str| letter.headers.get(name).map(String::as_str);
        let at = header("eddy.timestamp_ms").expect("when it was sent").parse().expect("a number");
        let (bad, partition) = sent.get(&at).unwrap_or_else(|| panic!("nothing bad was sent at {at}"));
        assert_eq!(letter.key, bad.key.unwrap_or_default());
        assert!(letter.payload.as_deref() == Some(&bad.payload), "another value");
        assert_eq!(header(HEADER.0), Some("north"));
        assert_eq!(header("__connect.errors.topic"), Some(TOPIC));
        assert_eq!(header("__connect.errors.partition"), Some(partition.to_string().as_str()));
        assert_eq!(header("__connect.errors.exception.class.name"), Some(bad.reason));
        assert!(header("__connect.errors.exception.message").is_some_and(|text| !text.is_empty()));
        assert_eq!(header("__connect.errors.connector.name"), Some("eddy-test-plant"));
        let offset = header("__connect.errors.offset").expect("an offset").parse().expect("a number");
        let original: Received = kafka.one(TOPIC, *partition, offset);
        assert_eq!(original.timestamp_ms, Some(at), "it names another message");
        *found.entry(at).or_default() += 1;
    }
    found
}

fn until_there(kafka: &Kafka, sent: &SentBad) -> BTreeMap<i64, usize> {
    let began = Instant::now();
    loop {
        let found = letters(kafka, sent);
        if found.len() == sent.len() {
            return found;
        }
        assert!(began.elapsed() < e2e::WAIT_MAX, "{} of {} letters", found.len(), sent.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn reasons(sent: &SentBad) -> BTreeSet<&'static str> {
    sent.values().map(|(bad, _)| bad.reason).collect()
}

const STREAM: &str = "max_future = \"100d\"";

fn refused(eddy: &Eddy) -> u64 {
    let of = |reason: &str| eddy.metric(&format!("eddy_dead_letters_total{{reason=\"{reason}\"}}"));
    let reasons = ["malformed", "no_key", "too_large", "bad_time", "bad_value", "no_columns", "future"];
    reasons.map(of).iter().sum()
}

/// Two members, of which one is killed in the middle: each letter is there once, since it goes with its message's offset.
#[test]
fn of_several_each_bad_message_is_in_the_topic_once() {
    let rows = rows(setting("EDDY_KAFKA_MESSAGES", 50_000));
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let text = shared(&kafka);
    let deployments = [(); 2].map(|()| Deployment::new(&(text.clone() + "snapshot_every = \"1h\"\n")));
    let [stays, dies] = [0, 1].map(|at| deployments[at].start());
    let limit = AtomicUsize::new(AHEAD);
    let sent = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_with_bad(&kafka, &rows, &limit));
        until_committed(&kafka, rows.len() / 2, |now| limit.store(now + AHEAD, SeqCst));
        dies.kill();
        limit.store(usize::MAX, SeqCst);
        sending.join().expect("the producer ends")
    });
    until_committed(&kafka, rows.len() + sent.len(), |_| {});
    assert_told_once(&kafka, &expected);
    let found = until_there(&kafka, &sent);
    println!("{} rows, {} bad messages of {:?}", rows.len(), sent.len(), reasons(&sent));
    assert!(found.values().all(|times| *times == 1), "some are there more than once: {found:?}");
    assert!(stays.metric("eddy_recovered_messages_total") > 0, "nothing was read again");
    assert!(deployments.iter().all(|deployment| deployment.dead_letters().is_empty()), "the file has some");
    assert_eq!(committed(&kafka), rows.len() + sent.len());
}

/// A config of several Eddys whose dead letters go to [`DEAD`].
fn shared(kafka: &Kafka) -> String {
    group::text(kafka, "", NOBODY)
        .replace("max_future = \"none\"", STREAM)
        .replace("shared = ", &format!("dead_letters = \"{DEAD}\"\nshared = "))
}

fn metric(members: &[&Eddy], name: &str) -> u64 {
    members.iter().map(|eddy| eddy.metric(name)).sum()
}

/// A compacted topic takes no message without a key, however often it is asked: such a letter is in a member's file, and
/// holds up neither the group nor the letters beside it.
#[test]
fn of_several_a_letter_that_no_broker_takes_is_in_a_file() {
    let rows = rows(12_000);
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic_with(DEAD, 1, &[("cleanup.policy", "compact")]);
    let text = shared(&kafka);
    let deployments = [(); 2].map(|()| Deployment::new(&text));
    let [one, other] = [0, 1].map(|at| deployments[at].start());
    let began = Instant::now();
    let sent = send_with_bad(&kafka, &rows, &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, rows.len() + sent.len(), |_| {});
    println!("all is committed after {:.1} s", began.elapsed().as_secs_f64());
    assert_told_once(&kafka, &expected);
    let without_key = sent.values().filter(|(bad, _)| bad.key.is_none()).count();
    let in_topic = letters(&kafka, &sent);
    assert!(in_topic.values().all(|times| *times == 1), "some are there more than once: {in_topic:?}");
    // With it go those that were sent in one batch with it: the brokers refuse them together.
    let in_files: Vec<_> = deployments.iter().flat_map(Deployment::dead_letters).collect();
    assert_eq!((in_topic.len() + in_files.len(), without_key), (sent.len(), 1));
    assert!(!in_topic.is_empty(), "later ones are not tried");
    let keyless = in_topic.keys().filter(|at| sent[at].0.key.is_none()).count();
    assert_eq!(keyless, 0, "it was taken");
    assert_eq!(metric(&[&one, &other], "eddy_dead_letters_refused_total"), in_files.len() as u64);
    assert_eq!(refused(&one) + refused(&other), sent.len() as u64, "each is counted once");
}

/// Letters that no broker takes come all the time, for longer than a transaction may fail: the group goes on.
#[test]
fn of_several_letters_that_no_broker_takes_hold_nothing_up_though_there_is_no_end_of_them() {
    const FLOW: Duration = Duration::from_secs(35);
    const STANDS_MAX: Duration = Duration::from_secs(10);
    let rows = rows(12_000);
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic_with(DEAD, 1, &[("cleanup.policy", "compact")]);
    let text = group::text(&kafka, "", NOBODY)
        .replace("shared = ", &format!("dead_letters = \"{DEAD}\"\nshared = "));
    let deployment = Deployment::new(&text);
    let eddy = deployment.start();
    let (before, after) = rows.split_at(rows.len() / 2);
    topic::send(&kafka.producer(), before, &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, before.len(), |_| {});
    let goes_on = AtomicBool::new(true);
    let bad = std::thread::scope(|scope| {
        let flow = scope.spawn(|| {
            let (producer, mut sent) = (kafka.producer(), 0);
            while goes_on.load(SeqCst) {
                producer.send(&Sent::new(TOPIC, sent as i32 % PARTITIONS, b"flow=20.5"));
                sent += 1;
                // Closer together than transactions.
                std::thread::sleep(Duration::from_millis(1));
            }
            producer.flush();
            sent
        });
        topic::send(&kafka.producer(), after, &AtomicUsize::new(usize::MAX));
        let (began, mut last, mut stood) = (Instant::now(), (0, Instant::now()), Duration::ZERO);
        // Whoever asks waits meanwhile, if a transaction is under way.
        while began.elapsed() < FLOW && stood < STANDS_MAX {
            let now = committed(&kafka);
            stood = stood.max(last.1.elapsed());
            last = if now > last.0 { (now, Instant::now()) } else { last };
            std::thread::sleep(Duration::from_millis(100));
        }
        let told = group::told(&kafka).len();
        goes_on.store(false, SeqCst);
        let sent = flow.join().expect("the producer ends");
        println!("{} of {} messages; nothing was committed for {stood:.1?}", last.0, rows.len() + sent);
        assert!(stood < STANDS_MAX, "it stood for {stood:.1?}");
        assert_eq!(told, expected.decisions.len(), "told while they came");
        sent
    });
    until_committed(&kafka, rows.len() + bad, |_| {});
    assert_told_once(&kafka, &expected);
    assert_eq!(deployment.dead_letters().len(), bad);
    assert_eq!(eddy.metric("eddy_dead_letters_refused_total"), bad as u64);
}

/// A topic that takes nothing but the marks of transactions, for a reason that somebody may mend: letters are tried for a while,
/// and then kept.
#[test]
fn of_several_letters_that_are_refused_for_long_are_in_files() {
    let rows = rows(12_000);
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic_with(DEAD, 1, &[("max.message.bytes", "200")]);
    let text = shared(&kafka);
    let deployment = Deployment::new(&text);
    let mut eddy = deployment.start();
    let sent = send_with_bad(&kafka, &rows, &AtomicUsize::new(usize::MAX));
    eddy.until("it is said", |eddy| eddy.said().contains("dead letters are refused").then_some(()));
    assert!(deployment.dead_letters().is_empty(), "not at once");
    until_committed(&kafka, rows.len() + sent.len(), |_| {});
    assert_told_once(&kafka, &expected);
    assert!(letters(&kafka, &sent).is_empty());
    assert_eq!(deployment.dead_letters().len(), sent.len());
    assert_eq!(eddy.metric("eddy_dead_letters_refused_total"), sent.len() as u64);
}

/// The topic takes nothing at first, and the process is stopped: what it has not got by then is read back from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_each_bad_message_is_in_the_topic_though_that_took_nothing_at_first() {
    let rows = rows(setting("EDDY_KAFKA_MESSAGES", 50_000));
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    kafka.make_topic_with(DEAD, 1, &[("max.message.bytes", "10")]);
    let receiver = Receiver::start([]).await;
    let source = format!(
        "[source.plant]\ntype = \"kafka\"\nbrokers = [\"{}\"]\ntopics = [\"{TOPIC}\"]\ndead_letters = \"{DEAD}\"",
        kafka.brokers()
    );
    let text = config(&source, "[\"plant\"]", STREAM, &receiver.url) + "snapshot_every = \"1s\"\n";
    let deployment = Deployment::new(&text);
    let mut eddy = deployment.start();
    let sent = send_with_bad(&kafka, &rows, &AtomicUsize::new(usize::MAX));
    eddy.until("everything is taken", |eddy| (eddy.events() == rows.len() as u64).then_some(()));
    // Rounds of snapshots go by.
    std::thread::sleep(Duration::from_secs(3));
    eddy.until("it is said that letters are not written", |eddy| {
        eddy.said().contains("dead letters are not written").then_some(())
    });
    assert!(letters(&kafka, &sent).is_empty());
    let (status, said) = eddy.stop();
    assert!(status.success(), "a stop is in time though they are not written: {status}; it said:\n{said}");
    kafka.remove_topic(DEAD);
    let mut eddy = deployment.start();
    expect::settles(&mut eddy, &receiver, &expected);
    until_there(&kafka, &sent);
    assert_eq!(refused(&eddy), sent.len() as u64);
    assert!(deployment.dead_letters().is_empty(), "the file has some");
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    // Nothing of it is told again.
    let before = letters(&kafka, &sent);
    let eddy = deployment.start();
    assert_eq!(eddy.metric("eddy_recovered_messages_total"), 0, "all was saved when it was stopped");
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    assert_eq!(letters(&kafka, &sent), before);
}
