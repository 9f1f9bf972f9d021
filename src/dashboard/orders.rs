//! What a person changes about alerts: silences, acknowledgements, deliveries that are tried again or at once.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::AppState;
use super::api::{Answer, ApiError, Params, blocking, time};
use super::fitting::fits;
use super::guard::Detail;
use crate::access::Who;
use crate::stage::{Done, Given, Order, Refused, What};
use crate::types::{Silence, SilenceDraft};

/// Failed deliveries listed at once.
const FAILED_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    matchers: Vec<String>,
    #[serde(default)]
    starts_at: Option<String>,
    ends_at: String,
    author: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    revision: Option<u32>,
    #[serde(default)]
    receiver: Option<String>,
}

/// `GET /api/v1/silences`: all that were said, over or not, oldest first.
pub async fn silences(State(state): State<AppState>) -> Answer {
    let now_ns = state.parts.clock.now_ns();
    Ok(Json(all_silences(&state.parts.status.said.silences(), now_ns)).into_response())
}

pub fn all_silences(silences: &[Arc<Silence>], now_ns: i64) -> Value {
    let rows: Vec<Value> = silences.iter().map(|silence| shown(silence, now_ns)).collect();
    json!({"silences": rows})
}

/// `POST /api/v1/silences`.
pub async fn silence(State(state): State<AppState>, Json(new): Json<NewSilence>) -> Answer {
    let draft = SilenceDraft {
        matchers: new.matchers,
        starts_at_ns: new.starts_at.map(|at| time("starts_at", &at)).transpose()?,
        ends_at_ns: time("ends_at", &new.ends_at)?,
        author: new.author,
        comment: new.comment,
    };
    order(&state, What::Silence(draft)).await
}

/// `DELETE /api/v1/silences/{id}`: it ends now.
pub async fn end_silence(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    order(&state, What::EndSilence { id }).await
}

/// `POST /api/v1/alerts/{id}/acknowledge`; without an author in the name of the token, as the page's button does.
pub async fn acknowledge(
    State(state): State<AppState>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    Json(Seen { author, comment }): Json<Seen>,
) -> Answer {
    let author = author.unwrap_or(who.name);
    order(&state, What::Acknowledge { id, author, comment }).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FailedQuery {
    limit: Option<String>,
}

/// `GET /api/v1/deliveries/failed`: what was given up, in order of storing.
pub async fn failed(State(state): State<AppState>, Params(query): Params<FailedQuery>) -> Answer {
    let limit = query.limit.as_deref().map_or(Ok(FAILED_MAX), |text| super::api::whole("limit", text))?;
    let parts = state.parts.clone();
    let rows = blocking(move || {
        let rows = (parts.alerts.failed)(limit.min(FAILED_MAX));
        rows.map_err(|error| ApiError::internal(error, "deliveries are safe on disk; try again"))
    })
    .await?;
    Ok(Json(json!({"rows": rows})).into_response())
}

/// `POST /api/v1/deliveries/replay`: one delivery, or all of a receiver, or all.
pub async fn replay(State(state): State<AppState>, Json(again): Json<Again>) -> Answer {
    let given = match again {
        Again { id: Some(id), revision: Some(revision), receiver: Some(receiver) } => {
            Given::One { id, revision, receiver }
        }
        Again { id: None, revision: None, receiver } => Given::All { receiver },
        _ => {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "which delivery is meant is not clear",
                "name id, revision and receiver of one, or only a receiver for all of it, or nothing for all",
            ));
        }
    };
    order(&state, What::Replay(given)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Now {
    receiver: String,
}

/// `POST /api/v1/deliveries/retry`: what waits for a receiver is tried at once.
pub async fn retry(State(state): State<AppState>, Json(Now { receiver }): Json<Now>) -> Answer {
    order(&state, What::Retry { receiver }).await
}

/// What an order came to, or why it is not followed.
pub async fn ask(state: &AppState, what: What) -> Result<Result<Done, Refused>, ApiError> {
    let stopping = |()| {
        let error = "Eddy is stopping, or is not ready yet";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "ask again once /readyz says so")
    };
    // Nobody answers while the log is read back, and how long that takes is not known.
    if state.parts.status.recovering.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(stopping(()));
    }
    let (answer, answered) = oneshot::channel();
    state.parts.orders.try_send(Order { what, answer }).map_err(|_| stopping(()))?;
    answered.await.map_err(|_| stopping(()))
}

async fn order(state: &AppState, what: What) -> Answer {
    let (asked, is_new) = (said(&what), matches!(what, What::Silence(_)));
    let done = ask(state, what).await?;
    let now_ns = state.parts.clock.now_ns();
    let (detail, answer) = match done {
        Ok(Done::Silenced(silence)) => {
            let (detail, mut shown) =
                (format!("{}: {}", silence.id, matchers(&silence)), shown(&silence, now_ns));
            if is_new {
                let state = state.clone();
                shown["fits"] = json!(blocking(move || Ok(fits(&state, &silence))).await?);
            }
            (detail, Json(shown).into_response())
        }
        Ok(Done::Acknowledged(acknowledgement)) => (asked, Json(json!(acknowledgement)).into_response()),
        Ok(Done::Replayed { deliveries, superseded }) => (
            format!("{asked}: {deliveries}, {superseded} superseded"),
            Json(json!({"replayed": deliveries, "superseded": superseded})).into_response(),
        ),
        Ok(Done::Asked { waiting }) => {
            (format!("{asked}: {waiting}"), Json(json!({"waiting": waiting})).into_response())
        }
        // Feedback is not asked for in this way.
        Ok(Done::Heard(_)) => (asked, StatusCode::NO_CONTENT.into_response()),
        Err(why) => (asked, refused(why).into_response()),
    };
    Ok((Extension(Detail(detail)), answer).into_response())
}

/// What the body asks for, for the audit log; the address holds the rest.
fn said(what: &What) -> String {
    match what {
        What::Silence(draft) => draft.matchers.join(" "),
        What::EndSilence { .. } => "ended".to_owned(),
        What::Feedback { feedback, .. } => format!("{}: {}", feedback.word.as_str(), feedback.reason),
        What::Acknowledge { author, comment, .. } => format!("{author}: {comment}"),
        What::Replay(Given::One { id, revision, receiver }) => format!("{id} {revision} to {receiver}"),
        What::Replay(Given::All { receiver: Some(receiver) }) => format!("all to {receiver}"),
        What::Replay(Given::All { receiver: None }) => "all".to_owned(),
        What::Retry { receiver } => format!("what waits for {receiver}"),
    }
}

fn matchers(silence: &Silence) -> String {
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    matchers.join(" ")
}

/// The remedy stands behind the last colon.
pub fn refused(why: Refused) -> ApiError {
    let (status, why) = match &why {
        Refused::Unknown(why) => (StatusCode::NOT_FOUND, why),
        Refused::Wrong(why) => (StatusCode::BAD_REQUEST, why),
        Refused::Impossible(why) => (StatusCode::CONFLICT, why),
        Refused::Unsure(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let (error, remedy) =
        why.rsplit_once(": ").unwrap_or((why.as_str(), "see /api/v1/silences and /api/v1/alerts"));
    ApiError::new(status, error, remedy)
}

pub fn shown(silence: &Silence, now_ns: i64) -> Value {
    let mut shown = json!(silence);
    shown["state"] = json!(silence.state(now_ns));
    shown
}
