//! Live updates: server-sent events of the newest values, conflated.
//!
//! Nothing is queued for a viewer. Each connection waits for the newest snapshot and writes it when the
//! browser has taken the one before; what changed in between is skipped. The stations never wait.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;

use super::AppState;
use super::api::{ApiError, Params};
use super::guard::{From, may_read};
use super::key::split;
use super::sampler::Frame;
use super::series::SeriesPoint;
use crate::types::StreamId;

/// A viewer is sure of being connected while something comes at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often a followed key is looked at.
const VALUE: Duration = Duration::from_millis(250);
/// How often a chart is drawn again at most.
const TICK: Duration = Duration::from_secs(1);
/// A viewer that takes nothing for so long is disconnected.
const STALLED: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LiveQuery {
    topics: String,
}

/// What one connection asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Topics {
    health: bool,
    alerts: bool,
    key: Option<(StreamId, String)>,
}

/// `health,alerts,key:STREAM/KEY`. The key comes last and may hold anything, commas too.
fn topics(state: &AppState, text: &str) -> Result<Topics, ApiError> {
    let refused = |what: String| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            what,
            "write topics=health,alerts,key:STREAM/KEY, the key last",
        )
    };
    let mut topics = Topics::default();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(name) = rest.strip_prefix("key:") {
            let (stream, key) =
                split(&state.parts.plan, name).ok_or_else(|| refused("no stream of this name".to_owned()))?;
            topics.key = Some((stream, key.to_owned()));
            break;
        }
        let (topic, after) = rest.split_once(',').unwrap_or((rest, ""));
        match topic {
            "health" => topics.health = true,
            "alerts" => topics.alerts = true,
            other => return Err(refused(format!("no topic {other:?}"))),
        }
        rest = after;
    }
    if topics == Topics::default() { Err(refused("no topic asked for".to_owned())) } else { Ok(topics) }
}

/// `GET /api/v1/live?topics=`
pub async fn live(
    State(state): State<AppState>,
    Extension(From(from)): Extension<From>,
    Params(query): Params<LiveQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let topics = topics(&state, &query.topics)?;
    let Ok(permit) = state.live.clone().try_acquire_owned() else {
        let remedy = "read /api/v1/status every 5 s instead";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many live viewers", remedy));
    };
    if let Some((stream, key)) = &topics.key {
        state.parts.watch.request(*stream, key.as_bytes());
    }
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        // Ends when the viewer leaves, stalls, may not look any more, or Eddy stops: all are ordinary.
        let _ = Viewer::new(state, topics, sender, headers, from).run().await;
        drop(permit);
    });
    let stream = tokio_stream::StreamExt::map(ReceiverStream::new(receiver), Ok::<_, Infallible>);
    let mut response = Sse::new(stream).into_response();
    // Tells a proxy in between not to hold events back.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// The viewer is gone, does not read, or may not any more.
struct Gone;

struct Viewer {
    state: AppState,
    topics: Topics,
    sender: Sender<Event>,
    /// What it was let in by.
    headers: HeaderMap,
    from: IpAddr,
    content: Option<u64>,
    alerts: Option<u64>,
    sent: Instant,
    window_ns: i64,
    /// Windows came that the charts do not show yet.
    behind: bool,
    ticked: Instant,
}

impl Viewer {
    fn new(state: AppState, topics: Topics, sender: Sender<Event>, headers: HeaderMap, from: IpAddr) -> Self {
        let (sent, ticked) = (Instant::now(), Instant::now());
        let window_ns = i64::MIN;
        Viewer {
            state,
            topics,
            sender,
            headers,
            from,
            content: None,
            alerts: None,
            sent,
            window_ns,
            behind: false,
            ticked,
        }
    }

    async fn run(mut self) -> Result<(), Gone> {
        let mut frames = self.state.frames.subscribe();
        frames.mark_changed();
        let shutdown = self.state.parts.shutdown.clone();
        let mut look = interval(VALUE);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return self.send("bye", json!({"retry_ms": 2_000}).to_string()).await,
                () = self.sender.closed() => return Err(Gone),
                changed = frames.changed() => {
                    changed.map_err(|_| Gone)?;
                    let frame = frames.borrow_and_update().clone();
                    self.frame(&frame).await?;
                }
                _ = look.tick(), if self.topics.key.is_some() => self.key().await?,
            }
        }
    }

    async fn send(&mut self, name: &str, data: String) -> Result<(), Gone> {
        self.sent = Instant::now();
        self.sender.send_timeout(Event::default().event(name).data(data), STALLED).await.map_err(|_| Gone)
    }

    /// Once a second: whether it may still look, then health when something changed, or as a heartbeat; alerts when theirs did.
    async fn frame(&mut self, frame: &Frame) -> Result<(), Gone> {
        if !may_read(&self.state, &self.headers, self.from) {
            return Err(Gone);
        }
        let beat = self.sent.elapsed() + Duration::from_millis(500) >= HEARTBEAT;
        if self.topics.health && (beat || self.content != Some(frame.content)) {
            self.content = Some(frame.content);
            self.send("health", frame.text.clone()).await?;
        } else if beat {
            self.send("beat", json!({"seq": frame.snapshot.seq}).to_string()).await?;
        }
        if self.topics.alerts && self.alerts != Some(frame.alerts) {
            self.alerts = Some(frame.alerts);
            let alerts = &frame.snapshot.alerts;
            let ids: Vec<&str> =
                alerts.rows.iter().map(|entry| entry.row.alert.decision.id.as_str()).collect();
            let data = json!({"seq": frame.snapshot.seq, "open": alerts.open, "ids": ids});
            self.send("alerts", data.to_string()).await?;
        }
        Ok(())
    }

    /// The key's newest window, and the word to draw its charts again.
    async fn key(&mut self) -> Result<(), Gone> {
        let Some((stream, key)) = &self.topics.key else { return Ok(()) };
        let latest = self.state.parts.history.latest(*stream, key.as_bytes());
        if let Some(window) = latest.filter(|window| window.time_ns > self.window_ns) {
            // The first look finds what the page was just rendered with.
            self.behind = self.window_ns != i64::MIN;
            self.window_ns = window.time_ns;
            let data = json!({"latest": SeriesPoint::from(&window), "to": window.time_ns.to_string()});
            self.send("value", data.to_string()).await?;
        }
        if self.behind && self.ticked.elapsed() >= TICK {
            (self.behind, self.ticked) = (false, Instant::now());
            self.send("tick", json!({"to_ns": self.window_ns}).to_string()).await?;
        }
        Ok(())
    }
}
