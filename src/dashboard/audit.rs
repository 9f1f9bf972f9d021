//! `GET /api/v1/audit`: who did what, when, and from where.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::AppState;
use super::api::{Answer, ApiError, Params, blocking, whole};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    before: Option<String>,
    limit: Option<String>,
}

/// Newest first.
pub async fn page(State(state): State<AppState>, Params(query): Params<AuditQuery>) -> Answer {
    let limit = query.limit.as_deref().map_or(Ok(50), |text| whole::<usize>("limit", text))?.clamp(1, 500);
    let before = query.before.as_deref().map(|text| whole("before", text)).transpose()?;
    let access = state.parts.access.clone();
    let rows = blocking(move || {
        let page = access.audit().page(before, limit);
        page.map_err(|error| ApiError::internal(error, "what is noted is safe on disk; try again"))
    })
    .await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|entry| entry.seq);
    Ok(Json(json!({"rows": rows, "next_before": next})).into_response())
}
