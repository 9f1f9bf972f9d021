//! The JSON API: what is only read.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::AppState;
use super::alerts::{AlertQuery, AlertRow};
use super::format::Format;
use super::key::KeyView;
use super::listed::{self, Wanted, Which};
use super::sampler::Frame;
use super::{chart as charts, gather, page};
use crate::config::plan::Plan;
use crate::metrics;
use crate::types::StreamId;

pub use super::answer::{Answer, ApiError, Params, blocking};

pub async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this address", "start from / or /api/v1/status")
}

pub async fn not_allowed(method: Method) -> ApiError {
    let error = format!("this address does not take {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, error, "use a method that the header Allow names")
}

pub async fn livez() -> &'static str {
    "ok\n"
}

/// Machines read the code, humans `?verbose`.
pub async fn readyz(State(state): State<AppState>, Params(query): Params<Vec<(String, String)>>) -> Response {
    use std::sync::atomic::Ordering::Relaxed;
    let status = &state.parts.status;
    let ready = status.ready.load(Relaxed);
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if !query.iter().any(|(name, _)| name == "verbose") {
        return (code, if ready { "ok\n" } else { "not ready\n" }).into_response();
    }
    let line = |ok: bool, what: &str| format!("[{}] {what}\n", if ok { '+' } else { '-' });
    let mut text = line(!status.recovering.load(Relaxed), "recovered");
    text += &line(status.log_safe.load(Relaxed), "log can be written");
    for source in &status.sources {
        text += &line(source.connected.load(Relaxed), &format!("source {} connected", source.name));
    }
    text += &line(ready, "ready");
    (code, text).into_response()
}

pub async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Answer {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = metrics::Format::negotiate(accept);
    let parts = state.parts;
    let text = blocking(move || {
        let now_ns = parts.clock.now_ns();
        Ok(metrics::render(&parts.plan, &parts.status, &parts.latency, now_ns, format))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, format.content_type())], text).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SeqQuery {
    seq: Option<String>,
}

/// The newest frame, or the one of `seq`.
fn frame(state: &AppState, query: &SeqQuery) -> Result<std::sync::Arc<Frame>, ApiError> {
    let Some(seq) = &query.seq else { return Ok(state.frames.newest()) };
    let seq: u64 = whole("seq", seq)?;
    state.frames.get(seq).ok_or_else(|| {
        let error = format!("snapshot {seq} is not kept");
        ApiError::new(StatusCode::GONE, error, "leave seq out for the newest; about a minute of them is kept")
    })
}

pub fn whole<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|_| ApiError::bad(format!("{name} is not a whole number"), format!("write {name}=123")))
}

pub async fn status(State(state): State<AppState>, Params(query): Params<SeqQuery>) -> Answer {
    let text = frame(&state, &query)?.text.clone();
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

pub async fn latency(State(state): State<AppState>, Params(query): Params<SeqQuery>) -> Answer {
    let frame = frame(&state, &query)?;
    Ok(Json(json!({"seq": frame.snapshot.seq, "stages": frame.snapshot.stages})).into_response())
}

pub async fn streams(State(state): State<AppState>, Params(query): Params<SeqQuery>) -> Answer {
    let frame = frame(&state, &query)?;
    Ok(Json(json!({"seq": frame.snapshot.seq, "streams": frame.snapshot.streams})).into_response())
}

/// With `seq`: of that snapshot. Without: read at the moment of asking.
pub async fn partitions(State(state): State<AppState>, Params(query): Params<SeqQuery>) -> Answer {
    if query.seq.is_some() {
        let frame = frame(&state, &query)?;
        let snapshot = &frame.snapshot;
        return Ok(Json(json!({"seq": snapshot.seq, "partitions": snapshot.partitions})).into_response());
    }
    let partitions = gather::partitions(&state.parts.plan, &state.parts.status);
    Ok(Json(json!({"partitions": partitions})).into_response())
}

pub fn stream_id(state: &AppState, name: &str) -> Result<StreamId, ApiError> {
    let streams = &state.parts.plan.streams;
    let found = streams.iter().position(|stream| stream.name == name);
    found.map(|i| StreamId(i as u16)).ok_or_else(|| {
        let names: Vec<&str> = streams.iter().map(|stream| stream.name.as_str()).collect();
        ApiError::new(
            StatusCode::NOT_FOUND,
            "no stream of this name",
            format!("streams here: {}", names.join(", ")),
        )
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SeriesQuery {
    stream: String,
    key: String,
    column: Option<String>,
    from: Option<String>,
    to: Option<String>,
    /// At most this many points, the newest ones.
    limit: Option<String>,
    width: Option<String>,
}

impl SeriesQuery {
    /// Follows the key from now on and reads what there is of it.
    fn view(&self, state: &AppState) -> Result<KeyView, ApiError> {
        let stream = stream_id(state, &self.stream)?;
        if self.key.is_empty() {
            return Err(ApiError::bad("key is missing", "write key=NAME; /api/v1/keys lists some"));
        }
        let from = self.from.as_deref().map_or(Ok(i64::MIN), |text| time("from", text))?;
        let to = self.to.as_deref().map_or(Ok(i64::MAX), |text| time("to", text))?;
        Ok(KeyView::of(state, stream, &self.key, from, to))
    }
}

/// ns since the Unix epoch, or RFC 3339.
pub fn time(name: &str, text: &str) -> Result<i64, ApiError> {
    let parsed = text.parse::<i64>().ok();
    let parsed = parsed.or_else(|| i64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok());
    parsed.ok_or_else(|| {
        ApiError::bad(
            format!("{name} is not a time"),
            format!("write {name}=2026-01-31T12:00:00Z, or ns since 1970"),
        )
    })
}

pub async fn series(State(state): State<AppState>, Params(query): Params<SeriesQuery>) -> Answer {
    let view = query.view(&state)?;
    let limit = query.limit.as_deref().map_or(Ok(usize::MAX), |text| whole("limit", text))?;
    blocking(move || Ok(Json(view.series(limit)).into_response())).await
}

pub async fn chart(State(state): State<AppState>, Params(query): Params<SeriesQuery>) -> Answer {
    let view = query.view(&state)?;
    let width = query.width.as_deref().map_or(Ok(720), |text| whole("width", text))?;
    if !(120..=2_880).contains(&width) {
        return Err(ApiError::bad("width is out of range", "write width=360, 720, 1080 or 1440"));
    }
    let name = query.column.unwrap_or_default();
    let columns = view.columns();
    let Some(column) = columns.iter().position(|column| column.name == name) else {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let remedy = format!("columns of this stream: {}", names.join(", "));
        return Err(ApiError::new(StatusCode::NOT_FOUND, "no column of this name", remedy));
    };
    let zone = state.parts.zone.clone();
    let svg = blocking(move || {
        let chart =
            view.chart(column).map_err(|error| ApiError::internal(error, "read /api/v1/series instead"))?;
        Ok(charts::standalone(&chart, &charts::time_ticks(view.from, view.to, &zone), width))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AlertsQuery {
    seq: Option<String>,
    limit: Option<String>,
    before: Option<String>,
    stream: Option<String>,
    key: Option<String>,
    /// A name of [`Which`].
    state: Option<String>,
    offset: Option<String>,
}

/// With `seq`: what that snapshot's page lists. With `state`: alerts, each once. Without either: revisions from the
/// outbox, newest first.
pub async fn alerts(State(state): State<AppState>, Params(query): Params<AlertsQuery>) -> Answer {
    if query.seq.is_some() {
        let frame = frame(&state, &SeqQuery { seq: query.seq })?;
        return Ok(Json(page::alerts_json(&frame.snapshot)).into_response());
    }
    let limit = query.limit.as_deref().map_or(Ok(50), |text| whole::<usize>("limit", text))?.min(500);
    let before = query.before.as_deref().map(|text| whole("before", text)).transpose()?;
    if let Some(name) = &query.state {
        let which = Which::named(name)?;
        let offset = query.offset.as_deref().map_or(Ok(0), |text| whole("offset", text))?;
        let (stream, key, limit) = (query.stream, query.key, limit.max(1));
        let wanted = Wanted { which, stream, key, offset, before, limit };
        let listed = blocking(move || listed::list(&state.parts, &wanted).map_err(unread)).await?;
        return Ok(Json(listed).into_response());
    }
    let page = AlertQuery::Page { before, limit, stream: query.stream, key: query.key };
    let rows = stored(&state, page).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.seq);
    let rows = listed::entries(rows, &state.parts.status.said);
    Ok(Json(json!({"rows": rows, "next_before": next})).into_response())
}

/// Every revision of one alert; the one that raised it says how it ended.
pub async fn alert(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    let rows = stored(&state, AlertQuery::One { id }).await?;
    if rows.is_empty() {
        return Err(no_alert(&state.parts.plan));
    }
    let (_, rows) = listed::of_one(rows, &state.parts.status.said);
    Ok(Json(json!({"rows": rows})).into_response())
}

/// There never was one, or it is gone.
pub fn no_alert(plan: &Plan) -> ApiError {
    let kept = Format::Duration.write(plan.durable.retain_alerts.as_nanos() as f64);
    let remedy = format!(
        "alerts go once they have been over for {kept} (`durable.retain_alerts`); see /api/v1/alerts for those there are"
    );
    ApiError::new(StatusCode::NOT_FOUND, "no alert of this id is kept", remedy)
}

pub fn unread(error: String) -> ApiError {
    ApiError::internal(error, "alerts are safe on disk; try again")
}

async fn stored(state: &AppState, query: AlertQuery) -> Result<Vec<AlertRow>, ApiError> {
    let parts = state.parts.clone();
    blocking(move || (parts.alerts.page)(query).map_err(unread)).await
}
