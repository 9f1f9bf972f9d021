//! `/keys`: every key by its name, a page at a time.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::{ROWS, html};
use crate::dashboard::AppState;
use crate::dashboard::alerts::AlertQuery;
use crate::dashboard::api::{Answer, Params, blocking};
use crate::dashboard::doc::Doc;
use crate::dashboard::key::form;
use crate::dashboard::keys::{KeysQuery, KeysView, search};
use crate::dashboard::shell::{Shell, status_doc};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    /// None, or empty: all streams.
    stream: String,
    q: String,
    /// `begins`, or anywhere in the name.
    by: String,
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct Page<'a> {
    shell: Shell<'a>,
    keys: &'a Doc<'a>,
    q: &'a str,
    begins: bool,
    streams: Vec<(String, bool)>,
    /// Not the first page of its search.
    further: bool,
    /// Without `after`.
    first_page: String,
    found: Vec<Section>,
}

/// The keys of one stream.
struct Section {
    at: String,
    stream: String,
    /// Name, and whether it fires.
    names: Vec<(String, bool)>,
    next: Option<String>,
}

pub async fn show(State(state): State<AppState>, Params(query): Params<Query>) -> Answer {
    blocking(move || {
        let frame = state.frames.newest();
        let (status, snapshot) = (status_doc(&frame), &frame.snapshot);
        let begins = query.by == "begins";
        let asked = KeysQuery {
            stream: Some(query.stream.clone()).filter(|name| !name.is_empty()),
            q: query.q.clone(),
            prefix: begins.then(|| query.q.clone()),
            after: query.after.clone(),
            limit: None,
        };
        let view = search(&state, &asked, ROWS)?;
        // A plain struct of names and counts: this cannot fail.
        let json = serde_json::to_value(&view).unwrap_or_default();
        let keys = Doc { root: "keys", url: api_url(&asked), json: &json };
        html(&Page {
            shell: Shell::of(&state, snapshot, &status, "/keys", "Keys"),
            keys: &keys,
            q: &query.q,
            begins,
            streams: snapshot.streams.iter().map(|s| (s.name.clone(), s.name == query.stream)).collect(),
            further: query.after.is_some(),
            first_page: page_url(&query, &query.stream, None),
            found: sections(&query, &view, &firing(&state)),
        })
    })
    .await
}

fn api_url(asked: &KeysQuery) -> String {
    let KeysQuery { stream, q, prefix, after, limit: _ } = asked;
    let limit = ROWS.to_string();
    let mut pairs = vec![("limit", limit.as_str())];
    pairs.extend(stream.as_deref().map(|stream| ("stream", stream)));
    pairs.push(prefix.as_deref().map_or(("q", q), |prefix| ("prefix", prefix)));
    pairs.extend(after.as_deref().map(|after| ("after", after)));
    format!("/api/v1/keys?{}", form(&pairs))
}

fn page_url(query: &Query, stream: &str, after: Option<&str>) -> String {
    let mut pairs = vec![("stream", stream), ("q", &query.q), ("by", &query.by)];
    pairs.extend(after.map(|after| ("after", after)));
    pairs.retain(|(_, value)| !value.is_empty());
    format!("/keys?{}", form(&pairs))
}

/// Stream and key of every open alert; none if they cannot be read, which the tiles say.
fn firing(state: &AppState) -> BTreeSet<(String, String)> {
    let open = (state.parts.alerts.page)(AlertQuery::Open).unwrap_or_default();
    open.into_iter().map(|row| (row.alert.decision.stream, row.alert.decision.key)).collect()
}

fn sections(query: &Query, view: &KeysView, firing: &BTreeSet<(String, String)>) -> Vec<Section> {
    let section = |(i, found): (usize, &crate::dashboard::keys::Counted)| {
        let own = view.keys.iter().filter(|name| name.stream == found.stream);
        let fires = |key: &str| firing.contains(&(found.stream.clone(), key.to_owned()));
        Section {
            at: format!("found[{i}]"),
            stream: found.stream.clone(),
            names: own.map(|name| (name.key.clone(), fires(&name.key))).collect(),
            next: found.next_after.as_deref().map(|after| page_url(query, &found.stream, Some(after))),
        }
    };
    view.found.iter().enumerate().map(section).collect()
}
