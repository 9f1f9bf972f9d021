//! Buttons that change something, where what they change is shown.

use super::{number, page};
use crate::dashboard::FailedRow;
use crate::dashboard::testing::{self, Scene};
use crate::dashboard::tests::Served;
use crate::latency::Clock;
use crate::types::Acknowledgement;

#[tokio::test]
async fn what_was_given_up_can_be_tried_again_where_the_receivers_are() {
    let mut parts = testing::parts(Scene::Trouble, Clock::start().now_ns());
    let given_up = FailedRow {
        id: "00000000000000a1".to_owned(),
        revision: 2,
        stream: "pumps".to_owned(),
        key: "pump-17".to_owned(),
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
    assert_eq!(served.json("/api/v1/deliveries/failed?limit=50").await["rows"][0]["revision"], 2);
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
