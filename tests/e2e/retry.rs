//! What waits for a receiver: shown, and asked for at once by the command line and over HTTP.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;

use crate::e2e::eddy::Eddy;
use crate::e2e::receiver::{Behaviour, Receiver};
use crate::orders::{Plant, send};

fn waiting(eddy: &Eddy) -> serde_json::Value {
    eddy.get("/api/v1/status")["sinks"][0].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_shown_and_told_when_asked_for_and_names_that_are_unknown_are_refused() {
    let (receiver, is_back) = Receiver::refusing(Behaviour::RetryAfter(503, "3600".to_owned())).await;
    let plant = Plant::new(&receiver);
    let mut eddy = plant.deployment.start();
    plant.post();
    eddy.until("both wait for an hour", |eddy| {
        let sink = waiting(eddy);
        (sink["queued"] == 2 && sink["waiting"]["next_attempt_at_ns"].is_i64()).then_some(())
    });
    let sink = waiting(&eddy);
    let next_ns = sink["waiting"]["next_attempt_at_ns"].as_i64().expect("a time");
    let at = jiff::Timestamp::from_nanosecond(i128::from(next_ns)).expect("a time");
    let said = plant.eddy(&["delivery", "waiting", "eddy.toml"], false);
    let next = format!("tried next at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"));
    assert!(said.starts_with("on_call  2 waiting, the oldest since ") && said.contains(&next), "{said}");
    assert!(said.contains("1 attempts") && said.contains("503"), "{said}");
    // An alert's own page says the same time.
    let alert =
        eddy.alerts().into_iter().find(|row| row["deliveries"][0]["attempts"] == 1).expect("was tried");
    let own_ns = alert["deliveries"][0]["next_attempt_at_ns"].as_i64().expect("a time");
    assert!(own_ns >= next_ns && own_ns < next_ns + 1_000_000_000_000, "{own_ns} and {next_ns}");

    let unknown = plant.eddy(&["delivery", "retry", "eddy.toml", "--sink", "oncall"], true);
    assert!(unknown.contains("there is no sink oncall; name one of on_call"), "{unknown}");
    let unknown = plant.eddy(&["delivery", "replay", "eddy.toml", "--all", "--sink", "oncall"], true);
    assert!(unknown.contains("there is no sink oncall; name one of on_call"), "{unknown}");
    let (status, said) = send(&eddy, "POST", "/api/v1/deliveries/retry", &json!({"receiver": "oncall"}));
    assert_eq!((status, &said["remedy"]), (404, &"name one of on_call".into()));
    let before = receiver.received().len();
    is_back.store(true, SeqCst);
    let said = plant.eddy(&["delivery", "retry", "eddy.toml", "--sink", "on_call"], false);
    assert!(said.contains("on_call is asked now; waiting: 2"), "{said}");
    eddy.until("both are told", |_| (receiver.accepted().len() == 2).then_some(()));
    assert_eq!(receiver.received().len(), before + 2);
    let noted = eddy.get("/api/v1/audit?limit=1")["rows"][0].take();
    assert_eq!(noted["what"], "POST /api/v1/deliveries/retry");
    assert_eq!(noted["detail"], "what waits for on_call: 2");
    eddy.until("nothing waits", |eddy| waiting(eddy)["waiting"].is_null().then_some(()));
    let none = send(&eddy, "POST", "/api/v1/deliveries/retry", &json!({"receiver": "on_call"}));
    assert_eq!(none, (200, json!({"waiting": 0})));
    let said = plant.eddy(&["delivery", "waiting", "eddy.toml"], false);
    assert_eq!(said.trim(), "nothing waits to be delivered");
    eddy.stop();
    let stopped = plant.eddy(&["delivery", "retry", "eddy.toml", "--sink", "on_call"], true);
    assert!(stopped.contains("no Eddy runs that would ask on_call"), "{stopped}");
    let unknown = plant.eddy(&["delivery", "replay", "eddy.toml", "--all", "--sink", "oncall"], true);
    assert!(unknown.contains("there is no sink oncall: name one of on_call"), "{unknown}");
}
