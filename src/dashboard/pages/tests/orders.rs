//! Buttons that change something, where what they change is shown.

use std::sync::atomic::Ordering::Relaxed;

use super::{number, page};
use crate::dashboard::FailedRow;
use crate::dashboard::testing::{self, Scene};
use crate::dashboard::tests::Served;
use crate::latency::Clock;
use crate::types::{Acknowledgement, Feedback, PartitionId, Silence, SilenceDraft, StreamId, Word};

#[tokio::test]
async fn what_was_given_up_can_be_tried_again_where_the_receivers_are() {
    let mut parts = testing::parts(Scene::Trouble, Clock::start().now_ns());
    let given_up = FailedRow {
        id: "00000000000000a1".to_owned(),
        revision: 2,
        stream: "pumps".to_owned(),
        key: "pump-17".to_owned(),
        onset_ns: 1_700_000_000_000_000_000,
        receiver: "on_call".to_owned(),
        attempts: 9,
        last_status: None,
        reason: "no route".to_owned(),
        incident: None,
    };
    parts.alerts.failed = Box::new(move |limit| Ok(vec![given_up.clone(); limit.min(1)]));
    let served = Served::of(parts).await;
    let page = page(&served, "/receivers").await;
    assert_eq!(number(&page, "failed.rows[0].attempts"), 9.0);
    let button = r#"data-to="/api/v1/deliveries/replay" data-id="00000000000000a1" data-revision="2" data-receiver="on_call">Try again"#;
    assert!(page.contains(button) && page.contains("no route"), "{page}");
    let since = r#"pumps/pump-17</b></a> since <time data-api="failed.rows[0].onset_ns" data-fmt="time" datetime="2023-11-14T22:13:20Z">"#;
    assert!(page.contains(since), "{page}");
    let listed = served.json("/api/v1/deliveries/failed?limit=50").await["rows"][0].take();
    assert_eq!(
        (&listed["revision"], &listed["onset_ns"]),
        (&2.into(), &1_700_000_000_000_000_000_i64.into())
    );
    let overview = super::page(&served, "/").await;
    assert!(overview.contains(r#"data-api="alerts.failed[0].onset_ns""#), "{overview}");
}

#[tokio::test]
async fn what_fires_can_be_acknowledged_until_somebody_has() {
    let served = Served::new(Scene::Trouble).await;
    let button = r#"data-method="POST" data-to="/api/v1/alerts/00000000000000a1/acknowledge" aria-label="Acknowledge pump-17">Acknowledge<"#;
    for path in ["/", "/alerts", "/alerts/00000000000000a1"] {
        assert_eq!(page(&served, path).await.matches(button).count(), 1, "{path}");
    }
    for path in ["/alerts?state=ended", "/alerts/00000000000000c3"] {
        assert!(!page(&served, path).await.contains(">Acknowledge"), "{path}: it is over");
    }
    let (id, author) = ("00000000000000a1".to_owned(), "ann".to_owned());
    let seen = Acknowledgement { id, at_ns: 1, author, comment: String::new() };
    served.state.parts.status.said.acknowledge(seen);
    served.sample().await;
    for path in ["/", "/alerts", "/alerts/00000000000000a1"] {
        let page = page(&served, path).await;
        assert!(!page.contains(button) && page.contains("acknowledged"), "{path}: {page}");
    }
}

#[tokio::test]
async fn silences_can_be_ended_where_alerts_are_listed() {
    let served = Served::new(Scene::Trouble).await;
    assert!(!page(&served, "/alerts").await.contains("End it"));
    let silence = |matcher: &str, ends_at_ns: i64| {
        let draft = SilenceDraft {
            matchers: vec![matcher.to_owned()],
            starts_at_ns: None,
            ends_at_ns,
            author: "ann".to_owned(),
            comment: "repair".to_owned(),
        };
        Silence::new(&draft, 1).unwrap()
    };
    let said = &served.state.parts.status.said;
    said.silence(silence("key=pump-3", 2));
    let here = silence("key=pump-4", i64::MAX);
    said.silence(here.clone());
    let page = page(&served, "/alerts").await;
    let button = format!(r#"data-method="DELETE" data-to="/api/v1/silences/{}""#, here.id);
    assert!(page.contains(&button) && page.contains("ann: repair"), "{page}");
    assert!(page.contains(r#"data-api="silences.silences[1].ends_at_ns""#), "as the API lists them");
    assert_eq!(page.matches("End it").count(), 1, "one is over");
}

#[tokio::test]
async fn what_was_given_up_is_counted_as_the_outbox_has_it() {
    let served = Served::new(Scene::Trouble).await;
    let sink = &served.state.parts.status.sinks[0];
    sink.failed_total.store(7, Relaxed);
    sink.failed.store(3, Relaxed);
    served.sample().await;
    assert_eq!(number(&page(&served, "/receivers").await, "status.sinks[0].failed"), 3.0);
}

#[tokio::test]
async fn what_was_said_of_an_alert_stands_beside_it_and_can_be_undone() {
    let served = Served::new(Scene::Trouble).await;
    let (alert, path) = ("00000000000000a1", "/alerts/00000000000000a1");
    let undo = format!(r#"data-to="/api/v1/alerts/{alert}/feedback" data-verdict="undone""#);
    let fresh = page(&served, path).await;
    assert!(fresh.contains(r#"data-verdict="expected""#) && !fresh.contains(&undo), "{fresh}");
    let said = &served.state.parts.status.said;
    let feedback = Feedback {
        number: 1,
        word: Word::Expected,
        alert: alert.to_owned(),
        key: "pump-17".to_owned(),
        rule: "window".to_owned(),
        onset_ns: 1,
        reason: "a test run".to_owned(),
        who: "ann".to_owned(),
        at_ns: 5,
    };
    said.hear("pumps", feedback.clone());
    let shown = page(&served, path).await;
    assert!(shown.contains("Called expected by ann") && shown.contains("which does not act"), "{shown}");
    said.expect(StreamId(0), PartitionId(3), vec![alert.into()]);
    let shown = page(&served, path).await;
    assert!(shown.contains("Told less since") && shown.contains("ann: a test run"), "{shown}");
    assert!(shown.contains(&undo), "{shown}");
    assert!(shown.contains(r#"data-api="alerts.rows[0].feedback.at_ns""#), "{shown}");
    said.hear("pumps", Feedback { number: 2, word: Word::Undone, ..feedback });
    assert!(!page(&served, path).await.contains(&undo));
}
