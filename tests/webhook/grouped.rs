//! Many alerts at once, for a receiver that wants to be told of them together.

use std::time::{Duration, Instant};

use eddy::alert::outbox::DeliveryState;
use eddy::config::plan::GroupPlan;
use eddy::types::silence::Label;
use eddy::types::{Silence, SilenceDraft};

use crate::delivery::{Rig, SHORT, SINK, STEP_MAX, TIMEOUT, alert, file, webhook};
use crate::receiver::{Behaviour, Receiver};
use crate::torture::note;

const WAIT: Duration = Duration::from_secs(2);
const KEYS: usize = 5_000;

/// 5,000 keys break together; the receiver fails at first, and the process is started anew in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_keys_that_break_together_are_one_message_within_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(500)]).await;
    let mut sink = webhook(SINK, &receiver.url);
    sink.group =
        Some(GroupPlan { by: vec![Label::Stream], wait: WAIT, interval: Duration::from_secs(3_600) });
    let rig = Rig::start_sink(&file(&folder), sink.clone(), &SHORT);
    let alerts: Vec<_> = (0..KEYS)
        .map(|i| {
            let mut alert = alert(&format!("a{i:04}"), 1);
            alert.decision.key = format!("hall-3/pump-{i}");
            alert
        })
        .collect();
    let start = Instant::now();
    let stored = alerts.chunks(1_000).map(|lot| rig.store(lot).new).sum::<usize>();
    assert_eq!(stored, KEYS);
    let stored = start.elapsed();
    let first = receiver.wait_for(1).await.remove(0);
    let waited = first.at - start;
    assert!(waited >= WAIT, "sent after {waited:?}");
    rig.stop().await;
    let rig = Rig::start_sink(&file(&folder), sink, &SHORT);
    rig.wait_for_state("a4999", 1, DeliveryState::Delivered).await;
    let requests = receiver.received();
    assert_eq!(requests.len(), 2, "one message, tried twice");
    assert_eq!(requests[0].id(), requests[1].id());
    assert_eq!(requests[0].body, requests[1].body);
    let body: serde_json::Value = serde_json::from_slice(&requests[1].body).unwrap();
    let data = &body["data"];
    assert_eq!((&body["type"], &data["alerts_firing"]), (&"incident.raised".into(), &KEYS.into()));
    assert_eq!(
        data["shared"],
        serde_json::json!({
            "stream": "pumps", "rule": "window", "column": "vibration", "key_prefix": "hall-3/pump-",
            "onset_first": 1_700_000_000_000_000_000_i64, "onset_last": 1_700_000_000_000_000_000_i64,
        })
    );
    let outbox = waited.saturating_sub(WAIT);
    assert!(outbox < Duration::from_secs(10), "stored in {stored:?}, sent {outbox:?} after the wait");
    note(
        "storm",
        serde_json::json!({
            "keys": KEYS, "messages": 1, "group_wait_s": WAIT.as_secs_f64(), "stored_s": stored.as_secs_f64(),
            "sent_after_wait_s": outbox.as_secs_f64(), "body_bytes": requests[1].body.len(),
        }),
    );
    rig.stop().await;
}

#[tokio::test]
async fn what_waits_for_its_group_is_not_queued_for_the_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let mut sink = webhook(SINK, &receiver.url);
    let long = Duration::from_secs(3_600);
    sink.group = Some(GroupPlan { by: vec![], wait: long, interval: long });
    let rig = Rig::start_sink(&file(&folder), sink, &SHORT);
    rig.store(&[alert("a1", 1)]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.outbox.run(|outbox| outbox.counts(SINK)).await.unwrap().pending, 1);
    assert_eq!(
        rig.status.sinks[0].queued.load(std::sync::atomic::Ordering::Relaxed),
        0,
        "no receiver is slow"
    );
    rig.stop().await;
}

/// The worker has read the time when it finds the outbox locked, by whom alerts are stored meanwhile.
#[tokio::test]
async fn what_is_stored_while_the_worker_waits_for_the_outbox_waits_for_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let mut sink = webhook(SINK, &receiver.url);
    sink.group = Some(GroupPlan { by: vec![], wait: WAIT, interval: WAIT });
    let rig = Rig::start_sink(&file(&folder), sink, &SHORT);
    let (outbox, clock) = (rig.outbox.clone(), rig.clock);
    let (locked, is_locked) = std::sync::mpsc::channel();
    // The worker has not begun: it does at the first await below.
    let holder = std::thread::spawn(move || {
        let store = move |outbox: &mut eddy::alert::outbox::Outbox| {
            locked.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            outbox.store(&[alert("a1", 1)], clock.now_ns())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(outbox.run(store)).unwrap();
    });
    is_locked.recv().unwrap();
    let start = Instant::now();
    let waited = receiver.wait_for(1).await.remove(0).at - start;
    assert!(waited >= WAIT, "sent after {waited:?}");
    holder.join().unwrap();
    rig.stop().await;
}

/// The silence comes while the first message is on its way and the next one waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_silenced_does_not_go_out_with_the_visit_that_records_the_message_before() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::AcceptAfter(2 * TIMEOUT)]).await;
    let mut sink = webhook(SINK, &receiver.url);
    let short = Duration::from_millis(300);
    sink.group = Some(GroupPlan { by: vec![], wait: short, interval: short });
    let rig = Rig::start_sink(&file(&folder), sink, &SHORT);
    rig.store(&[alert("a1", 1)]);
    receiver.wait_for(1).await;
    rig.store(&[alert("a2", 1)]);
    let waits = || rig.outbox.run(|outbox| outbox.counts(SINK));
    let end = Instant::now() + STEP_MAX;
    while waits().await.unwrap().in_messages < 2 {
        assert!(Instant::now() < end, "the second is in no message while the first is under way");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let now_ns = rig.clock.now_ns();
    let draft = SilenceDraft {
        matchers: vec!["stream=pumps".into()],
        starts_at_ns: None,
        ends_at_ns: now_ns + 3_600_000_000_000,
        author: "ann".into(),
        comment: String::new(),
    };
    rig.status.said.silence(Silence::new(&draft, now_ns).unwrap());
    let end = Instant::now() + STEP_MAX;
    while waits().await.unwrap().silenced < 2 {
        assert!(Instant::now() < end, "not silenced");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.stop().await;
    assert_eq!(receiver.received().len(), 1);
}
