//! What an operator would miss: what is not told, who throttles or is down, which keys are warm.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::{Value, json};

use super::{number, page};
use crate::config::plan::{Plan, TelemetryPlan};
use crate::dashboard::testing::{self, S, Scene};
use crate::dashboard::tests::Served;
use crate::dashboard::{AlertQuery, AlertRow};
use crate::latency::Clock;
use crate::status::{SendRate, TelemetrySignal};
use crate::types::{AlertState, HeldBack, StreamId};

/// Ids of the rows of a list of alerts, over all of its pages.
async fn listed(served: &Served, first: &str) -> Vec<String> {
    let (mut path, mut ids) = (Some(first.to_owned()), Vec::new());
    while let Some(at) = path {
        let page = page(served, &at).await;
        let rows = page.match_indices("<tr id=\"row-").map(|(at, mark)| &page[at + mark.len()..][..16]);
        ids.extend(rows.map(str::to_owned));
        let next = page.split_once(r#"" rel="next""#).map(|(before, _)| before);
        path = next.map(|before| {
            before.rsplit_once("href=\"").unwrap().1.replace("&amp;", "&").replace("&#38;", "&")
        });
    }
    ids
}

#[tokio::test]
async fn all_alerts_are_listed_once_on_the_page_as_by_the_api_page_by_page() {
    let mut parts = testing::parts(Scene::Crowd, Clock::start().now_ns());
    let query = AlertQuery::Page { before: None, limit: 120, stream: None, key: None };
    let mut rows = (parts.alerts.page)(query).unwrap();
    rows.reverse();
    // Of these 120 that fire, 70 have ended since.
    for i in 0..70 {
        let mut end = AlertRow { seq: 10_000 + i as i64, ..rows[i].clone() };
        (end.alert.decision.state, end.alert.decision.revision) = (AlertState::Resolved, 2);
        rows.push(end);
    }
    parts.alerts = testing::stored(rows);
    let served = Served::of(parts).await;
    let ids = listed(&served, "/alerts?state=all").await;
    let api = served.json("/api/v1/alerts?state=all&limit=500").await;
    let known = api["rows"].as_array().unwrap().iter().map(|row| &row["alert"]["decision"]["id"]);
    assert_eq!(ids.iter().map(|id| json!(id)).collect::<Vec<_>>(), known.cloned().collect::<Vec<_>>());
    // Whoever follows the API comes by the same.
    let (mut next, mut followed) = (String::new(), Vec::new());
    loop {
        let part = served.json(&format!("/api/v1/alerts?state=all&limit=20{next}")).await;
        let rows = part["rows"].as_array().unwrap();
        followed.extend(rows.iter().map(|row| row["alert"]["decision"]["id"].as_str().unwrap().to_owned()));
        next = match (part["next_offset"].as_u64(), part["next_before"].as_i64()) {
            (Some(offset), _) => format!("&offset={offset}"),
            (None, Some(before)) => format!("&before={before}"),
            (None, None) => break,
        };
    }
    assert_eq!(followed, ids);
    assert_eq!((ids.len(), listed(&served, "/alerts").await.len()), (120, 50));
    assert_eq!(listed(&served, "/alerts?state=ended").await.len(), 70);
    let first = page(&served, "/alerts?state=all").await;
    assert!(first.contains(r#"<option value="all" selected>all</option>"#), "{first}");
}

#[tokio::test]
async fn what_is_held_back_is_counted_by_why_and_named_where_its_key_is() {
    let now_ns = Clock::start().now_ns();
    let served = Served::of(testing::parts(Scene::Calm, now_ns)).await;
    let status = &served.state.parts.status;
    let held = status.held_back(StreamId(0));
    let ago = |hours: i64| now_ns - 60 * S - hours * 3_600 * S;
    [(ago(0), HeldBack::Rule), (ago(2), HeldBack::Expected), (ago(3), HeldBack::Rule)]
        .iter()
        .for_each(|(at, why)| held.add(*at, *why));
    held.add(ago(30), HeldBack::Expected);
    status.partition(StreamId(0), 3).windows_held_back_total.store(41, Relaxed);
    let held = |ago_ns: i64, why| {
        let held_back = Some(why);
        crate::types::Point {
            held_back,
            p_value: 1e-6,
            ..testing::point("pump-03", now_ns - ago_ns, 0, false)
        }
    };
    let points = vec![held(5 * S, HeldBack::Rule), held(4 * S, HeldBack::Expected)];
    served.state.parts.history.add(points);
    served.sample().await;

    let streams = page(&served, "/streams").await;
    let day = "status.streams[0].windows_held_back_day";
    assert_eq!(number(&streams, &format!("{day}.rule")), 2.0);
    assert_eq!(number(&streams, &format!("{day}.expected")), 1.0, "one is of the day before");
    assert_eq!(number(&streams, "status.streams[0].windows_held_back_total"), 41.0);
    let key = page(&served, "/keys/pumps/pump-03").await;
    assert_eq!(number(&key, "spread.held_back_count"), 2.0);
    let expected = key.find(": called expected</li>").expect("why");
    let rule = key.find(": no column departs as its rule asks</li>").expect("why");
    assert!(expected < rule, "the newest first");
    assert_eq!(number(&key, "spread.held_back[1].p_value"), 1e-6);
    assert_eq!(key.matches(r#"<span class="quiet">held back</span>"#).count(), 2, "in the table, too");
    let api = served.json("/api/v1/series?stream=pumps&key=pump-03").await;
    assert_eq!((&api["held_back_count"], &api["held_back"][0]["why"]), (&json!(2), &json!("expected")));
    assert!(key.contains("not told. The newest first."), "these are all");
    let more = (0..10).map(|i| held((10 - i) * S / 10, HeldBack::Rule));
    served.state.parts.history.add(more.collect());
    let key = page(&served, "/keys/pumps/pump-03").await;
    assert_eq!(number(&key, "spread.held_back_count"), 12.0);
    let (_, rest) = key.split_once("The newest 10 are shown of ").expect("that there are more");
    let (_, link) = rest.split_once("under <a href=\"").expect("where they are");
    let all = served.json(&link.split('"').next().unwrap().replace("&#38;", "&")).await;
    let is_held = |point: &&Value| !point["held_back"].is_null();
    assert_eq!(all["points"].as_array().expect("windows").iter().filter(is_held).count(), 12);
    let calm = page(&served, "/keys/pumps/pump-04").await;
    assert!(!calm.contains("<h3>Held back</h3>") && number(&calm, "spread.held_back_count") == 0.0);
}

#[tokio::test]
async fn a_receiver_that_has_not_answered_the_handshake_is_said_to_be_sent_little() {
    let served = Served::new(Scene::Calm).await;
    let sink = &served.state.parts.status.sinks[0];
    let show = |per_minute, permitted| sink.set_rate(Some(SendRate { per_minute, permitted }));
    for path in ["/receivers", "/"] {
        assert!(!page(&served, path).await.contains("a minute"), "{path}: nobody was asked");
    }
    sink.queued.store(7, Relaxed);
    show(Some(10), false);
    served.sample().await;
    for path in ["/receivers", "/"] {
        let page = page(&served, path).await;
        assert_eq!(number(&page, "status.sinks[0].rate.per_minute"), 10.0, "{path}");
        assert!(page.contains("a minute: has not agreed in the handshake</p>"), "{path}: {page}");
    }
    let status = served.json("/api/v1/status").await;
    assert_eq!(status["sinks"][0]["rate"], json!({"per_minute": 10, "permitted": false}));
    let note = &status["notes"][0];
    assert_eq!(note["what"], "Receiver on_call has not agreed in the handshake of CloudEvents");
    assert_eq!(note["effect"], "It is sent 10 messages a minute at most; 7 alerts wait");
    assert_eq!(status["state"], "ok", "no alert is lost by it");
    show(Some(120), true);
    served.sample().await;
    let receivers = page(&served, "/receivers").await;
    assert_eq!(number(&receivers, "status.sinks[0].rate.per_minute"), 120.0);
    assert!(receivers.contains("a minute</p>") && !receivers.contains("handshake"), "{receivers}");
    show(None, true);
    served.sample().await;
    assert!(!page(&served, "/receivers").await.contains("a minute"), "it sets no limit");
}

#[tokio::test]
async fn a_collector_that_is_down_is_said_with_since_when_why_and_what_is_dropped() {
    let mut parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    assert!(Served::of(parts).await.json("/api/v1/status").await["telemetry"].is_null(), "there is none");
    parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    let mut plan = (*parts.plan).clone();
    plan.telemetry = Some(TelemetryPlan {
        endpoint: "http://user:secret@127.0.0.1:4318".parse().unwrap(),
        every: Duration::from_secs(60),
        headers: [("authorization".to_owned(), "Bearer secret".to_owned())].into(),
        resource: Default::default(),
    });
    parts.plan = Arc::new(plan);
    let served = Served::of(parts).await;
    let telemetry = &served.state.parts.status.telemetry;
    let good = page(&served, "/").await;
    assert_eq!(number(&good, "status.telemetry.exported_total"), 0.0);
    assert!(!good.contains("not taken since"), "{good}");
    telemetry.dropped_total.store(23, Relaxed);
    telemetry.failed(TelemetrySignal::Traces, 1_700_000_000 * S, "cannot connect: refused".to_owned(), true);
    telemetry.failed(TelemetrySignal::Traces, 1_700_000_900 * S, "answered 503".to_owned(), true);
    served.sample().await;
    let down = page(&served, "/").await;
    let since = r#"traces not taken since <time data-api="status.telemetry.failing[0].since_ns" data-fmt="time" datetime="2023-11-14T22:13:20Z">"#;
    assert!(down.contains(since), "since the first failure: {down}");
    let reason = r#"data-api="status.telemetry.failing[0].reason" data-fmt="text">answered 503<"#;
    assert!(down.contains(reason), "the last reason: {down}");
    assert_eq!(number(&down, "status.telemetry.dropped_total"), 23.0);
    let status = served.json("/api/v1/status").await;
    let note = &status["notes"][0];
    assert!(
        note["what"].as_str().unwrap().starts_with("The collector has not taken all traces since "),
        "{note}"
    );
    assert!(note["effect"].as_str().unwrap().starts_with("23 alerts and attempts have no trace"), "{note}");
    assert!(!down.contains("secret") && !status.to_string().contains("secret"), "{status}");
    telemetry.took(TelemetrySignal::Traces);
    served.sample().await;
    let status = served.json("/api/v1/status").await;
    assert_eq!((&status["notes"], &status["telemetry"]["failing"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_collector_that_only_the_environment_names_and_cannot_be_used_is_said() {
    let mut parts = testing::parts(Scene::Calm, Clock::start().now_ns());
    let (text, variables) = (
        include_str!("../../../../configs/minimal.toml"),
        [("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), "http://h:4317".to_owned())].into(),
    );
    let warnings = crate::config::parse(text, "", &variables).expect("a good config").warnings;
    parts.plan = Arc::new(Plan { warnings, ..(*parts.plan).clone() });
    let status = Served::of(parts).await.json("/api/v1/status").await;
    let note = &status["notes"][0];
    let (what, remedy) = (note["what"].as_str().unwrap(), note["remedy"].as_str().unwrap());
    assert!(what.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT in the environment has port 4317"), "{note}");
    assert!(note["effect"].as_str().unwrap().starts_with("No traces and metrics are sent"), "{note}");
    assert!(remedy.contains("4318") && remedy.contains("OTEL_SDK_DISABLED=true"), "{note}");
}

#[tokio::test]
async fn a_key_that_came_once_and_never_again_keeps_no_stream_from_being_warm() {
    let now_ns = Clock::start().now_ns();
    let served = Served::of(testing::parts(Scene::Calm, now_ns)).await;
    let status = &served.state.parts.status;
    (0..24).for_each(|p| status.partition(StreamId(0), p).heard.store(now_ns, Relaxed));
    // In a partition of its own, which fits no model on it.
    let stray = status.partition(StreamId(0), 40);
    stray.keys.store(1, Relaxed);
    stray.keys_alive.store(1, Relaxed);
    stray.heard.store(now_ns - 30 * S, Relaxed);
    served.sample().await;
    let fresh = served.json("/api/v1/status").await;
    assert_eq!((&fresh["state"], &fresh["streams"][0]["warm_milli"]), (&json!("warming"), &json!(960)));
    assert_eq!(fresh["streams"][0]["alive"], json!({"keys": 25, "keys_warm": 24}));
    let overview = page(&served, "/").await;
    assert!(overview.contains("pumps 96 %, 24 of 25 keys"), "{overview}");
    let keys = number(&overview, "status.streams[0].alive.keys");
    assert_eq!((keys, number(&overview, "status.streams[0].alive.keys_warm")), (25.0, 24.0));
    stray.heard.store(now_ns - 601 * S, Relaxed);
    served.sample().await;
    let later = served.json("/api/v1/status").await;
    assert_eq!((&later["state"], &later["streams"][0]["warm_milli"]), (&json!("ok"), &json!(1_000)));
    assert_eq!(later["streams"][0]["alive"], json!({"keys": 24, "keys_warm": 24}));
    assert_eq!(later["streams"][0]["keys"], 25, "it stays counted");
}
