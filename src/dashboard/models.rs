//! The models a stream has been scored by, and the way back to the one before.

use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::AppState;
use super::api::{Answer, ApiError, Params, blocking, stream_id};
use super::chart::{self, Panel, Scale};
use super::reduce::Sample;
use crate::config::plan::{ColumnPlan, ModelPlan, Shape, StreamPlan};
use crate::stage::{Ask, Wish};
use crate::status;
use crate::types::Activation;

/// Pixels.
const SAMPLE_WIDTH: u32 = 360;

#[derive(Debug, Deserialize)]
pub struct OfStream {
    stream: String,
}

/// `GET /api/v1/models?stream=NAME`: oldest first, the active one last.
pub async fn list(State(state): State<AppState>, Params(of): Params<OfStream>) -> Answer {
    ask(&state, of.stream, Wish::List).await
}

/// `POST /api/v1/models/rollback?stream=NAME`: the same, once the model before is active.
pub async fn roll_back(State(state): State<AppState>, Params(of): Params<OfStream>) -> Answer {
    ask(&state, of.stream, Wish::RollBack).await
}

#[derive(Debug, Deserialize)]
pub struct OfColumn {
    stream: String,
    column: String,
}

/// `GET /api/v1/models/sample?stream=NAME`: what the active model takes for normal.
pub async fn sample(State(state): State<AppState>, Params(of): Params<OfStream>) -> Answer {
    let (plan, sample) = find(&state, &of.stream)?;
    let column = |(plan, values): (&ColumnPlan, Option<Vec<f32>>)| json!({"name": plan.name, "unit": plan.unit, "values": values});
    let columns: Vec<_> = plan.columns.iter().zip(sample.columns).map(column).collect();
    let cell_ns = (plan.window.shape == Shape::Grid).then_some(plan.window.grid.as_nanos() as u64);
    let body = json!({"stream": plan.name, "model": sample.checksum, "cell_ns": cell_ns, "columns": columns});
    Ok(Json(body).into_response())
}

/// `GET /api/v1/models/sample.svg?stream=NAME&column=NAME`: one column of it.
pub async fn sample_chart(State(state): State<AppState>, Params(of): Params<OfColumn>) -> Answer {
    let (plan, sample) = find(&state, &of.stream)?;
    let at = plan.columns.iter().position(|column| column.name == of.column);
    let Some(cells) = at.and_then(|at| sample.columns.into_iter().nth(at)?) else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no such column in it",
            "see /api/v1/models/sample for those that vary",
        ));
    };
    let drawn = |(time, value): (i64, f32)| Sample {
        time,
        value: f64::from(value),
        low: f64::NAN,
        high: f64::NAN,
        anomalous: false,
        odd: false,
    };
    let (to, samples) = (cells.len() as i64 - 1, (0..).zip(cells).map(drawn).collect::<Vec<_>>());
    let panel = Panel { samples: &samples, every_ns: Some(1), from: 0, to, scale: Scale::Linear };
    let chart =
        chart::draw(&panel).map_err(|error| ApiError::internal(error, "read /api/v1/models/sample"))?;
    let svg = chart::standalone(&chart, &[], SAMPLE_WIDTH);
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response())
}

fn find<'a>(state: &'a AppState, stream: &str) -> Result<(&'a StreamPlan, status::Sample), ApiError> {
    let id = stream_id(state, stream)?;
    let sample = state.parts.status.models(id).sample().ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "there is no sample of normal of this stream",
            "streams of an Eddy by itself with model = { type = \"load\" } have one",
        )
    })?;
    Ok((&state.parts.plan.streams[id.0 as usize], sample))
}

async fn ask(state: &AppState, stream: String, wish: Wish) -> Answer {
    Ok(Json(history(state, stream, wish).await?).into_response())
}

/// A stream's models, oldest first, the active one last.
pub async fn history(state: &AppState, stream: String, wish: Wish) -> Result<Vec<Activation>, ApiError> {
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
    history.map_err(|error| {
        ApiError::new(StatusCode::CONFLICT, error, "look at `eddy model list` and the config")
    })
}

/// `GET /api/v1/models/card?stream=NAME`: what `eddy train` wrote beside the model that the config names.
pub async fn card(State(state): State<AppState>, Params(of): Params<OfStream>) -> Answer {
    blocking(move || {
        let id = stream_id(&state, &of.stream)?;
        let card = read_card(&state.parts.plan.streams[id.0 as usize].model);
        card.map(|card| Json(card).into_response()).map_err(|why| {
            ApiError::new(
                StatusCode::NOT_FOUND,
                why,
                "streams with model = { type = \"load\" } have a card, beside the model's file, as .json",
            )
        })
    })
    .await
}

/// Blocks.
///
/// # Errors
/// Why there is none, for an operator.
pub fn read_card(plan: &ModelPlan) -> Result<Value, String> {
    let path = match plan {
        ModelPlan::Load { path, .. } => path.with_extension("json"),
        ModelPlan::Fit { .. } => return Err("each partition fits its own model on what it sees".to_owned()),
        ModelPlan::Transactions { .. } => {
            return Err("events are judged by the causes a fraud may have; nothing is fitted".to_owned());
        }
    };
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}
