//! The API over a socket.

use std::sync::atomic::Ordering::Relaxed;

use reqwest::{Client, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::testing::{self, HOSTILE, S, Scene};
use super::*;
use crate::status::Said;
use crate::types::StreamId;

const STEP_MAX: Duration = Duration::from_secs(60); // no single step of a test takes longer

pub(super) struct Served {
    pub base: String,
    pub state: AppState,
    client: Client,
}

impl Served {
    pub async fn new(scene: Scene) -> Self {
        Self::of(testing::parts(scene, Clock::start().now_ns())).await
    }

    pub async fn of(parts: Parts) -> Self {
        let state = spawn_blocking(move || AppState::new(parts)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, state.clone()));
        Served { base, state, client: Client::new() }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        let text = self.get(path).await.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    pub async fn sample(&self) {
        let state = self.state.clone();
        spawn_blocking(move || state.sample()).await.unwrap();
    }
}

#[tokio::test]
async fn a_foreign_host_name_gets_nothing_and_every_answer_is_guarded() {
    let served = Served::new(Scene::Calm).await;
    for path in ["/", "/api/v1/status", "/metrics", "/nothing"] {
        let url = format!("{}{path}", served.base);
        let response = served.client.get(url).header("Host", "evil.example").send().await.unwrap();
        assert_eq!(response.status(), 421, "{path}");
        let own = served.get(path).await;
        let csp = own.headers()["content-security-policy"].to_str().unwrap();
        assert!(csp.starts_with("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
        assert_eq!(own.headers()["x-content-type-options"], "nosniff");
        assert_eq!(own.headers()["referrer-policy"], "same-origin");
        assert_eq!(own.headers()["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn every_refusal_names_the_remedy() {
    let served = Served::new(Scene::Calm).await;
    let mut table = String::new();
    for path in [
        "/nothing",
        "/api/v1/status?seq=x",
        "/api/v1/status?seq=999999",
        "/api/v1/status?seq=1&seq=2",
        "/api/v1/series?stream=fans&key=a",
        "/api/v1/series?stream=pumps",
        "/api/v1/series?stream=pumps&key=a&from=yesterday",
        "/api/v1/chart.svg?stream=pumps&key=a&column=speed",
        "/api/v1/chart.svg?stream=pumps&key=a&column=flow&width=9",
        "/api/v1/alerts?limit=many",
        "/api/v1/alerts/none",
        "/api/v1/alerts?state=gone",
        "/api/v1/keys?stream=fans",
        "/api/v1/keys?limit=all",
        "/api/v1/models/card?stream=pumps",
        "/alerts/none",
        "/keys/fans/a",
        "/api/v1/live",
        "/api/v1/live?topics=wealth",
        "/api/v1/live?topics=key:fans/a",
        "/fragment/other",
        "/assets/other.js",
    ] {
        let response = served.get(path).await;
        let status = response.status().as_u16();
        let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!((400..500).contains(&status), "{path}: {status}");
        let (error, remedy) = (body["detail"].as_str().unwrap(), body["remedy"].as_str().unwrap());
        table += &format!("{status} {path}\n    {error}\n    {remedy}\n");
    }
    let post = served.client.post(format!("{}/", served.base)).send().await.unwrap();
    assert_eq!((post.status().as_u16(), &post.headers()["allow"]), (405, &"GET,HEAD".parse().unwrap()));
    let get = served.get("/api/v1/silences/a1").await;
    assert_eq!((get.status().as_u16(), &get.headers()["allow"]), (405, &"DELETE".parse().unwrap()));
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn ready_follows_the_status_and_says_why() {
    let served = Served::new(Scene::Recovering).await;
    assert_eq!(served.get("/livez").await.status(), 200);
    assert_eq!(served.get("/readyz").await.status(), 503);
    let text = served.get("/readyz?verbose").await.text().await.unwrap();
    assert!(text.contains("[-] recovered\n") && text.contains("[+] source plant connected\n"), "{text}");
    served.state.parts.status.ready.store(true, Relaxed);
    assert_eq!(served.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_snapshot_can_be_asked_for_again_by_its_number() {
    let served = Served::new(Scene::Calm).await;
    let first = served.json("/api/v1/status").await;
    served.state.parts.status.partition(StreamId(0), 0).events_total.fetch_add(1_000, Relaxed);
    served.sample().await;
    assert_eq!(served.json("/api/v1/status?seq=1").await, first);
    let second = served.json("/api/v1/status").await;
    assert_eq!(second["seq"], 2);
    let events = |s: &Value| s["streams"][0]["events_total"].as_u64().unwrap();
    assert_eq!(events(&second), events(&first) + 1_000);
    for _ in 0..sampler::KEPT {
        served.sample().await;
    }
    assert_eq!(served.get("/api/v1/status?seq=1").await.status(), 410);
}

#[test]
fn rates_are_over_ten_seconds() {
    let state = AppState::at(testing::parts(Scene::Calm, 1_000 * S), 1_000 * S);
    for second in 1..=20 {
        // 100 events/s for ten seconds, then 300.
        let step = if second <= 10 { 100 } else { 300 };
        let of = state.parts.status.partition(StreamId(0), 5);
        of.events_total.fetch_add(step + 7_000, Relaxed); // Most of it was read back.
        of.live_rows_total.fetch_add(step, Relaxed);
        state.sample_at((1_000 + second) * S);
        let frame = state.frames.newest();
        let rate = frame.snapshot.streams[0].events_per_s.unwrap();
        let expected = if second <= 10 { 100.0 } else { 100.0 + 20.0 * (second - 10) as f64 };
        assert!((rate - expected).abs() < 1e-9, "second {second}: {rate}");
    }
}

#[test]
fn what_time_alone_changes_is_no_news() {
    let state = AppState::at(testing::parts(Scene::Calm, 1_000 * S), 1_000 * S);
    (1..=12).for_each(|second| state.sample_at((1_000 + second) * S));
    let content = |state: &AppState| state.frames.newest().content;
    let before = content(&state);
    state.sample_at(1_013 * S);
    assert_eq!(content(&state), before);
    state.parts.status.rows_total.fetch_add(1, Relaxed);
    state.sample_at(1_014 * S);
    assert_ne!(content(&state), before);
}

#[test]
fn an_open_alert_is_listed_once_and_before_everything_else() {
    let parts = testing::parts(Scene::Trouble, 1_000_000 * S);
    let listed = sampler::list_alerts(&parts.alerts, &Said::default(), 0);
    let keys: Vec<&str> = listed.rows.iter().map(|entry| entry.row.alert.decision.key.as_str()).collect();
    assert_eq!((keys, listed.open), (vec!["pump-17", "pump-09", "pump-04"], 2));
    // Raised again after it was resolved: the older revision must not stand beside the newer one.
    let open = listed.rows[0].row.clone();
    let mut older = open.clone();
    older.alert.decision.state = crate::types::AlertState::Resolved;
    let reopened = AlertsView {
        page: Box::new(move |query| match query {
            AlertQuery::Open => Ok(vec![open.clone()]),
            _ => Ok(vec![open.clone(), older.clone()]),
        }),
        failed: Box::new(|_| Ok(Vec::new())),
    };
    assert_eq!(sampler::list_alerts(&reopened, &Said::default(), 0).rows.len(), 1);
    let open = listed.rows[0].row.clone();
    let many = AlertsView {
        page: Box::new(move |query| match query {
            AlertQuery::Open => Ok(vec![open.clone(); 60]),
            _ => Ok(Vec::new()),
        }),
        failed: Box::new(|_| Ok(Vec::new())),
    };
    let crowded = sampler::list_alerts(&many, &Said::default(), 0);
    assert_eq!(
        (crowded.rows.len(), crowded.open),
        (sampler::ALERTS_MAX, 60),
        "how many there are, not how many are listed"
    );
    let ended = &listed.rows[2];
    assert_eq!(
        ended.row.alert.decision.state,
        crate::types::AlertState::Raised,
        "the evidence is the alarm's"
    );
    assert_eq!(ended.resolved.as_ref().map(|end| end.revision), Some(2));
    let broken = AlertsView {
        page: Box::new(|_| Err("disk on fire".to_owned())),
        failed: Box::new(|_| Ok(Vec::new())),
    };
    assert_eq!(sampler::list_alerts(&broken, &Said::default(), 0).error.as_deref(), Some("disk on fire"));
}

#[test]
fn a_receipt_splits_into_what_is_by_design_and_what_is_eddys() {
    let parts = testing::parts(Scene::Trouble, 1_000_000 * S);
    for entry in sampler::list_alerts(&parts.alerts, &Said::default(), 0).rows {
        let receipt = &entry.row.alert.receipt;
        let outside: u64 = receipt
            .segments
            .iter()
            .filter(|s| matches!(s.stage.as_str(), "wait_watermark" | "recovery"))
            .map(|s| s.ns)
            .sum();
        assert_eq!(entry.eddy_ns + outside, receipt.total_ns);
        assert!(entry.total_to_2xx_ns.unwrap() > receipt.total_ns);
    }
}

#[tokio::test]
async fn keys_series_and_charts() {
    let served = Served::new(Scene::Hostile).await;
    let keys = served.json("/api/v1/keys?stream=pumps&q=pump-0").await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 9);
    let series = served.json("/api/v1/series?stream=pumps&key=pump-03&limit=3").await;
    assert_eq!((series["count"].as_u64(), series["points"].as_array().unwrap().len()), (Some(900), 3));
    assert_eq!(series["points"][2], series["latest"]);
    let to = series["points"][1]["time_ns"].as_i64().unwrap();
    let earlier = served.json(&format!("/api/v1/series?stream=pumps&key=pump-03&limit=0&to={to}")).await;
    assert_eq!(earlier["latest"], series["points"][1]);
    let svg = served.get("/api/v1/chart.svg?stream=pumps&key=pump-03&column=flow&width=360").await;
    assert_eq!(svg.headers()["content-type"], "image/svg+xml");
    let url = format!("{}/api/v1/chart.svg", served.base);
    let key = testing::key(Scene::Hostile, 17);
    let asked = [("stream", "pumps"), ("key", key.as_str()), ("column", HOSTILE)];
    let url = reqwest::Url::parse_with_params(&url, asked).unwrap();
    let svg = served.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(svg.contains("<polyline") && !svg.contains("alert("), "no name enters an SVG");
}

#[tokio::test]
async fn alerts_by_page_and_by_id() {
    let served = Served::new(Scene::Trouble).await;
    let page = served.json("/api/v1/alerts?limit=2").await;
    let seqs = |page: &Value| {
        page["rows"].as_array().unwrap().iter().map(|r| r["seq"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((seqs(&page), page["next_before"].as_i64()), (vec![9, 8], Some(8)));
    assert_eq!(seqs(&served.json("/api/v1/alerts?limit=2&before=8").await), [2, 1]);
    assert_eq!(seqs(&served.json("/api/v1/alerts?key=pump-09").await), [9]);
    let id = page["rows"][0]["alert"]["decision"]["id"].as_str().unwrap();
    assert_eq!(seqs(&served.json(&format!("/api/v1/alerts/{id}")).await), [9]);
}

#[tokio::test]
async fn partitions_carry_their_digest_in_full() {
    let served = Served::new(Scene::Calm).await;
    let partitions = served.json("/api/v1/partitions").await;
    let rows = partitions["partitions"].as_array().unwrap();
    assert_eq!(rows.len(), 24);
    assert_eq!(rows[1]["digest"], format!("{:016x}", 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(2)));
}

mod access;
mod connections;
mod described;
mod door;
mod feedback;
mod live;
mod orders;
mod sample;
mod schema;
