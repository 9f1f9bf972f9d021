use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::plan::{AlarmPlan, ModelPlan};
use crate::dashboard::Parts;
use crate::dashboard::pages::tests::{number, page};
use crate::dashboard::testing::{self, S, Scene};
use crate::dashboard::tests::Served;
use crate::latency::Clock;
use crate::stage::Ask;
use crate::types::{Activation, Arrival, By, StreamId};

/// A plant whose model is loaded from `path`, with a history of two and a budget.
fn loaded(path: &Path) -> Parts {
    let mut parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    let mut plan = (*parts.plan).clone();
    let (path, refit) = (path.to_owned(), Some(Duration::from_secs(21_600)));
    plan.streams[0].model = ModelPlan::Load { path, refit, memory_bytes: 0 };
    plan.streams[0].alarm = AlarmPlan::Budget { per_day: 1.5 };
    parts.plan = Arc::new(plan);
    parts.status.partition(StreamId(0), 3).alerts_opened_day.store(5, Relaxed);
    let (ask, mut asked) = tokio::sync::mpsc::channel::<Ask>(1);
    parts.ask = ask;
    tokio::spawn(async move {
        while let Some(asked) = asked.recv().await {
            let one = |name: &str, by| Activation {
                at: Some(Arrival(1_700_000_000 * S)),
                name: name.to_owned(),
                checksum: format!("sha of {name}"),
                by,
            };
            let _ = asked.answer.send(Ok(vec![one("first", By::File), one("second", By::Refit)]));
        }
    });
    parts
}

#[tokio::test]
async fn a_loaded_model_has_its_card_its_versions_and_what_it_promised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pumps.safetensors");
    let served = Served::of(loaded(&path)).await;
    let without = page(&served, "/model").await;
    assert!(
        without.contains("None: ") && without.contains("pumps.json"),
        "says which file is missing: {without}"
    );
    let card = json!({"training_rows": 32_410, "given_rows": 32_419, "description": {"stream": "pumps", "date": "2026-01-07", "window_ns": 64 * S, "grid_ns": 2 * S}});
    std::fs::write(path.with_extension("json"), card.to_string()).unwrap();
    let with = page(&served, "/model").await;
    assert_eq!(number(&with, "card.training_rows"), 32_410.0);
    assert_eq!(number(&with, "status.streams[0].alert_budget_per_day"), 1.5);
    assert_eq!(number(&with, "status.streams[0].alerts_opened_day"), 5.0);
    let (second, first) = (with.find("models.[1].name").unwrap(), with.find("models.[0].name").unwrap());
    assert!(second < first && with[..first].contains("active"), "the active one first");
    assert_eq!(served.json("/api/v1/models/card?stream=pumps").await, card);
    let history = served.json("/api/v1/models?stream=pumps").await;
    assert_eq!(history[1]["name"], Value::from("second"));
}
