//! What people say of an alert: by a signed link in it, or over the API.
//!
//! A link's `GET` changes nothing, because mail scanners and chat previews follow links; only the form behind it does.
//! What is said goes to the control log, by which it changes what is told of the key, and then to the file that labels are
//! made of. A word that is in the first alone was not answered, and is said again.

mod page;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::{Extension, Form, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::alerts::{AlertQuery, AlertRow};
use super::api::{Answer, ApiError, Params, blocking, no_alert, stream_id};
use super::guard::{Detail, From, now_s};
use super::orders::{ask, refused};
use super::{AppState, Parts, knowing};
use crate::access::{self, Feedback, Who};
use crate::stage::{Done, What};
use crate::types::{self, Word};
use page::answer_page;

/// Of a reason, bytes.
const REASON_BYTES_MAX: usize = 500;

/// A person's word, from a form or as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saying {
    verdict: Word,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LinkQuery {
    until: String,
    sig: String,
}

/// A word that was kept, and what it does.
#[derive(Serialize)]
pub struct Kept {
    #[serde(flatten)]
    feedback: Feedback,
    /// From the key's next epoch on.
    acts: bool,
    /// Why it does not, with the remedy.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// `GET /feedback/{id}?until=&sig=`
pub async fn linked_form(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Params(link): Params<LinkQuery>,
) -> Answer {
    let found = alert(&state, &id).await?;
    answer_page(&state, &found.of, &found.rows, &link, None)
}

/// `POST /feedback/{id}?until=&sig=`
pub async fn linked(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Params(link): Params<LinkQuery>,
    Form(saying): Form<Saying>,
) -> Answer {
    let (kept, detail) = keep(&state, &id, saying, "link".to_owned()).await?;
    let mut response = answer_page(&state, &kept.feedback, &[], &link, Some(&kept))?;
    response.extensions_mut().insert(detail);
    Ok(response)
}

/// `POST /api/v1/alerts/{id}/feedback`
pub async fn say(
    State(state): State<AppState>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    Json(saying): Json<Saying>,
) -> Answer {
    let (kept, detail) = keep(&state, &id, saying, who.name).await?;
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

/// An alert, with nothing said yet.
struct Subject {
    of: Feedback,
    /// What told it.
    rule: String,
    /// Its revisions; empty once they were deleted.
    rows: Vec<AlertRow>,
}

/// By its last revision; of one that was deleted since, by what was said of it, which can be taken back as long as it holds.
async fn alert(state: &AppState, id: &str) -> Result<Subject, ApiError> {
    let (parts, id) = (state.parts.clone(), id.to_owned());
    blocking(move || {
        let rows = (parts.alerts.page)(AlertQuery::One { id: id.clone() });
        let rows = rows.map_err(|error| ApiError::internal(error, "alerts are safe on disk; try again"))?;
        let at_ns = parts.clock.now_ns();
        let Some(decision) = rows.last().map(|row| &row.alert.decision) else {
            return deleted(&parts, &id, at_ns);
        };
        let of = Feedback {
            alert: decision.id.clone(),
            verdict: Word::Undone,
            reason: String::new(),
            who: String::new(),
            at_ns,
            stream: decision.stream.clone(),
            key: decision.key.clone(),
            start_ns: decision.onset.0,
            end_ns: decision.happened().0.max(decision.onset.0),
        };
        Ok(Subject { of, rule: decision.rule.clone(), rows })
    })
    .await
}

fn deleted(parts: &Parts, id: &str, at_ns: i64) -> Result<Subject, ApiError> {
    let Some((stream, said)) = parts.status.said.word_on(id) else {
        return Err(no_alert(&parts.plan));
    };
    let labelled = labelled(parts, id)?;
    let types::Feedback { alert, key, rule, onset_ns: start_ns, .. } = said;
    let end_ns = labelled.map_or(start_ns, |label| label.end_ns);
    let (verdict, reason, who) = (Word::Undone, String::new(), String::new());
    let of = Feedback { alert, verdict, reason, who, at_ns, stream, key, start_ns, end_ns };
    Ok(Subject { of, rule, rows: Vec::new() })
}

/// The last word on an alert, as the labels have it.
fn labelled(parts: &Parts, id: &str) -> Result<Option<Feedback>, ApiError> {
    let words = parts.access.feedback().last_words();
    let words =
        words.map_err(|error| ApiError::internal(error, "what was said is safe on disk; try again"))?;
    Ok(words.into_iter().find(|word| word.alert == id))
}

async fn keep(state: &AppState, id: &str, saying: Saying, who: String) -> Result<(Kept, Detail), ApiError> {
    if saying.reason.len() > REASON_BYTES_MAX {
        let error = format!("the reason is longer than {REASON_BYTES_MAX} bytes");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error, "say it in fewer words"));
    }
    let _turn = state.words.turn.lock().await;
    let Subject { of, rule, rows } = alert(state, id).await?;
    let feedback = Feedback { verdict: saying.verdict, reason: saying.reason, who, ..of };
    let hindrance = hindrance(state, rows, &feedback).await?;
    let acts = match ask(state, order(&feedback, rule)).await? {
        Ok(Done::Heard(acts)) => acts,
        Ok(_) => Err("nobody follows it here: say it again".to_owned()),
        Err(why) => return Err(refused(why)),
    };
    let acts = acts.and_then(|()| hindrance.map_or(Ok(()), Err));
    let detail = Detail(format!("{}: {}", feedback.verdict.as_str(), feedback.reason));
    let (parts, adding) = (state.parts.clone(), feedback.clone());
    blocking(move || {
        let last = labelled(&parts, &adding.alert)?;
        let same = |last: Feedback| (last.verdict, last.reason) == (adding.verdict, adding.reason.clone());
        if last.map_or(adding.verdict == Word::Undone, same) {
            return Ok(());
        }
        parts.access.feedback().add(&adding).map_err(|error| {
            let remedy = "it was not kept as a label; say it again";
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), remedy)
        })
    })
    .await?;
    Ok((Kept { feedback, acts: acts.is_ok(), why: acts.err() }, detail))
}

/// Why a first word on an alert will not act. Of an alert on which there is one the engine knows; and to take nothing back
/// is done at once.
async fn hindrance(
    state: &AppState,
    rows: Vec<AlertRow>,
    feedback: &Feedback,
) -> Result<Option<String>, ApiError> {
    let (parts, word) = (state.parts.clone(), feedback.verdict);
    if word == Word::Undone || parts.status.said.word_on(&feedback.alert).is_some() {
        return Ok(None);
    }
    blocking(move || {
        let found = knowing::hindrance(&parts, &rows, word);
        found.map_err(|error| ApiError::internal(error, "alerts are safe on disk; try again"))
    })
    .await
}

fn order(of: &Feedback, rule: String) -> What {
    let feedback = types::Feedback {
        number: 0,
        word: of.verdict,
        alert: of.alert.clone(),
        key: of.key.clone(),
        rule,
        onset_ns: of.start_ns,
        reason: of.reason.clone(),
        who: of.who.clone(),
        at_ns: of.at_ns,
    };
    What::Feedback { stream: of.stream.clone(), feedback }
}
