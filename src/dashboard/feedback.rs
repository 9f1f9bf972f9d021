//! What people say of an alert: by a signed link in it, or over the API.
//!
//! A link's `GET` changes nothing, because mail scanners and chat previews follow links; only the form behind it does.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::{Extension, Form, Json};
use serde::Deserialize;
use serde_json::json;

use super::alerts::AlertQuery;
use super::api::{Answer, ApiError, Params, blocking, stream_id};
use super::guard::{Detail, From, now_s};
use super::{AppState, assets};
use crate::access::{self, Feedback, Verdict, Who};

/// Of a reason, bytes.
const REASON_BYTES_MAX: usize = 500;

/// A person's word, from a form or as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    verdict: Verdict,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LinkQuery {
    until: String,
    sig: String,
}

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
    until: &'a str,
    sig: &'a str,
    said: Option<&'static str>,
}

/// `GET /feedback/{id}?until=&sig=`
pub async fn linked_form(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Params(link): Params<LinkQuery>,
) -> Answer {
    let found = alert(&state, &id).await?;
    answer_page(&state, &found, &link, None)
}

/// `POST /feedback/{id}?until=&sig=`
pub async fn linked(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Params(link): Params<LinkQuery>,
    Form(word): Form<Word>,
) -> Answer {
    let said = word.verdict.as_str();
    let (found, detail) = keep(&state, &id, word, "link".to_owned()).await?;
    let mut response = answer_page(&state, &found, &link, Some(said))?;
    response.extensions_mut().insert(detail);
    Ok(response)
}

/// `POST /api/v1/alerts/{id}/feedback`
pub async fn say(
    State(state): State<AppState>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    Json(word): Json<Word>,
) -> Answer {
    let (kept, detail) = keep(&state, &id, word, who.name).await?;
    Ok((StatusCode::CREATED, Extension(detail), Json(kept)).into_response())
}

/// `GET /api/v1/feedback`: the last word on each alert.
pub async fn list(State(state): State<AppState>) -> Answer {
    let rows = last_words(&state).await?;
    Ok(Json(json!({"rows": rows})).into_response())
}

#[derive(Debug, Deserialize)]
pub struct OfStream {
    stream: String,
}

/// `GET /api/v1/labels.csv?stream=NAME`: what was real, as `eddy backtest --labels` reads it.
pub async fn labels(State(state): State<AppState>, Params(of): Params<OfStream>) -> Answer {
    stream_id(&state, &of.stream)?;
    let words = last_words(&state).await?;
    let text = access::labels_csv(&words, &of.stream);
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}

async fn last_words(state: &AppState) -> Result<Vec<Feedback>, ApiError> {
    let access = state.parts.access.clone();
    blocking(move || {
        let words = access.feedback().last_words();
        words.map_err(|error| ApiError::internal(error, "what was said is safe on disk; try again"))
    })
    .await
}

/// # Errors
/// If the signature is not good; counted against the address it came from.
pub fn check_link(state: &AppState, From(from): From, id: &str, link: &LinkQuery) -> Result<(), ApiError> {
    let now_s = now_s(state);
    if state.parts.access.key().knows_link(id, &link.until, &link.sig, now_s) {
        return Ok(());
    }
    match state.parts.access.bad_link(from, now_s) {
        0 => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "this link is not one of this Eddy's, or it is too old",
            "open the page and look the alert up, or send feedback over the API with a token",
        )),
        wait_s => Err(ApiError::too_often(wait_s)),
    }
}

/// Of the alert's last revision, with nothing said yet.
async fn alert(state: &AppState, id: &str) -> Result<Feedback, ApiError> {
    let (parts, id) = (state.parts.clone(), id.to_owned());
    blocking(move || {
        let rows = (parts.alerts.page)(AlertQuery::One { id });
        let rows = rows.map_err(|error| ApiError::internal(error, "alerts are safe on disk; try again"))?;
        let decision = rows.last().map(|row| &row.alert.decision).ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, "no alert of this id", "see /api/v1/alerts for ids")
        })?;
        Ok(Feedback {
            alert: decision.id.clone(),
            verdict: Verdict::Real,
            reason: String::new(),
            who: String::new(),
            at_ns: parts.clock.now_ns(),
            stream: decision.stream.clone(),
            key: decision.key.clone(),
            start_ns: decision.onset.0,
            end_ns: decision.happened().0.max(decision.onset.0),
        })
    })
    .await
}

async fn keep(state: &AppState, id: &str, word: Word, who: String) -> Result<(Feedback, Detail), ApiError> {
    if word.reason.len() > REASON_BYTES_MAX {
        let error = format!("the reason is longer than {REASON_BYTES_MAX} bytes");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error, "say it in fewer words"));
    }
    let kept = Feedback { verdict: word.verdict, reason: word.reason, who, ..alert(state, id).await? };
    let detail = Detail(format!("{}: {}", kept.verdict.as_str(), kept.reason));
    let (access, adding) = (state.parts.access.clone(), kept.clone());
    blocking(move || {
        access.feedback().add(&adding).map_err(|error| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                error.to_string(),
                "nothing was kept; say it again",
            )
        })
    })
    .await?;
    Ok((kept, detail))
}

fn answer_page(state: &AppState, of: &Feedback, link: &LinkQuery, said: Option<&'static str>) -> Answer {
    let onset = jiff::Timestamp::from_nanosecond(i128::from(of.start_ns)).unwrap_or_default();
    let page = FeedbackPage {
        deployment: &state.parts.plan.deployment,
        assets: assets::version(),
        id: &of.alert,
        stream: &of.stream,
        key: &of.key,
        onset: onset.to_string(),
        until: &link.until,
        sig: &link.sig,
        said,
    };
    let html = page.render().map_err(|error| ApiError::internal(error, "send it over the API"))?;
    Ok(Html(html).into_response())
}
