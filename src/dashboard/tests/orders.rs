//! What is changed about alerts, as the audit log has it.

use reqwest::Method;
use serde_json::json;
use tokio::sync::mpsc;

use super::access::Guarded;
use super::*;
use crate::access::Scope;
use crate::stage::{Done, Order, Refused, What};
use crate::types::Silence;

/// Follows every order but those to acknowledge.
pub async fn desk(mut orders: mpsc::Receiver<Order>) {
    while let Some(Order { what, answer }) = orders.recv().await {
        let done = match what {
            What::Silence(draft) => Silence::new(&draft, 1).map(Done::Silenced).map_err(Refused::Wrong),
            What::Replay(_) => Ok(Done::Replayed { deliveries: 3, superseded: 2 }),
            What::Retry { receiver } if receiver == "ops" => Ok(Done::Asked { waiting: 4 }),
            What::Retry { .. } => Err(Refused::Unknown("there is no sink x: name one of ops".to_owned())),
            What::Feedback { .. } => Ok(Done::Heard(Ok(()))),
            _ => Err(Refused::Impossible("it is over: look at /api/v1/alerts".to_owned())),
        };
        let _ = answer.send(done);
    }
}

#[tokio::test]
async fn the_audit_log_says_what_was_silenced_seen_and_told_again() {
    let (orders, given) = mpsc::channel(1);
    tokio::spawn(desk(given));
    let guarded = Guarded::with(Scene::Trouble, |parts| parts.orders = orders).await;
    let silence = json!({"matchers": ["stream=pumps", "key=~pump-1."], "ends_at": i64::MAX.to_string(), "author": "ann"});
    let mut id = String::new();
    for (path, body, status, detail) in [
        ("silences", silence, 200, "stream=\"pumps\" key=~\"pump-1.\""),
        ("alerts/a1/acknowledge", json!({"author": "ann", "comment": "seen"}), 409, "ann: seen"),
        ("alerts/a1/acknowledge", json!({}), 409, "admin: "),
        (
            "deliveries/replay",
            json!({"id": "a1", "revision": 2, "receiver": "ops"}),
            200,
            "a1 2 to ops: 3, 2 superseded",
        ),
        ("deliveries/replay", json!({"receiver": "ops"}), 200, "all to ops: 3, 2 superseded"),
        ("deliveries/replay", json!({}), 200, "all: 3, 2 superseded"),
        ("deliveries/retry", json!({"receiver": "ops"}), 200, "what waits for ops: 4"),
        ("deliveries/retry", json!({"receiver": "x"}), 404, "what waits for x"),
    ] {
        let request =
            guarded.request(Method::POST, &format!("/api/v1/{path}")).bearer_auth(&guarded.tokens[2]);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if path == "deliveries/retry" {
            let status = status.to_string();
            described::hold_of(
                &described::description(),
                ("/api/v1/deliveries/retry", "post", &status),
                &answer,
            );
        }
        if path == "silences" {
            id = format!("{}: ", answer["id"].as_str().unwrap());
            // Of the two that fire, pump-17 and pump-09, one; of the keys ten.
            assert_eq!(answer["fits"], json!({"alerts": 1, "keys": 10}));
            described::hold_of(&described::description(), ("/api/v1/silences", "post", "200"), &answer);
        }
        let noted = guarded.json("/api/v1/audit?limit=1", Scope::Admin).await["rows"][0].take();
        assert_eq!(noted["what"], format!("POST /api/v1/{path}"));
        assert_eq!((&noted["status"], &noted["detail"]), (&status.into(), &format!("{id}{detail}").into()));
        id.clear();
    }
}

#[tokio::test]
async fn bodies_are_read_in_one_way() {
    let guarded = Guarded::new(Scene::Trouble).await;
    for path in
        ["silences", "alerts/a1/acknowledge", "deliveries/replay", "deliveries/retry", "alerts/a1/feedback"]
    {
        for (kind, body, status) in [
            ("text/plain", "{}", 415),
            ("application/json", "{", 400),
            ("application/json; charset=utf-8", r#"{"other": 1}"#, 422),
        ] {
            let request =
                guarded.request(Method::POST, &format!("/api/v1/{path}")).bearer_auth(&guarded.tokens[2]);
            let refused = request.header("content-type", kind).body(body).send().await.unwrap();
            assert_eq!(refused.status(), status, "{path}: {kind} {body}");
            let refused: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
            assert!(refused["remedy"].as_str().unwrap().contains("openapi.json"), "{refused}");
        }
    }
}
