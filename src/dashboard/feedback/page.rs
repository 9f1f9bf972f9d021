//! The page behind an alert's link: what was told, what was said of it, and what saying so does.

use askama::Template;
use axum::response::{Html, IntoResponse};

use super::{Kept, LinkQuery};
use crate::access::Feedback;
use crate::dashboard::alerts::AlertRow;
use crate::dashboard::api::{Answer, ApiError};
use crate::dashboard::format::Format;
use crate::dashboard::{AppState, assets};
use crate::types;

#[derive(Template)]
#[template(path = "feedback.html")]
struct FeedbackPage<'a> {
    deployment: &'a str,
    assets: String,
    id: &'a str,
    stream: &'a str,
    key: &'a str,
    /// RFC 3339.
    onset: String,
    /// What was told, in a line; empty where that is not of a column.
    what: String,
    /// What was said before, and by whom.
    word: Option<types::Feedback>,
    until: &'a str,
    sig: &'a str,
    said: Option<&'a Kept>,
}

/// Of the column that the surprise is mostly of, as the alert was raised.
fn what(rows: &[AlertRow]) -> String {
    let columns = rows.first().and_then(|row| row.alert.decision.window()).map(|window| &window.columns);
    let most = columns.and_then(|columns| columns.iter().max_by(|a, b| a.share.total_cmp(&b.share)));
    let Some(of) = most else { return String::new() };
    let number = |x: f64| Format::Value.write(x);
    let value = of.value.map_or_else(|| "missing".to_owned(), number);
    let unit = of.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let (low, high) = (number(of.expected_low), number(of.expected_high));
    format!("{} {value}{unit}, normal {low} to {high}", of.column)
}

pub(super) fn answer_page(
    state: &AppState,
    of: &Feedback,
    rows: &[AlertRow],
    link: &LinkQuery,
    said: Option<&Kept>,
) -> Answer {
    let onset = jiff::Timestamp::from_nanosecond(i128::from(of.start_ns)).unwrap_or_default();
    let page = FeedbackPage {
        deployment: &state.parts.plan.deployment,
        assets: assets::version(),
        id: &of.alert,
        stream: &of.stream,
        key: &of.key,
        onset: onset.to_string(),
        what: what(rows),
        word: state.parts.status.said.feedback(&of.alert),
        until: &link.until,
        sig: &link.sig,
        said,
    };
    let html = page.render().map_err(|error| ApiError::internal(error, "send it over the API"))?;
    Ok(Html(html).into_response())
}
