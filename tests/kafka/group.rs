//! Several release binaries on one topic of a real Kafka. Members are killed with SIGKILL at random and started again, one
//! leaves, one joins, the broker is killed: what the alerts topic holds, read as committed, is what one engine decides
//! of the same events, each revision once, and receivers get every one.
//!
//! `EDDY_KAFKA_EVENTS` and `EDDY_KAFKA_KILLS` make it longer, `EDDY_KAFKA_KEYS` makes what is handed over larger.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::e2e::eddy::{Deployment, Eddy};
use crate::e2e::expect::up_to_now;
use crate::e2e::group::{
    NOBODY, QUIET, STATE, assert_told_once, committed, deployment, text, told, until_committed,
};
use crate::e2e::kafka::{Kafka, Sent};
use crate::e2e::receiver::Receiver;
use crate::e2e::topic::{AHEAD, GROUP, PARTITIONS, TOPIC, expected, rows, send, setting};
use crate::plant::SECOND_NS;
use crate::{e2e, plant};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Longer than the group waits for a member that is not heard of.
const SLEEP: Duration = Duration::from_secs(13);

/// Kills and restarts at random moments of the stream; the broker once, in the middle.
fn kill_again_and_again(
    members: &mut [(Deployment, Option<Eddy>)],
    kafka: &Kafka,
    total: usize,
    limit: &AtomicUsize,
) {
    let kills = setting("EDDY_KAFKA_KILLS", 3);
    let mut rng = ChaCha8Rng::seed_from_u64(plant::seeds(1)[0]);
    let share = total * 7 / 10 / kills;
    for kill in 0..kills {
        let moment = share * kill + rng.random_range(share / 4..share);
        until_committed(kafka, moment, |now| limit.store(now.min(moment) + AHEAD, SeqCst));
        if kill == kills / 2 {
            kafka.kill();
            kafka.launch();
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..150_000)));
        let member = rng.random_range(0..members.len());
        let (deployment, eddy) = &mut members[member];
        let killed = eddy.take().expect("it runs");
        println!("member {member} at {moment}: {}", figures(&killed));
        killed.kill();
        *eddy = Some(deployment.start());
    }
}

fn figures(eddy: &Eddy) -> String {
    let of = |name: &str| eddy.metric(&format!("eddy_source_{name}{{source=\"plant\"}}"));
    format!(
        "{} partitions, {} taken over, the last in {:.3} s, {} messages read again",
        of("partitions"),
        of("handovers_total"),
        eddy.seconds("eddy_source_handover_seconds{source=\"plant\"}"),
        eddy.metric("eddy_recovered_messages_total"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_die_leave_and_join_decide_as_one() {
    let rows = rows(setting("EDDY_KAFKA_EVENTS", 50_000));
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let mut members: Vec<(Deployment, Option<Eddy>)> = (0..3)
        .map(|_| deployment(&kafka, &receiver.url, "1s"))
        .map(|deployment| {
            let eddy = deployment.start();
            (deployment, Some(eddy))
        })
        .collect();
    let limit = Arc::new(AtomicUsize::new(AHEAD));
    let sending = {
        let (producer, rows, limit) = (kafka.producer(), rows.clone(), limit.clone());
        std::thread::spawn(move || send(&producer, &rows, &limit))
    };
    kill_again_and_again(&mut members, &kafka, rows.len(), &limit);
    let now = committed(&kafka);
    limit.store(now + 2 * AHEAD, SeqCst);
    let (status, said) = members[0].1.take().expect("it runs").stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    until_committed(&kafka, now + AHEAD, |_| {});
    let joined = deployment(&kafka, &receiver.url, "1s");
    members.push((joined, None));
    let last = members.len() - 1;
    members[last].1 = Some(members[last].0.start());
    limit.store(usize::MAX, SeqCst);
    sending.join().expect("the producer ends");
    until_committed(&kafka, rows.len(), |_| {});
    assert_told_once(&kafka, &expected);
    let told = members[last].1.as_mut().expect("it runs").until("who is in the group", |eddy| {
        let members = eddy.get("/api/v1/status")["sources"][0]["kafka"]["members"].clone();
        let partitions = |member: &Value| member["partitions"].as_array().map_or(0, Vec::len);
        let all = members.as_array()?.iter().map(partitions).sum::<usize>();
        (all == PARTITIONS as usize).then_some(members)
    });
    println!("{told}");
    for (member, eddy) in members.iter().enumerate().filter_map(|(i, (_, eddy))| Some((i, eddy.as_ref()?))) {
        println!("member {member} in the end: {}", figures(eddy));
    }
    let delivered: Vec<String> =
        receiver.wait_for(expected.decisions.len()).await.iter().map(|r| r.id().to_owned()).collect();
    assert!(expected.decisions.keys().all(|id| delivered.contains(id)), "a receiver lacks alerts");
    for (_, eddy) in members {
        if let Some(eddy) = eddy {
            let (status, said) = eddy.stop();
            assert!(status.success(), "{status}; it said:\n{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_of_a_member_that_dies_are_delivered_by_another() {
    let rows = rows(12_000);
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let (here, there) = (deployment(&kafka, &receiver.url, "1s"), deployment(&kafka, NOBODY, "1s"));
    let (mut alive, mut dies) = (here.start(), there.start());
    send(&kafka.producer(), &rows, &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, rows.len(), |_| {});
    assert_told_once(&kafka, &expected);
    dies.until("something to deliver at the one that dies", |dies| {
        (dies.metric("eddy_sink_queued{sink=\"on_call\"}") > 0).then_some(())
    });
    dies.kill();
    let delivered = || -> Vec<String> { receiver.received().iter().map(|r| r.id().to_owned()).collect() };
    alive.until("everything is delivered", |_| {
        let delivered = delivered();
        expected.decisions.keys().all(|id| delivered.contains(id)).then_some(())
    });
    assert!(delivered().iter().all(|id| expected.decisions.contains_key(id)), "other ids");
}

/// Told by both, a revision could come behind the one after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_hands_over_and_has_not_told_is_left_to_the_next() {
    let rows = rows(12_000);
    let expected = expected(&rows);
    let all = expected.decisions.len();
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let (here, there) = (deployment(&kafka, NOBODY, "1s"), deployment(&kafka, &receiver.url, "1s"));
    let mut first = here.start();
    send(&kafka.producer(), &rows, &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, rows.len(), |_| {});
    let queued = |eddy: &Eddy| eddy.metric("eddy_sink_queued{sink=\"on_call\"}") as usize;
    first.until("all alerts wait", |eddy| (queued(eddy) == all).then_some(()));
    let _next = there.start();
    let told = || -> BTreeSet<String> { receiver.received().iter().map(|r| r.id().to_owned()).collect() };
    first.until("each waits at one or was told by the other", |eddy| {
        let (queued, told) = (queued(eddy), told().len());
        (told > 0 && queued + told == all).then_some(())
    });
    assert!(told().iter().all(|id| expected.decisions.contains_key(id)), "other ids");
}

/// With much in hand that is judged and not told: the group must refuse it.
#[test]
fn a_member_that_slept_tells_nothing_twice() {
    let rows = rows(setting("EDDY_KAFKA_EVENTS", 50_000).max(200_000));
    let expected = expected(&rows);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let [sleeps, stays] = [(); 2].map(|()| deployment(&kafka, NOBODY, "1s"));
    let mut sleeper = sleeps.start();
    send(&kafka.producer(), &rows, &AtomicUsize::new(usize::MAX));
    let early = rows.len() / 20;
    until_committed(&kafka, early, |_| {});
    sleeper.freeze();
    let at = committed(&kafka);
    assert!(at < rows.len() * 4 / 5, "it had told {at} of {} when it was stopped", rows.len());
    let began = Instant::now();
    let eddy = stays.start();
    until_committed(&kafka, rows.len(), |_| {});
    std::thread::sleep(SLEEP.saturating_sub(began.elapsed()));
    sleeper.thaw();
    sleeper.until("it is one of the group again", |sleeper| {
        (sleeper.metric("eddy_source_reconnects_total{source=\"plant\"}") > 0).then_some(())
    });
    println!("slept at {at} of {}; {}", rows.len(), figures(&sleeper));
    assert_told_once(&kafka, &expected);
    assert_eq!(committed(&kafka), rows.len());
    drop(eddy);
}

/// What is acknowledged is on two brokers at least: with one killed and its disk lost, the others have it.
#[test]
fn the_leader_of_three_brokers_is_killed_and_nothing_is_lost_or_told_twice() {
    let rows = rows(setting("EDDY_KAFKA_EVENTS", 50_000));
    let expected = expected(&rows);
    let brokers = Kafka::start_three();
    let kafka = &brokers[0];
    kafka.make_topic(TOPIC, PARTITIONS);
    let members = [(); 2].map(|()| deployment(kafka, NOBODY, "1s"));
    let _running = [members[0].start(), members[1].start()];
    let limit = Arc::new(AtomicUsize::new(AHEAD));
    let sending = {
        let (producer, rows, limit) = (kafka.producer(), rows.clone(), limit.clone());
        std::thread::spawn(move || send(&producer, &rows, &limit))
    };
    for moment in [rows.len() / 4, rows.len() / 2] {
        until_committed(kafka, moment, |now| limit.store(now + AHEAD, SeqCst));
        let leader = kafka.leader(TOPIC, 0);
        brokers[leader].kill();
        println!("broker {leader} is killed at {}", committed(kafka));
        until_committed(kafka, moment + AHEAD / 2, |now| limit.store(now + AHEAD, SeqCst));
        brokers[leader].lose_disk();
        brokers[leader].launch();
        kafka.until_in_sync();
    }
    limit.store(usize::MAX, SeqCst);
    sending.join().expect("the producer ends");
    until_committed(kafka, rows.len(), |_| {});
    assert_told_once(kafka, &expected);
}

/// Only the wall clock says so; whoever reads the messages again must find it said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_is_told_once_though_its_teller_dies() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let receiver = Receiver::start([]).await;
    let text = text(&kafka, "idle_after = \"1s\"\nno_data = \"4s\"", &receiver.url)
        .replace(
            r#"size = "16s", every = "2s", grid = "1s", lateness = "32s""#,
            r#"size = "1600ms", every = "200ms", grid = "100ms", lateness = "1s""#,
        )
        // Never while this runs: it is by what was written of the clock that the next one knows.
        + "snapshot_every = \"1h\"\n";
    let deployment = Deployment::new(&text);
    let eddy = deployment.start();
    let everything = AtomicUsize::new(usize::MAX);
    send(&kafka.producer(), &up_to_now("pump-0", 30), &everything);
    let began = Instant::now();
    // Since when, its id, and how often it is told.
    let silences = |kind: &str| -> Vec<(i64, String, usize)> {
        let told = told(&kafka).into_iter().filter(|(_, (decision, _))| decision["rule"] == "no_data");
        let of_kind = told.filter(|(_, (decision, _))| decision["state"] == kind);
        of_kind
            .map(|(id, (decision, times))| (decision["onset"].as_i64().expect("a time"), id, times))
            .collect()
    };
    while silences("raised").is_empty() {
        assert!(began.elapsed() < e2e::WAIT_MAX, "no silence is told of; it said:\n{}", eddy.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    eddy.kill();
    let mut eddy = deployment.start();
    eddy.until("it is known again", |eddy| {
        (eddy.metric("eddy_stream_keys_silent{stream=\"pumps\"}") == 1).then_some(())
    });
    send(&kafka.producer(), &up_to_now("pump-0", 3), &everything);
    eddy.until("its return is told of", |_| {
        send(&kafka.producer(), &up_to_now("pump-0", 1), &everything);
        std::thread::sleep(Duration::from_millis(300));
        (!silences("resolved").is_empty()).then_some(())
    });
    std::thread::sleep(QUIET);
    // On a machine that stands still for seconds there may be another one.
    let (mut raised, mut resolved) = (silences("raised"), silences("resolved"));
    let onset = raised.iter().map(|silence| silence.0).min();
    raised.retain(|silence| Some(silence.0) == onset);
    resolved.retain(|silence| Some(silence.0) == onset);
    assert_eq!((raised.len(), raised[0].2, resolved.len(), resolved[0].2), (1, 1, 1, 1));
}

/// Until the members that are left know all of the twelve partitions, and the messages they read again for that.
fn until_taken_over(members: [&Eddy; 2], events: u64, read_before: u64) -> (f64, u64) {
    let began = Instant::now();
    let sum = |name: &str| -> u64 { members.iter().map(|eddy| eddy.metric(name)).sum() };
    let known = || members.iter().map(|eddy| eddy.events()).sum::<u64>();
    while sum("eddy_source_partitions{source=\"plant\"}") < 12 || known() < events {
        assert!(began.elapsed() < e2e::WAIT_MAX, "{} of {events} events are known", known());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(known(), events, "nothing is lost or judged twice");
    (began.elapsed().as_secs_f64(), sum("eddy_recovered_messages_total") - read_before)
}

/// How long nobody has a partition, and what is read again, where a member leaves and where it dies.
#[test]
fn what_a_hand_over_costs() {
    const TWELVE: i32 = 12;
    let keys = setting("EDDY_KAFKA_KEYS", 2_000);
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, TWELVE);
    let deployments: Vec<Deployment> = (0..3).map(|_| deployment(&kafka, NOBODY, "5s")).collect();
    let [mut leaves, mut dies, stays] = [0, 1, 2].map(|at| deployments[at].start());
    let producer = kafka.producer();
    let mut rows = plant::rows(keys, 4, 7, 0..0);
    // All in time, however many they are.
    rows.iter_mut()
        .enumerate()
        .for_each(|(i, row)| row.time_ns = plant::START_NS + (i / keys) as i64 * SECOND_NS);
    for row in &rows {
        let (payload, key) = (row.message().payload, Some(row.key.as_bytes()));
        let number: i32 = row.key.trim_start_matches("pump-").parse().expect("a number");
        producer.send(&Sent { key, ..Sent::new(TOPIC, number % TWELVE, &payload) });
    }
    producer.flush();
    let done =
        || kafka.committed(GROUP, TOPIC, TWELVE).into_iter().flatten().sum::<i64>() as usize == rows.len();
    leaves.until("everything is judged", |_| done().then_some(()));
    let read =
        |members: &[&Eddy]| members.iter().map(|eddy| eddy.metric("eddy_recovered_messages_total")).sum();
    let before = read(&[&dies, &stays]);
    let (status, said) = leaves.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let (seconds, again) = until_taken_over([&dies, &stays], rows.len() as u64, before);
    println!(
        "{keys} keys, one of three leaves: {seconds:.2} s after it had ended, {again} messages read again"
    );
    assert_eq!(again, 0, "it has saved what it knew");
    let mut back = deployments[0].start();
    back.until("all are balanced", |back| {
        (back.metric("eddy_source_partitions{source=\"plant\"}") == 4).then_some(())
    });
    dies.until("it has its share", |dies| {
        (dies.metric("eddy_source_partitions{source=\"plant\"}") == 4).then_some(())
    });
    let before = read(&[&back, &stays]);
    dies.kill();
    let (seconds, again) = until_taken_over([&back, &stays], rows.len() as u64, before);
    println!("{keys} keys, one of three dies: {seconds:.2} s, {again} messages read again");
}

/// What was written under another config is not taken for one's own.
#[test]
fn a_member_that_would_decide_otherwise_is_refused() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let first = deployment(&kafka, NOBODY, "1s");
    let eddy = first.start();
    send(&kafka.producer(), &rows(4_000), &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, 4_000, |_| {});
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let other = Deployment::new(&text(&kafka, "", NOBODY).replace("p_value = 1e-4", "p_value = 1e-5"));
    let refused = other.output("run");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("another config of the stream: give every member the same config"), "{said}");
    kafka.make_topic("cut", PARTITIONS);
    let cut = Deployment::new(&text(&kafka, "", NOBODY).replace(STATE, "cut"));
    let refused = cut.output("run");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("cleanup.policy=delete") && said.contains("set it to compact"), "{said}");
}

/// A manifest that its writer took back: whoever believed it would be refused.
#[test]
fn what_was_taken_back_in_the_state_topic_is_not_believed() {
    let kafka = Kafka::start();
    kafka.make_topic(TOPIC, PARTITIONS);
    let deployment = deployment(&kafka, NOBODY, "1s");
    let eddy = deployment.start();
    let rows = rows(4_000);
    let (before, after) = rows.split_at(2_000);
    send(&kafka.producer(), before, &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, 2_000, |_| {});
    let (status, said) = eddy.stop();
    assert!(status.success(), "{status}; it said:\n{said}");
    let manifest = |partition| Sent { key: Some(b"manifest/pumps"), ..Sent::new(STATE, partition, b"{}") };
    let manifests: Vec<Sent<'_>> = (0..PARTITIONS).map(manifest).collect();
    kafka.transaction_of(&manifests, false);
    let eddy = deployment.start();
    assert_eq!(eddy.metric("eddy_recovered_messages_total"), 0, "all was saved when it was stopped");
    send(&kafka.producer(), after, &AtomicUsize::new(usize::MAX));
    until_committed(&kafka, 4_000, |_| {});
    assert_eq!(eddy.events(), 4_000);
    kafka.kill();
    let (status, said) = eddy.stop();
    assert!(status.success(), "a stop is in time though the broker is away: {status}; it said:\n{said}");
}
