//! `/receivers`: how each receiver does, and what went to it lately.

use askama::Template;
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;

use super::{ROWS, html};
use crate::dashboard::AppState;
use crate::dashboard::alerts::{AlertEntry, AlertQuery, FailedRow};
use crate::dashboard::api::{Answer, Params, blocking, unread, whole};
use crate::dashboard::aside::{Receiver, onsets, receivers};
use crate::dashboard::doc::Doc;
use crate::dashboard::format::clock;
use crate::dashboard::listed::entries;
use crate::dashboard::page::sink_states;
use crate::dashboard::shell::{Shell, status_doc};
use crate::dashboard::snapshot::{SinkState, SinkView, Snapshot};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Query {
    before: Option<String>,
}

#[derive(Template)]
#[template(path = "receivers.html")]
struct Page<'a> {
    shell: Shell<'a>,
    status: &'a Doc<'a>,
    alerts: &'a Doc<'a>,
    snapshot: &'a Snapshot,
    sinks: Vec<(&'static str, &'static str)>,
    standings: Vec<Standing>,
    failed: &'a Doc<'a>,
    given_up: &'a [FailedRow],
    given_up_since: Vec<String>,
    sent: Vec<Sent>,
    further: bool,
    next: Option<i64>,
}

/// A receiver for which something waits, or that did not take something.
struct Standing {
    at: String,
    name: String,
    /// Clock: since when.
    waits: Option<String>,
    trying: bool,
    /// Clock.
    next: Option<String>,
    probed: bool,
    failed: bool,
    /// It can be asked now.
    open: bool,
}

/// A revision and where it went.
struct Sent {
    at: String,
    decision: String,
    id: String,
    key: String,
    stream: String,
    state: &'static str,
    stored: String,
    receivers: Vec<Receiver>,
}

pub async fn show(State(state): State<AppState>, Params(query): Params<Query>) -> Answer {
    blocking(move || {
        let before = query.before.as_deref().map(|text| whole::<i64>("before", text)).transpose()?;
        let page = AlertQuery::Page { before, limit: ROWS, stream: None, key: None };
        let rows = (state.parts.alerts.page)(page).map_err(unread)?;
        let rows = entries(rows, &state.parts.status.said);
        let next = rows.last().filter(|_| rows.len() == ROWS).map(|entry| entry.row.seq);
        let frame = state.frames.newest();
        let (status, snapshot) = (status_doc(&frame), &frame.snapshot);
        let json = json!({"rows": rows, "next_before": next});
        let given_up = (state.parts.alerts.failed)(ROWS).map_err(unread)?;
        let failed = json!({"rows": given_up});
        let failed =
            Doc { root: "failed", url: format!("/api/v1/deliveries/failed?limit={ROWS}"), json: &failed };
        let from = before.map_or_else(String::new, |before| format!("&before={before}"));
        let alerts = Doc { root: "alerts", url: format!("/api/v1/alerts?limit={ROWS}{from}"), json: &json };
        html(&Page {
            shell: Shell::of(&state, snapshot, &status, "/receivers", "Receivers"),
            status: &status,
            alerts: &alerts,
            snapshot,
            sinks: sink_states(snapshot),
            standings: standings(snapshot, &state.parts.zone),
            failed: &failed,
            given_up: &given_up,
            given_up_since: onsets(&given_up, snapshot.time_ns, &state.parts.zone),
            sent: sent(&rows, snapshot.time_ns, &state.parts.zone),
            further: before.is_some(),
            next,
        })
    })
    .await
}

/// Not of those to which all that waits is just being sent.
fn standings(snapshot: &Snapshot, zone: &TimeZone) -> Vec<Standing> {
    let time = |ns| clock(ns, snapshot.time_ns, zone);
    let standing = |(i, sink): (usize, &SinkView)| {
        let waiting = sink.waiting.as_ref();
        Standing {
            at: format!("sinks[{i}]"),
            name: sink.name.clone(),
            waits: waiting.map(|waiting| time(waiting.oldest_stored_at_ns)),
            trying: waiting.is_some_and(|waiting| waiting.trying),
            next: waiting.and_then(|waiting| waiting.next_attempt_at_ns).map(time),
            probed: sink.circuit_open,
            failed: sink.last_error.is_some(),
            open: waiting.is_some() && sink.state != SinkState::Closed,
        }
    };
    let all = snapshot.sinks.iter().enumerate().map(standing);
    all.filter(|standing| standing.failed || standing.waits.is_some() && !standing.trying).collect()
}

fn sent(rows: &[AlertEntry], now_ns: i64, zone: &TimeZone) -> Vec<Sent> {
    let sent = |(i, entry): (usize, &AlertEntry)| {
        let (at, decision) = (format!("rows[{i}]"), &entry.row.alert.decision);
        Sent {
            decision: format!("{at}.alert.decision"),
            id: decision.id.clone(),
            key: decision.key.clone(),
            stream: decision.stream.clone(),
            state: if decision.state.is_firing() { "firing" } else { "ended" },
            stored: clock(entry.row.stored_at_ns, now_ns, zone),
            receivers: receivers(&at, entry, now_ns, zone),
            at,
        }
    };
    rows.iter().enumerate().map(sent).collect()
}
