//! `/keys/STREAM/KEY`: one key's charts, its level and spread, its alerts and its silences.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::alerts::api_url;
use super::{ROWS, html};
use crate::dashboard::AppState;
use crate::dashboard::api::{Answer, ApiError, Params, blocking, stream_id, unread};
use crate::dashboard::doc::Doc;
use crate::dashboard::format::clock;
use crate::dashboard::key::form;
use crate::dashboard::key_part::{KeyData, KeyPart};
use crate::dashboard::listed::{Listed, Wanted, Which, list};
use crate::dashboard::listing::Card;
use crate::dashboard::page::choice;
use crate::dashboard::series::HeldWindow;
use crate::dashboard::shell::{Shell, status_doc};
use crate::dashboard::snapshot::ColumnView;
use crate::types::{Feedback, HeldBack};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    range: Option<String>,
}

#[derive(Template)]
#[template(path = "key-page.html")]
struct Page<'a> {
    shell: Shell<'a>,
    key: KeyPart<'a>,
    spread: &'a Doc<'a>,
    columns: &'a [ColumnView],
    held: Vec<Held>,
    /// Where all of them are, if not here.
    all_held: Option<String>,
    alerts: &'a Doc<'a>,
    cards: Vec<Card>,
    /// Words on alerts that are not listed.
    earlier: Vec<Earlier>,
    outages: Vec<Outage>,
}

/// A window that was not told.
struct Held {
    at: String,
    clock: String,
    why: &'static str,
}

/// A word on an alert that was deleted, or is none of the newest.
struct Earlier {
    id: String,
    word: &'static str,
    who: String,
    since: String,
    reason: String,
    in_force: bool,
}

/// A time in which nothing came.
struct Outage {
    decision: String,
    id: String,
    since: String,
    /// Where the end stands in the document, and its clock; `None` while it goes on.
    until: Option<(String, String)>,
}

pub async fn show(
    State(state): State<AppState>,
    Path((stream, key)): Path<(String, String)>,
    Params(query): Params<Query>,
) -> Answer {
    blocking(move || render(&state, &stream, &key, query.range.as_deref())).await
}

fn render(
    state: &AppState,
    stream: &str,
    key: &str,
    range: Option<&str>,
) -> Result<axum::response::Response, ApiError> {
    let id = stream_id(state, stream)?;
    let frame = state.frames.newest();
    let (status, snapshot, zone) = (status_doc(&frame), &frame.snapshot, &state.parts.zone);
    let choice = choice(state, &frame, (id, key.to_owned()), range)
        .ok_or_else(|| ApiError::internal("the stream has no plan", "reload"))?;
    let data = KeyData::read(state, choice);
    let (now, recent) = data.docs();
    let (url, series) = data.spread();
    // Plain structs of numbers and texts: this cannot fail.
    let spread = serde_json::to_value(&series).unwrap_or_default();
    let wanted = Wanted {
        which: Which::All,
        stream: Some(stream.to_owned()),
        key: Some(key.to_owned()),
        offset: 0,
        before: None,
        limit: ROWS,
    };
    let listed = list(&state.parts, &wanted).map_err(unread)?;
    let stored = serde_json::to_value(&listed).unwrap_or_default();
    let own = address(stream, key);
    let clock = |ns| clock(ns, snapshot.time_ns, zone);
    let card = |(i, entry)| Card::of(i, entry, snapshot.time_ns, zone);
    html(&Page {
        shell: Shell::of(state, snapshot, &status, "/keys", key),
        key: data.part(&now, &recent, snapshot.time_ns, zone, Some(own)),
        spread: &Doc { root: "spread", url, json: &spread },
        columns: &series.columns,
        held: held(&series.held_back, clock),
        all_held: (series.held_back_count > series.held_back.len()).then(|| data.windows_url(stream)),
        alerts: &Doc { root: "alerts", url: api_url(&wanted), json: &stored },
        cards: listed.rows.iter().enumerate().map(card).collect(),
        earlier: earlier(&state.parts.status.said.feedback_of(stream, key), &listed, |said| Earlier {
            id: said.alert.clone(),
            word: said.word.as_str(),
            who: said.who.clone(),
            since: clock(said.at_ns),
            reason: said.reason.clone(),
            in_force: state.parts.status.said.is_expected(&said.alert),
        }),
        outages: outages(&listed, clock),
    })
}

fn held(windows: &[HeldWindow], clock: impl Fn(i64) -> String) -> Vec<Held> {
    let held = |(i, window): (usize, &HeldWindow)| Held {
        at: format!("held_back[{i}]"),
        clock: clock(window.time_ns),
        why: match window.why {
            HeldBack::Rule => "no column departs as its rule asks",
            HeldBack::Expected => "called expected",
        },
    };
    windows.iter().enumerate().map(held).collect()
}

fn earlier(words: &[Feedback], listed: &Listed, of: impl Fn(&Feedback) -> Earlier) -> Vec<Earlier> {
    let is_listed = |said: &Feedback| listed.rows.iter().any(|row| row.row.alert.decision.id == said.alert);
    words.iter().filter(|said| !is_listed(said)).map(of).collect()
}

/// The page of a key.
fn address(stream: &str, key: &str) -> String {
    let escaped = |text: &str| form(&[("", text)]).split_off(1);
    format!("/keys/{}/{}", escaped(stream), escaped(key))
}

fn outages(listed: &Listed, clock: impl Fn(i64) -> String) -> Vec<Outage> {
    let rows = listed.rows.iter().enumerate();
    let outage = |(i, entry): (usize, &crate::dashboard::alerts::AlertEntry)| {
        let decision = &entry.row.alert.decision;
        let silence = decision.silence()?;
        let end = entry.resolved.as_ref();
        Some(Outage {
            decision: format!("rows[{i}].alert.decision"),
            id: decision.id.clone(),
            since: clock(silence.last_seen.0),
            until: end.map(|end| (format!("rows[{i}].resolved"), clock(end.window_end))),
        })
    };
    rows.filter_map(outage).collect()
}
