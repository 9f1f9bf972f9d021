//! What waits for a receiver and when it is asked next, on its page and on the alert's.

use std::sync::atomic::Ordering::Relaxed;

use super::{number, page};
use crate::dashboard::testing::{self, S, Scene};
use crate::dashboard::tests::Served;
use crate::dashboard::{AlertQuery, DeliveryState};
use crate::latency::Clock;
use crate::status::Waiting;

/// The receivers' part of the page, without the tags.
async fn lines(served: &Served) -> String {
    let page = page(served, "/receivers").await;
    let part = page.split_once("id=\"receivers\"").unwrap().1.split_once("</section>").unwrap().0;
    let lines = part.rsplit_once("</table>").unwrap().1;
    lines.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect()
}

#[tokio::test]
async fn a_receiver_s_line_says_since_when_and_when_next_and_has_the_button_while_it_can_be_asked() {
    let served = Served::new(Scene::Calm).await;
    let sink = &served.state.parts.status.sinks[0];
    assert!(!lines(&served).await.contains("on_call"), "nothing waits");
    let now_ns = served.state.parts.clock.now_ns();
    let waiting =
        Waiting { oldest_stored_at_ns: now_ns - 9 * S, attempts: 3, trying: true, next_attempt_at_ns: None };
    sink.queued.store(4, Relaxed);
    sink.set_waiting(Some(waiting));
    served.sample().await;
    assert!(!lines(&served).await.contains("on_call"), "what is just being sent is no news");
    let next_attempt_at_ns = Some(now_ns + 600 * S);
    sink.set_waiting(Some(Waiting { trying: false, next_attempt_at_ns, ..waiting }));
    served.sample().await;
    let shown = lines(&served).await;
    assert!(
        shown.contains("on_call waiting 4, the oldest since ") && shown.contains(", tried next at "),
        "{shown}"
    );
    let whole = page(&served, "/receivers").await;
    assert_eq!(number(&whole, "status.sinks[0].waiting.attempts"), 3.0);
    let button = r#"data-to="/api/v1/deliveries/retry" data-receiver="on_call">Try now</button>"#;
    assert!(whole.contains(button), "{whole}");

    *sink.last_error.lock().unwrap() = Some("answered 503".to_owned());
    sink.circuit_open.store(true, Relaxed);
    served.sample().await;
    let shown = lines(&served).await;
    assert!(shown.contains(", only probed, next at ") && shown.contains(": answered 503"), "{shown}");
    sink.set_waiting(Some(waiting));
    served.sample().await;
    let shown = lines(&served).await;
    assert!(shown.contains(", being tried: answered 503"), "{shown}");
    sink.closed.store(true, Relaxed);
    sink.set_waiting(Some(Waiting { trying: false, ..waiting }));
    served.sample().await;
    assert!(!page(&served, "/receivers").await.contains(button), "nobody is there to be asked");
}

#[tokio::test]
async fn a_revision_that_waits_for_an_earlier_one_is_not_under_way() {
    let mut parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    let now_ns = parts.clock.now_ns();
    let query = AlertQuery::Page { before: None, limit: 9, stream: None, key: None };
    let mut rows = (parts.alerts.page)(query).unwrap();
    rows.reverse();
    let id = rows[0].alert.decision.id.clone();
    for row in &mut rows {
        let first = row.alert.decision.revision == 1;
        let told = &mut row.deliveries[0];
        (told.state, told.stored_to_2xx_ns) = (DeliveryState::Pending, None);
        told.waits_for = (!first).then_some(1);
        told.next_attempt_at_ns = first.then_some(now_ns + 900 * S);
        told.last_error = first.then(|| "answered 503".to_owned());
    }
    parts.alerts = testing::stored(rows);
    let served = Served::of(parts).await;
    let page = page(&served, &format!("/alerts/{id}")).await;
    assert!(
        page.contains("waits for revision <data data-api=\"alerts.rows[1].deliveries[0].waits_for\""),
        "{page}"
    );
    assert!(
        page.contains(
            "failed, tries again at <time data-api=\"alerts.rows[0].deliveries[0].next_attempt_at_ns\""
        ),
        "{page}"
    );
    assert!(!page.contains("under way"), "{page}");
}

#[tokio::test]
async fn who_was_not_told_stands_first_in_the_tile() {
    let mut parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    let query = AlertQuery::Page { before: None, limit: 9, stream: None, key: None };
    let mut rows = (parts.alerts.page)(query).unwrap();
    for row in &mut rows {
        assert!(row.deliveries.len() > 1);
        let last = row.deliveries.last_mut().unwrap();
        (last.state, last.stored_to_2xx_ns) = (DeliveryState::Pending, None);
        last.last_error = Some("answered 503".to_owned());
    }
    parts.alerts = testing::stored(rows);
    let served = Served::of(parts).await;
    let told = &served.json("/api/v1/status").await["tiles"]["told"];
    let lines = [0, 1].map(|i| told["lines"][i].as_str().unwrap().to_owned());
    assert!(lines[0].starts_with('✗') && lines[1].starts_with('✓'), "{lines:?}");
}
