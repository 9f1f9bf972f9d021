//! What outlives a failed attempt, a restart and a kill.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use eddy::alert::outbox::{AlertFilter, DeliveryState, Replayed, Stored};

use crate::delivery::{PATIENT, Rig, SHORT, SINK, STEP_MAX, THREE, TIMEOUT, alert, file};
use crate::receiver::{Behaviour, Received, Receiver};
use crate::until;

#[tokio::test]
async fn a_new_url_takes_a_disabled_receiver_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let gone = Receiver::start([Behaviour::Status(410)]).await;
    let rig = Rig::start(&file(&folder), &gone.url, &SHORT);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Failed).await;
    rig.stop().await;

    let same = Rig::start(&file(&folder), &gone.url, &SHORT);
    let deadline = Instant::now() + STEP_MAX;
    while !same.status.sinks[0].disabled.load(Ordering::Relaxed) {
        assert!(Instant::now() < deadline, "the worker took the receiver up again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    same.store(&[alert("a2", 1)]);
    same.wait_for_state("a2", 1, DeliveryState::Failed).await;
    same.stop().await;
    assert_eq!(gone.received().len(), 1, "a restart does not forget a 410");

    let moved = Receiver::start([]).await;
    let rig = Rig::start(&file(&folder), &moved.url, &SHORT);
    let deadline = Instant::now() + STEP_MAX;
    while rig.outbox.run(|outbox| outbox.counts(SINK)).await.unwrap().disabled {
        assert!(Instant::now() < deadline, "still disabled");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.store(&[alert("a3", 1)]);
    rig.wait_for_state("a3", 1, DeliveryState::Delivered).await;
    rig.stop().await;
}

#[tokio::test]
async fn revisions_of_an_alert_go_out_in_order_even_if_the_first_fails() {
    let folder = tempfile::tempdir().unwrap();
    let failures = vec![Behaviour::Status(500), Behaviour::AcceptAfter(Duration::from_millis(100))];
    let receiver = Receiver::start(failures).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    let ids: Vec<_> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(ids, ["a1_1", "a1_1", "a1_2"]);
    rig.stop().await;
}

#[tokio::test]
async fn a_schedule_used_up_is_a_listed_failure_that_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Status(500); 3]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &THREE);
    rig.store(&[alert("a1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Failed).await;
    let failed = rig.outbox.reader().unwrap().failed(9).unwrap();
    assert_eq!(failed.len(), 1);
    let given_up = &failed[0];
    assert_eq!((given_up.id.as_str(), given_up.revision, given_up.key.as_str()), ("a1", 1, "pump-17"));
    assert_eq!((given_up.delivery.attempts, given_up.delivery.last_status), (3, Some(500)));
    until("it is counted", || rig.status.sinks[0].failed_total.load(Ordering::Relaxed) == 1).await;

    assert!(rig.outbox.replay_failed("a1", 1, SINK, rig.clock.now_ns()).unwrap().deliveries == 1);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    let again = rig.outbox.replay_failed("a1", 1, SINK, rig.clock.now_ns()).unwrap();
    assert_eq!(again, Replayed::default(), "it is not failed now");
    let bodies: Vec<_> =
        receiver.received().into_iter().filter(|r| r.id() == "a1_1").map(|r| r.body).collect();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    rig.stop().await;
}

#[tokio::test]
async fn what_was_given_up_holds_up_no_later_revision_and_is_not_replayed_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Status(500); 3]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &THREE);
    rig.store(&[alert("a1", 1), alert("a1", 2)]);
    rig.wait_for_state("a1", 2, DeliveryState::Delivered).await;
    assert_eq!(rig.outbox.reader().unwrap().failed(9).unwrap().len(), 1);
    assert_eq!(rig.outbox.replay_all_failed(Some(SINK), rig.clock.now_ns()).unwrap().deliveries, 0);
    until("none is shown as failed", || rig.status.sinks[0].failed.load(Ordering::Relaxed) == 0).await;
    assert_eq!(receiver.received().len(), 4, "its beginning is not told after its end");
    rig.stop().await;
}

#[tokio::test]
async fn alerts_made_again_by_a_recovery_are_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    assert_eq!(rig.store(&[alert("a1", 1)]), Stored { new: 1, known: 0, differing: 0 });
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.stop().await;

    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    let mut again = alert("a1", 1);
    again.receipt.recovered = true;
    assert_eq!(rig.store(&[again, alert("a2", 1)]), Stored { new: 1, known: 1, differing: 0 });
    rig.wait_for_state("a2", 1, DeliveryState::Delivered).await;
    let ids: Vec<_> = receiver.received().iter().map(|r| r.id().to_owned()).collect();
    assert_eq!(ids, ["a1_1", "a2_1"]);
    let page = rig.outbox.reader().unwrap().alerts_page(None, 10, &AlertFilter::default()).unwrap();
    assert!(!page[1].alert.receipt.recovered, "the first receipt stays");
    rig.stop().await;
}

#[tokio::test]
async fn a_stop_still_sends_what_is_due_and_leaves_the_rest_for_later() {
    let folder = tempfile::tempdir().unwrap();
    let taken = vec![Behaviour::Accept; 20];
    let answers = [vec![Behaviour::Status(500)], taken, vec![Behaviour::Status(500); 9]].concat();
    let receiver = Receiver::start(answers).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("late", 1)]);
    until("an attempt", || rig.delivery("late", 1).attempts > 0).await;
    rig.store(&(0..20).map(|i| alert(&format!("a{i}"), 1)).collect::<Vec<_>>());
    let (outbox, start) = (rig.outbox.clone(), Instant::now());
    rig.stop().await;
    // What waits for an hour is not waited for.
    assert!(start.elapsed() < Duration::from_secs(20), "stopped after {:?}", start.elapsed());
    let counts = outbox.run(|outbox| outbox.counts(SINK)).await.unwrap();
    assert_eq!((counts.pending, counts.failed), (1, 0));
    let asked = receiver.received().len();
    assert!((21..=22).contains(&asked), "{asked}: asked for again once, since others were taken");
}

const CHILD_FILE: &str = "EDDY_TEST_OUTBOX";
const CHILD_URL: &str = "EDDY_TEST_URL";

/// The process that the next test kills. Does nothing when run by itself.
#[tokio::test]
async fn child_that_delivers_until_killed() {
    let (Ok(path), Ok(url)) = (std::env::var(CHILD_FILE), std::env::var(CHILD_URL)) else { return };
    let rig = Rig::start(Path::new(&path), &url, &SHORT);
    rig.store(&[alert("a1", 1), alert("a2", 1)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    rig.stop().await;
}

/// kill -9 after the receiver has the request and before the sender has the answer: the alert is
/// sent again by the next process, under the same id and with the same bytes.
#[tokio::test]
async fn killed_between_send_and_record_the_same_id_is_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    // It is dead by then, and has not given up.
    let late = Behaviour::AcceptAfter(TIMEOUT * 3 / 4);
    let receiver = Receiver::start([late.clone(), late]).await;
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recovery::child_that_delivers_until_killed"])
        .env(CHILD_FILE, file(&folder))
        .env(CHILD_URL, &receiver.url)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let before = receiver.wait_for(2).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let rig = Rig::start(&file(&folder), &receiver.url, &SHORT);
    let after = receiver.wait_for(4).await;
    for id in ["a1", "a2"] {
        rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
        let message_id = format!("{id}_1");
        let find =
            |requests: &[Received]| requests.iter().find(|r| r.id() == message_id).expect(id).body.clone();
        assert_eq!(find(&before), find(&after[2..]));
    }
    assert_eq!(receiver.received().len(), 4);
    rig.stop().await;
}

#[tokio::test]
async fn a_wall_clock_set_back_puts_no_delivery_off() {
    const SOON: [Duration; 2] = [Duration::from_secs(1); 2];
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(500), Behaviour::Accept]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &SOON);
    rig.store(&[alert("retried", 1)]);
    until("an attempt", || rig.delivery("retried", 1).attempts > 0).await;
    // Stored before the step, and the worker looks only after it.
    let stored_ns = rig.clock.now_ns();
    rig.clock.resync_to(stored_ns - 3 * 3_600_000_000_000);
    rig.outbox.store(&[alert("waiting", 1)], stored_ns).unwrap();
    rig.store(&[alert("later", 1)]);
    for id in ["waiting", "later", "retried"] {
        let delivery = rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
        assert!(delivery.attempts <= 2, "{id}: {} attempts", delivery.attempts);
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_waits_is_told_as_soon_as_the_receiver_takes_a_message_again() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(500), Behaviour::Status(500)]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    for (n, id) in ["a1", "a2"].into_iter().enumerate() {
        rig.store(&[alert(id, 1)]);
        receiver.wait_for(n + 1).await;
    }
    let failed = || rig.status.sinks[0].attempts_failed_total.load(Ordering::Relaxed);
    until("both have failed", || failed() == 2).await;
    rig.store(&[alert("b1", 1)]);
    for id in ["b1", "a1", "a2"] {
        rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
    }
    let ids: Vec<String> = receiver.received().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids, ["a1_1", "a2_1", "b1_1", "a1_1", "a2_1"], "the longest first");
    rig.stop().await;
}

#[tokio::test]
async fn a_message_that_is_never_taken_loses_nothing_by_being_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let (no, yes) = (Behaviour::Status(500), Behaviour::Accept);
    let receiver = Receiver::start([no.clone(), yes.clone(), no.clone(), yes, no]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("poison", 1)]);
    receiver.wait_for(1).await;
    for (n, id) in [(3, "b1"), (5, "c1")] {
        rig.store(&[alert(id, 1)]);
        rig.wait_for_state(id, 1, DeliveryState::Delivered).await;
        receiver.wait_for(n).await;
    }
    rig.stop().await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    let waits = rig.delivery("poison", 1);
    assert_eq!((waits.state, waits.attempts), (DeliveryState::Pending, 1));
    let ids: Vec<String> = receiver.received().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids, ["poison_1", "b1_1", "poison_1", "c1_1", "poison_1"], "once after each that is taken");
    rig.stop().await;
}

#[tokio::test]
async fn a_start_shows_why_what_waits_was_not_taken_and_asks_for_it_once_something_is() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start([Behaviour::Status(500)]).await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    rig.store(&[alert("a1", 1)]);
    receiver.wait_for(1).await;
    rig.stop().await;
    let rig = Rig::start(&file(&folder), &receiver.url, &PATIENT);
    let shown = || rig.status.sinks[0].last_error.lock().unwrap().clone();
    until("why is shown", || shown().is_some()).await;
    assert!(shown().is_some_and(|reason| reason.contains("500")), "{:?}", shown());
    assert_eq!(rig.status.sinks[0].queued.load(Ordering::Relaxed), 1);
    rig.store(&[alert("b1", 1)]);
    rig.wait_for_state("a1", 1, DeliveryState::Delivered).await;
    rig.stop().await;
}
