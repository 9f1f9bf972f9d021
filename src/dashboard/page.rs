//! The page and its parts, rendered from the newest snapshot.

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use super::AppState;
use super::api::{Answer, ApiError, Params, blocking};
use super::doc::Doc;
use super::first_event;
use super::format::clock;
use super::key::{Choice, range, split, worst_first};
use super::key_part::{KeyData, KeyPart};
use super::listing::AlertsPart;
use super::orders;
use super::problems::Problem;
use super::sampler::Frame;
use super::shell::{Shell, status_doc};
use super::snapshot::{SinkState, Snapshot, State as BoxState};
use crate::types::{Decision, StreamId};

/// The whole page.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    shell: Shell<'a>,
    notices: NoticesPart<'a>,
    key: Option<KeyPart<'a>>,
    alerts: AlertsPart<'a>,
    tables: TablesPart<'a>,
}

/// What an operator must know before reading on: problems, recovery, warm-up, how to begin.
#[derive(Template)]
#[template(path = "notices.html")]
struct NoticesPart<'a> {
    status: &'a Doc<'a>,
    problems: &'a [Problem],
    notes: &'a [Problem],
    recovering: bool,
    empty: bool,
    warming: Vec<Warming<'a>>,
    commands: Vec<String>,
}

struct Warming<'a> {
    at: String,
    name: &'a str,
    percent: f64,
    ends: bool,
    /// Models are there.
    early: bool,
}

/// Streams, stages, sources, receivers.
#[derive(Template)]
#[template(path = "tables.html")]
struct TablesPart<'a> {
    status: &'a Doc<'a>,
    snapshot: &'a Snapshot,
    sinks: Vec<(&'static str, &'static str)>,
    dead: Vec<(&'static str, String)>,
    arrivals: Vec<String>,
    /// Since when the collector does not take what it is sent.
    collector: Vec<String>,
}

impl HtmlSafe for NoticesPart<'_> {}
impl HtmlSafe for TablesPart<'_> {}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PageQuery {
    /// `STREAM/KEY`
    key: Option<String>,
    /// Typed by hand: `STREAM/KEY`, or a key of the stream chosen in `key`.
    find: Option<String>,
    range: Option<String>,
}

pub async fn index(State(state): State<AppState>, Params(query): Params<PageQuery>) -> Answer {
    blocking(move || Ok(Html(render(&state, &query)?).into_response())).await
}

/// `GET /fragment/{notices|alerts|key|tables}`: one part, for live updates.
pub async fn fragment(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Params(query): Params<PageQuery>,
) -> Answer {
    blocking(move || Ok(Html(render_fragment(&state, &name, &query)?).into_response())).await
}

fn render(state: &AppState, query: &PageQuery) -> Result<String, ApiError> {
    let frame = state.frames.newest();
    let status = status_doc(&frame);
    let listed = alerts_json(&frame.snapshot);
    let alerts = alerts_doc(&frame, &listed);
    let snapshot = &frame.snapshot;
    let data = choose(state, &frame, query).map(|choice| KeyData::read(state, choice));
    let docs = data.as_ref().map(KeyData::docs);
    let zone = &state.parts.zone;
    let part = data.as_ref().zip(docs.as_ref());
    let page = Page {
        shell: Shell::of(state, snapshot, &status, "/", ""),
        notices: notices(state, &status, snapshot),
        key: part.map(|(data, (now, recent))| data.part(now, recent, snapshot.time_ns, zone, None)),
        alerts: AlertsPart::of(&alerts, snapshot, zone),
        tables: tables(state, &status, snapshot),
    };
    page.render().map_err(unrendered)
}

fn render_fragment(state: &AppState, name: &str, query: &PageQuery) -> Result<String, ApiError> {
    let frame = state.frames.newest();
    let status = status_doc(&frame);
    let snapshot = &frame.snapshot;
    let zone = &state.parts.zone;
    match name {
        "notices" => notices(state, &status, snapshot).render().map_err(unrendered),
        "tables" => tables(state, &status, snapshot).render().map_err(unrendered),
        "alerts" => {
            let listed = alerts_json(snapshot);
            AlertsPart::of(&alerts_doc(&frame, &listed), snapshot, zone).render().map_err(unrendered)
        }
        "key" => {
            let choice = choose(state, &frame, query).ok_or_else(no_part)?;
            let data = KeyData::read(state, choice);
            let (now, recent) = data.docs();
            data.part(&now, &recent, snapshot.time_ns, zone, None).render().map_err(unrendered)
        }
        _ => Err(no_part()),
    }
}

pub fn unrendered(error: askama::Error) -> ApiError {
    ApiError::internal(error, "reload; the numbers are also under /api/v1/status")
}

fn no_part() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no such part of the page",
        "notices, alerts, tables; key needs key=STREAM/KEY",
    )
}

fn alerts_doc<'a>(frame: &Frame, json: &'a Value) -> Doc<'a> {
    Doc { root: "alerts", url: format!("/api/v1/alerts?seq={}", frame.snapshot.seq), json }
}

/// `/api/v1/alerts?seq=`
pub fn alerts_json(snapshot: &Snapshot) -> Value {
    let alerts = &snapshot.alerts;
    let silences: Vec<Value> =
        alerts.silences.iter().map(|silence| orders::shown(silence, snapshot.time_ns)).collect();
    let (open, rows, failed) = (alerts.open, &alerts.rows, &alerts.failed);
    json!({"seq": snapshot.seq, "open": open, "rows": rows, "silences": silences, "failed": failed, "error": alerts.error})
}

/// What was asked for, else the key that broke first or last, else the first key there is.
fn choose(state: &AppState, frame: &Frame, query: &PageQuery) -> Option<Choice> {
    let (stream, key) = chosen_key(state, frame, query)?;
    choice(state, frame, (stream, key), query.range.as_deref())
}

/// How a key is shown; `None` if there is no such stream.
pub fn choice(
    state: &AppState,
    frame: &Frame,
    (stream, key): (StreamId, String),
    asked_range: Option<&str>,
) -> Option<Choice> {
    let plan = state.parts.plan.streams.get(stream.0 as usize)?;
    let open = frame.snapshot.alerts.rows.iter().take(frame.snapshot.alerts.open);
    let decisions = open.map(|entry| &entry.row.alert.decision);
    let mut own = decisions.filter(|decision| decision.stream == plan.name && decision.key == key);
    let columns = own.clone().find_map(Decision::window).map_or(&[][..], |window| &window.columns);
    let mut shares: Vec<(&str, f64)> = columns.iter().map(|c| (c.column.as_str(), c.share)).collect();
    if shares.is_empty() {
        shares.extend(own.clone().find_map(Decision::set_in).map(|onset| (onset.column.as_str(), 1.0)));
    }
    let silence = own.find_map(Decision::silence).cloned();
    let (range, order) = (range(asked_range, plan.window.shape), worst_first(plan, &shares));
    Some(Choice { stream, range, order, silence, key })
}

fn chosen_key(state: &AppState, frame: &Frame, query: &PageQuery) -> Option<(StreamId, String)> {
    let plan = &state.parts.plan;
    let listed = query.key.as_deref().and_then(|text| split(plan, text));
    let typed = query.find.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let found =
        typed.and_then(|text| split(plan, text).or(Some((listed.map_or(StreamId(0), |l| l.0), text))));
    if let Some((stream, key)) = found.or(listed) {
        return Some((stream, key.to_owned()));
    }
    let streams = || (0..plan.streams.len()).map(|i| StreamId(i as u16));
    // Open alerts come first in the list, then the newest that ended.
    let broke = frame.snapshot.alerts.rows.first();
    let broke = broke.and_then(|entry| {
        let decision = &entry.row.alert.decision;
        let stream = streams().find(|s| plan.streams[s.0 as usize].name == decision.stream)?;
        Some((stream, decision.key.clone()))
    });
    broke.or_else(|| streams().find_map(|s| Some((s, state.parts.history.keys(s, "", 1).pop()?))))
}

fn notices<'a>(state: &AppState, status: &'a Doc<'a>, snapshot: &'a Snapshot) -> NoticesPart<'a> {
    let empty = snapshot.state == BoxState::Empty;
    let warming = snapshot.streams.iter().enumerate().filter(|(_, s)| s.keys > 0 && s.warm_milli < 1_000);
    NoticesPart {
        status,
        problems: &snapshot.problems,
        notes: &snapshot.notes,
        recovering: snapshot.recovering,
        empty,
        warming: warming
            .map(|(i, s)| Warming {
                at: format!("streams[{i}]"),
                name: &s.name,
                percent: s.warm_milli as f64 / 10.0,
                ends: s.warm_eta_ns.is_some(),
                early: s.model_windows.is_some(),
            })
            .collect(),
        commands: if empty { first_event::commands(&state.parts.plan, snapshot.time_ns) } else { Vec::new() },
    }
}

fn tables<'a>(state: &AppState, status: &'a Doc<'a>, snapshot: &'a Snapshot) -> TablesPart<'a> {
    let arrival =
        |ns: Option<i64>| ns.map_or(String::new(), |ns| clock(ns, snapshot.time_ns, &state.parts.zone));
    TablesPart {
        status,
        snapshot,
        sinks: sink_states(snapshot),
        dead: snapshot.dead_letters.keys().map(|&reason| (reason, reason.replace('_', " "))).collect(),
        arrivals: snapshot.sources.iter().map(|s| arrival(s.last_arrival_ns)).collect(),
        collector: snapshot
            .telemetry
            .iter()
            .flat_map(|telemetry| telemetry.failing.iter().map(|failing| arrival(Some(failing.since_ns))))
            .collect(),
    }
}

/// Of each receiver its mark, if it needs one, and its state in words.
pub fn sink_states(snapshot: &Snapshot) -> Vec<(&'static str, &'static str)> {
    let state = |state: SinkState| match state {
        SinkState::Idle => ("", "nothing sent yet"),
        SinkState::Ok => ("", "ok"),
        SinkState::Retrying => ("◆", "retrying"),
        SinkState::Blocked => ("◆", "nobody reads"),
        SinkState::Closed => ("◆", "closed"),
        SinkState::Disabled => ("◆", "disabled by 410"),
    };
    snapshot.sinks.iter().map(|sink| state(sink.state)).collect()
}

#[cfg(test)]
mod tests;
