//! `/alerts`: every alert once, those that fire, those that ended or all, a page at a time.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::{ROWS, html};
use crate::dashboard::AppState;
use crate::dashboard::api::{Answer, Params, blocking, unread, whole};
use crate::dashboard::aside::{SilenceLine, silence_lines};
use crate::dashboard::doc::Doc;
use crate::dashboard::key::form;
use crate::dashboard::listed::{Listed, Wanted, Which, list};
use crate::dashboard::listing::Card;
use crate::dashboard::orders::all_silences;
use crate::dashboard::shell::{Shell, status_doc};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// `ended`, `all`, or those that fire.
    state: String,
    stream: String,
    offset: Option<String>,
    before: Option<String>,
}

#[derive(Template)]
#[template(path = "alerts-page.html")]
struct Page<'a> {
    shell: Shell<'a>,
    alerts: &'a Doc<'a>,
    cards: Vec<Card>,
    silences: &'a Doc<'a>,
    silence_lines: Vec<SilenceLine>,
    ended: bool,
    all: bool,
    streams: Vec<(String, bool)>,
    /// Not the first page.
    further: bool,
    first_page: String,
    next: Option<String>,
}

pub async fn show(State(state): State<AppState>, Params(query): Params<Query>) -> Answer {
    blocking(move || {
        let frame = state.frames.newest();
        let (status, snapshot) = (status_doc(&frame), &frame.snapshot);
        let wanted = wanted(&query)?;
        let listed = list(&state.parts, &wanted).map_err(unread)?;
        // As the API serves it: it cannot fail where that does not.
        let json = serde_json::to_value(&listed).unwrap_or_default();
        let alerts = Doc { root: "alerts", url: api_url(&wanted), json: &json };
        let said = state.parts.status.said.silences();
        let silences = all_silences(&said, snapshot.time_ns);
        let silences = Doc { root: "silences", url: "/api/v1/silences".to_owned(), json: &silences };
        let card = |(i, entry)| Card::of(i, entry, snapshot.time_ns, &state.parts.zone);
        html(&Page {
            shell: Shell::of(&state, snapshot, &status, "/alerts", "Alerts"),
            alerts: &alerts,
            silences: &silences,
            silence_lines: silence_lines(&said, snapshot.time_ns, &state.parts.zone),
            cards: listed.rows.iter().enumerate().map(card).collect(),
            ended: wanted.which == Which::Ended,
            all: wanted.which == Which::All,
            streams: snapshot.streams.iter().map(|s| (s.name.clone(), s.name == query.stream)).collect(),
            further: query.offset.is_some() || query.before.is_some(),
            first_page: page_url(&query, None),
            next: next(&query, &listed),
        })
    })
    .await
}

fn wanted(query: &Query) -> Result<Wanted, crate::dashboard::api::ApiError> {
    Ok(Wanted {
        which: if query.state.is_empty() { Which::Firing } else { Which::named(&query.state)? },
        stream: Some(query.stream.clone()).filter(|name| !name.is_empty()),
        key: None,
        offset: query.offset.as_deref().map_or(Ok(0), |text| whole("offset", text))?,
        before: query.before.as_deref().map(|text| whole("before", text)).transpose()?,
        limit: ROWS,
    })
}

/// Where the API has these very rows.
pub fn api_url(wanted: &Wanted) -> String {
    let (offset, limit) = (wanted.offset.to_string(), wanted.limit.to_string());
    let before = wanted.before.map(|before| before.to_string());
    let mut pairs = vec![("state", wanted.which.as_str()), ("limit", &limit)];
    pairs.extend(wanted.stream.as_deref().map(|stream| ("stream", stream)));
    pairs.extend(wanted.key.as_deref().map(|key| ("key", key)));
    pairs.extend((wanted.offset > 0).then_some(("offset", offset.as_str())));
    pairs.extend(before.as_deref().map(|before| ("before", before)));
    format!("/api/v1/alerts?{}", form(&pairs))
}

fn page_url(query: &Query, from: Option<(&str, String)>) -> String {
    let mut pairs = vec![("state", query.state.as_str()), ("stream", &query.stream)];
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.extend(from.as_ref().map(|(name, value)| (*name, value.as_str())));
    format!("/alerts?{}", form(&pairs))
}

fn next(query: &Query, listed: &Listed) -> Option<String> {
    let offset = listed.next_offset.map(|offset| ("offset", offset.to_string()));
    let before = listed.next_before.map(|before| ("before", before.to_string()));
    offset.or(before).map(|from| page_url(query, Some(from)))
}
