//! The models a stream has been scored by, and the way back to the one before.
//!
//! Going back changes decisions, so no web page may bring a browser to ask for it: it must be a POST with a
//! header that forms cannot set, and that scripts of other sites may not set without being allowed to, which
//! nobody here ever is.

use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::AppState;
use super::api::{Answer, ApiError, Params};
use crate::stage::{Ask, MODEL_HEADER, ROLL_BACK, Wish};

#[derive(Debug, Deserialize)]
pub struct OfStream {
    stream: String,
}

/// `GET /api/v1/models?stream=NAME`: oldest first, the active one last.
pub async fn list(State(state): State<AppState>, Params(of): Params<OfStream>) -> Answer {
    ask(&state, of.stream, Wish::List).await
}

/// `POST /api/v1/models/rollback?stream=NAME`: the same, once the model before is active.
pub async fn roll_back(
    State(state): State<AppState>,
    headers: HeaderMap,
    Params(of): Params<OfStream>,
) -> Answer {
    if headers.get(MODEL_HEADER).is_none_or(|value| value != ROLL_BACK) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "a change of models must say that it is meant",
            format!("use `eddy model rollback`, or send the header {MODEL_HEADER}: {ROLL_BACK}"),
        ));
    }
    ask(&state, of.stream, Wish::RollBack).await
}

async fn ask(state: &AppState, stream: String, wish: Wish) -> Answer {
    let stopping = |()| {
        let error = "Eddy is stopping, or is not ready yet";
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error,
            "look at `eddy model list` once /readyz says so, before you ask again",
        )
    };
    // Nobody answers while the log is read back, and how long that takes is not known.
    if state.parts.status.recovering.load(Relaxed) {
        return Err(stopping(()));
    }
    let (answer, answered) = oneshot::channel();
    state.parts.ask.try_send(Ask { stream, wish, answer }).map_err(|_| stopping(()))?;
    let history = answered.await.map_err(|_| stopping(()))?;
    match history {
        Ok(history) => Ok(Json(history).into_response()),
        Err(error) => {
            Err(ApiError::new(StatusCode::CONFLICT, error, "look at `eddy model list` and the config"))
        }
    }
}
