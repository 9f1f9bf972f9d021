//! When what waits is tried next, and that somebody wants it tried now.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eddy::alert::outbox::DeliveryState;
use eddy::config::plan::{SinkKind, Version};
use eddy::status::Waiting;

use crate::Log;
use crate::delivery::{PATIENT, Rig, SHORT, SINK, THREE, alert, file, sink};
use crate::mosquitto::Mosquitto;
use crate::mqtt::{mqtt, plan};
use crate::receiver::{Behaviour, Receiver};

/// Waits until what is shown of what waits is as wanted.
async fn shows(rig: &Rig, what: &str, wanted: impl Fn(&Waiting) -> bool) -> Waiting {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match rig.status.sinks[0].waiting() {
            Some(waiting) if wanted(&waiting) => return waiting,
            other => assert!(Instant::now() < deadline, "{what}: {other:?} after 20 s"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn failed(rig: &Rig) -> u64 {
    rig.status.sinks[0].attempts_failed_total.load(Ordering::Relaxed)
}

/// Waits until so many attempts have failed and nothing is under way.
async fn fails(rig: &Rig, attempts: u64) -> Waiting {
    shows(rig, "failed", |waiting| failed(rig) == attempts && !waiting.trying).await
}

fn ids(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|request| request.id().to_owned()).collect()
}

/// Long enough for a request that must not come.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn what_waits_is_shown_with_its_next_attempt_and_at_once_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, _) = Receiver::refusing(Behaviour::Status(500)).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    let waiting = fails(&rig, 1).await;
    let stored_ns = rig.outbox.reader().unwrap().alert("a1").unwrap()[0].stored_at_ns;
    let scheduled = rig.delivery("a1", 1).next_attempt_at_ns;
    assert!(scheduled.unwrap() > rig.clock.now_ns() + 3_000_000_000_000, "an hour");
    let expected =
        Waiting { oldest_stored_at_ns: stored_ns, attempts: 1, trying: false, next_attempt_at_ns: scheduled };
    assert_eq!(waiting, expected);
    let second = rig.delivery("a1", 2);
    assert_eq!((second.waits_for, second.next_attempt_at_ns), (Some(1), None), "it has no turn of its own");
    rig.stop().await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    assert_eq!(shows(&rig, "after a start", |_| true).await, expected);
    assert_eq!(receiver.received().len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_due_while_the_receiver_asked_to_wait_goes_when_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, _) = Receiver::refusing(Behaviour::RetryAfter(503, "600".into())).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    let first = fails(&rig, 1).await.next_attempt_at_ns.unwrap();
    assert!(first > rig.clock.now_ns() + 500_000_000_000, "ten minutes");
    let why = rig.delivery("a1", 1).last_error.unwrap();
    assert_eq!(why, "answered 503 Service Unavailable and asked to wait (Retry-After)");
    rig.store(&[alert("b1", 1)]);
    a_moment().await;
    let both = fails(&rig, 1).await;
    assert!(rig.delivery("b1", 1).next_attempt_at_ns.unwrap() <= rig.clock.now_ns(), "it is due");
    assert_eq!(both.next_attempt_at_ns, Some(first));
    rig.stop().await;
}

#[tokio::test]
async fn asked_for_by_hand_one_message_goes_whatever_the_receiver_said_and_the_rest_once_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, is_back) = Receiver::refusing(Behaviour::RetryAfter(503, "3600".into())).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("a1", 1)]);
    fails(&rig, 1).await;
    rig.store(&[alert("a1", 2), alert("b1", 1), alert("c1", 1)]);
    a_moment().await;
    assert_eq!(ids(&receiver), ["a1_1"], "it asked to wait");
    rig.outbox.ask_now(SINK);
    fails(&rig, 2).await;
    a_moment().await;
    assert_eq!(ids(&receiver), ["a1_1", "a1_1"], "one message, the oldest");
    assert_eq!(rig.delivery("a1", 1).attempts, 1, "before its time it counts for nothing");
    is_back.store(true, Ordering::SeqCst);
    a_moment().await;
    assert_eq!(receiver.received().len(), 2, "once for each time that it is asked for");
    rig.outbox.ask_now(SINK);
    for (id, revision) in [("a1", 1), ("a1", 2), ("b1", 1), ("c1", 1)] {
        rig.wait_for_state(id, revision, DeliveryState::Delivered).await;
    }
    // What it was asked for in vain comes after what it was not asked for yet, and its alert's end after it.
    assert_eq!(receiver.accepted(), ["b1_1", "c1_1", "a1_1", "a1_2"]);
    rig.stop().await;
}

#[tokio::test]
async fn what_waits_for_its_schedule_goes_one_by_one_when_asked_for_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, is_back) = Receiver::refusing(Behaviour::Status(500)).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    for (n, id) in ["a1", "b1", "c1"].into_iter().enumerate() {
        rig.store(&[alert(id, 1), alert(id, 2)]);
        fails(&rig, n as u64 + 1).await;
    }
    rig.stop().await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.outbox.ask_now(SINK);
    fails(&rig, 1).await;
    a_moment().await;
    assert_eq!(ids(&receiver)[3..], ["a1_1"], "one message");
    is_back.store(true, Ordering::SeqCst);
    rig.outbox.ask_now("somebody else");
    a_moment().await;
    assert_eq!(receiver.received().len(), 4, "another receiver was meant");
    rig.outbox.ask_now(SINK);
    for id in ["a1", "b1", "c1"] {
        rig.wait_for_state(id, 2, DeliveryState::Delivered).await;
    }
    let told = receiver.accepted();
    let place =
        |id: &str| told.iter().position(|told| told == id).unwrap_or_else(|| panic!("{id} in {told:?}"));
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), 6);
    for id in ["a1", "b1", "c1"] {
        assert!(place(&format!("{id}_1")) < place(&format!("{id}_2")), "{told:?}");
    }
    assert_eq!(told[0], "b1_1", "the next one after the one that it was last asked for in vain");
    rig.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_only_probed_is_probed_at_once_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, is_back) = Receiver::refusing(Behaviour::Status(500)).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&(0..8).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    let probed = fails(&rig, 8).await.next_attempt_at_ns.unwrap();
    assert!(rig.status.sinks[0].circuit_open.load(Ordering::Relaxed));
    assert!(probed - rig.clock.now_ns() <= 5_000_000_000, "the next probe, not the hour of the schedule");
    // Each in vain makes the next pause longer: the fourth is 40 s.
    for n in 9..12 {
        rig.outbox.ask_now(SINK);
        fails(&rig, n).await;
    }
    let waiting = fails(&rig, 11).await;
    assert!(waiting.next_attempt_at_ns.unwrap() > rig.clock.now_ns() + 30_000_000_000);
    is_back.store(true, Ordering::SeqCst);
    rig.outbox.ask_now(SINK);
    for i in 0..8 {
        rig.wait_for_state(&format!("a{i}"), 1, DeliveryState::Delivered).await;
    }
    assert!(!rig.status.sinks[0].circuit_open.load(Ordering::Relaxed));
    assert_eq!(receiver.received().len(), 11 + 8, "no more than one at a time until one was taken");
    rig.stop().await;
}

#[tokio::test]
async fn a_stream_of_others_does_not_keep_it_from_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Behaviour::AcceptAfter(Duration::from_millis(700));
    let choose = move |request: &crate::receiver::Received| match request.id() {
        "a1_1" => Behaviour::Status(500),
        _ => slow.clone(),
    };
    let receiver = Receiver::choosing(choose).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("a1", 1)]);
    fails(&rig, 1).await;
    let asked = |receiver: &Receiver| ids(receiver).iter().filter(|id| *id == "a1_1").count();
    for i in 0.. {
        assert!(i < 200, "asked {} times", asked(&receiver));
        rig.store(&[alert(&format!("s{i}"), 1)]);
        if i == 3 {
            rig.outbox.ask_now(SINK);
        }
        // What comes next comes before what is under way is over.
        tokio::time::sleep(Duration::from_millis(150)).await;
        if i > 3 && asked(&receiver) == 2 {
            break;
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_and_a_broker_are_asked_at_once_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/alerts.ndjson");
    let rig = Rig::start_sink(&file(&folder), sink(SINK, SinkKind::File { path: path.clone() }), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    fails(&rig, 1).await;
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    rig.outbox.ask_now(SINK);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.stop().await;

    let (folder, mut broker) = (tempfile::tempdir().unwrap(), Mosquitto::start());
    broker.stop();
    let rig = Rig::start_sink(&file(&folder), mqtt(plan(broker.port, Version::V3)), &PATIENT);
    rig.store(&[alert("a1", 1)]);
    fails(&rig, 1).await;
    broker.launch();
    rig.outbox.ask_now(SINK);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_has_one_line_however_many_were_on_their_way() {
    let (log, _heard) = Log::begin();
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Status(410); 16]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &THREE);
    rig.store(&(0..8).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    for i in 0..8 {
        rig.wait_for_state(&format!("a{i}"), 1, DeliveryState::Failed).await;
    }
    assert!(receiver.received().len() > 1);
    rig.stop().await;
    let lines = log.text().lines().filter(|line| line.contains("else that waits for the receiver")).count();
    assert_eq!(lines, 1, "{}", log.text());
}

#[tokio::test]
async fn a_receiver_that_is_down_has_a_line_as_it_begins_and_one_as_it_ends() {
    let (log, _heard) = Log::begin();
    let folder = tempfile::tempdir().unwrap();
    let (receiver, is_back) = Receiver::refusing(Behaviour::Status(500)).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &THREE);
    rig.store(&(0..3).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    for i in 0..3 {
        rig.wait_for_state(&format!("a{i}"), 1, DeliveryState::Failed).await;
    }
    is_back.store(true, Ordering::SeqCst);
    rig.store(&[alert("b1", 1)]);
    rig.wait_for_state("b1", 1, DeliveryState::Delivered).await;
    let lines = |text: &str| log.text().lines().filter(|line| line.contains(text)).count();
    assert_eq!(failed(&rig), 9);
    assert_eq!(lines("deliveries fail, and are tried again"), 1, "{}", log.text());
    assert_eq!(lines("delivery given up"), 3, "each of them: {}", log.text());
    assert_eq!(lines("the receiver takes messages again"), 1, "{}", log.text());
    assert!(log.text().contains("attempts_failed=9"), "{}", log.text());
    rig.stop().await;
}
