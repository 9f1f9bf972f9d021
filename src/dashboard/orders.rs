//! What a person changes about alerts: silences, acknowledgements, failed deliveries that are tried again.
//!
//! None of it may be brought about by a page of somebody else's: what changes something is a DELETE, or a POST of JSON,
//! neither of which a browser sends to another site without asking it first, and nobody here ever allows that.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::AppState;
use super::api::{Answer, ApiError, Params, blocking, time};
use crate::stage::{Done, Given, Order, Refused, What};
use crate::types::{Silence, SilenceDraft};

/// Failed deliveries listed at once.
const FAILED_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSilence {
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
struct Seen {
    author: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    revision: Option<u32>,
    #[serde(default)]
    receiver: Option<String>,
}

/// `GET /api/v1/silences`: all that were ever said, oldest first.
pub async fn silences(State(state): State<AppState>) -> Answer {
    let now_ns = state.parts.clock.now_ns();
    let rows: Vec<Value> =
        state.parts.status.said.silences().iter().map(|silence| shown(silence, now_ns)).collect();
    Ok(Json(json!({"silences": rows})).into_response())
}

/// `POST /api/v1/silences`.
pub async fn silence(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Answer {
    let new: NewSilence = read(&headers, &body)?;
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

/// `POST /api/v1/alerts/{id}/acknowledge`.
pub async fn acknowledge(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let Seen { author, comment } = read(&headers, &body)?;
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
pub async fn replay(State(state): State<AppState>, headers: HeaderMap, body: Bytes) -> Answer {
    let given = match read(&headers, &body)? {
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

fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ApiError> {
    let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|value| value.split(';').next() == Some("application/json"))
    });
    if !is_json {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is not said to be JSON",
            "send the header content-type: application/json",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("the body cannot be read: {error}"),
            "see Silences in the README for the fields",
        )
    })
}

async fn order(state: &AppState, what: What) -> Answer {
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
    let done = answered.await.map_err(|_| stopping(()))?;
    let now_ns = state.parts.clock.now_ns();
    match done {
        Ok(Done::Silenced(silence)) => Ok(Json(shown(&silence, now_ns)).into_response()),
        Ok(Done::Acknowledged(acknowledgement)) => Ok(Json(json!(acknowledgement)).into_response()),
        Ok(Done::Replayed(deliveries)) => Ok(Json(json!({"replayed": deliveries})).into_response()),
        Err(Refused::Unknown(why)) => Err(refused(StatusCode::NOT_FOUND, &why)),
        Err(Refused::Wrong(why)) => Err(refused(StatusCode::BAD_REQUEST, &why)),
        Err(Refused::Impossible(why)) => Err(refused(StatusCode::CONFLICT, &why)),
    }
}

/// The remedy stands behind the last colon.
fn refused(status: StatusCode, why: &str) -> ApiError {
    let (error, remedy) = why.rsplit_once(": ").unwrap_or((why, "see /api/v1/silences and /api/v1/alerts"));
    ApiError::new(status, error, remedy)
}

pub fn shown(silence: &Silence, now_ns: i64) -> Value {
    let mut shown = json!(silence);
    shown["state"] = json!(silence.state(now_ns));
    shown
}
