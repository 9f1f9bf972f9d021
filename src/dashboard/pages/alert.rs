//! `/alerts/ID`: one alert with its evidence, where its time went, who was told, and how it was revised.

use askama::Template;
use axum::extract::{Path, State};
use jiff::tz::TimeZone;
use serde_json::json;

use super::html;
use crate::dashboard::AppState;
use crate::dashboard::alerts::{AlertEntry, AlertQuery, SegmentKind};
use crate::dashboard::api::{Answer, blocking, no_alert, unread};
use crate::dashboard::aside::{Receiver, receivers};
use crate::dashboard::doc::Doc;
use crate::dashboard::format::clock;
use crate::dashboard::key::form;
use crate::dashboard::listed::of_one;
use crate::dashboard::listing::{Card, class, readable};
use crate::dashboard::shell::{Shell, status_doc};
use crate::types::{About, AlertState};

#[derive(Template)]
#[template(path = "alert.html")]
struct Page<'a> {
    shell: Shell<'a>,
    alerts: &'a Doc<'a>,
    card: Card,
    falls: Vec<Fall>,
    revisions: Vec<Revision>,
}

/// A stretch of the receipt, where it begins and how long it took, percent.
struct Fall {
    at: String,
    name: String,
    class: &'static str,
    x: f64,
    width: f64,
    /// The same with what is not Eddy's left out.
    own: Option<(f64, f64)>,
}

struct Revision {
    at: String,
    decision: String,
    state: &'static str,
    /// Name in the decision, and clock.
    happened: (&'static str, String),
    stored: String,
    /// p-values are known.
    odds: bool,
    receivers: Vec<Receiver>,
}

pub async fn show(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    blocking(move || {
        let rows = (state.parts.alerts.page)(AlertQuery::One { id: id.clone() }).map_err(unread)?;
        if rows.is_empty() {
            return Err(no_alert(&state.parts.plan));
        }
        let (at, rows) = of_one(rows, &state.parts.status.said);
        let frame = state.frames.newest();
        let (status, snapshot, zone) = (status_doc(&frame), &frame.snapshot, &state.parts.zone);
        let json = json!({ "rows": rows });
        let escaped = form(&[("", &id)]);
        let url = format!("/api/v1/alerts/{}", escaped.trim_start_matches('='));
        let alerts = Doc { root: "alerts", url, json: &json };
        let title = format!("{} {}", rows[at].row.alert.decision.key, rows[at].row.alert.decision.rule);
        html(&Page {
            shell: Shell::of(&state, snapshot, &status, "/alerts", &title),
            alerts: &alerts,
            card: Card::of(at, &rows[at], snapshot.time_ns, zone),
            falls: falls(at, &rows[at]),
            revisions: revisions(&rows, snapshot.time_ns, zone),
        })
    })
    .await
}

fn falls(at: usize, entry: &AlertEntry) -> Vec<Fall> {
    let receipt = &entry.row.alert.receipt;
    let percent = |ns: u64, of: u64| 100.0 * ns as f64 / of.max(1) as f64;
    let (mut passed, mut own_passed) = (0, 0);
    let fall = |(s, segment): (usize, &crate::types::Segment)| {
        let kind = SegmentKind::of(&segment.stage);
        let is_own = kind != SegmentKind::Outside;
        let own = is_own.then(|| (percent(own_passed, entry.eddy_ns), percent(segment.ns, entry.eddy_ns)));
        let fall = Fall {
            at: format!("rows[{at}].alert.receipt.segments[{s}]"),
            name: readable(&segment.stage),
            class: class(kind),
            x: percent(passed, receipt.total_ns),
            width: percent(segment.ns, receipt.total_ns),
            own,
        };
        passed += segment.ns;
        own_passed += if is_own { segment.ns } else { 0 };
        fall
    };
    receipt.segments.iter().enumerate().map(fall).collect()
}

/// Where a decision says what [`crate::types::Decision::happened`] gives.
fn happened(about: &About) -> &'static str {
    match about {
        About::Window(_) => "window_end",
        About::NoData(silence) => silence.resumed.map_or("due", |_| "resumed"),
        About::Onset(onset) => onset.ended.map_or("cell_end", |_| "ended"),
    }
}

fn revisions(rows: &[AlertEntry], now_ns: i64, zone: &TimeZone) -> Vec<Revision> {
    let revision = |(i, entry): (usize, &AlertEntry)| {
        let (at, decision) = (format!("rows[{i}]"), &entry.row.alert.decision);
        Revision {
            decision: format!("{at}.alert.decision"),
            state: match decision.state {
                AlertState::Raised => "raised",
                AlertState::Revised => "revised",
                AlertState::Resolved => "resolved",
                AlertState::Retracted => "retracted",
            },
            happened: (happened(&decision.about), clock(decision.happened().0, now_ns, zone)),
            stored: clock(entry.row.stored_at_ns, now_ns, zone),
            odds: decision.window().is_some(),
            receivers: receivers(&at, entry, now_ns, zone),
            at,
        }
    };
    rows.iter().enumerate().map(revision).collect()
}
