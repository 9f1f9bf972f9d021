//! `/api/v1/keys`: which keys there are, by name.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::AppState;
use super::api::{Answer, ApiError, Params, blocking, stream_id, whole};
use super::roster::Wanted;
use crate::types::StreamId;

/// Names of each stream at a time, unless `limit` says otherwise, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct KeysQuery {
    pub stream: Option<String>,
    /// Letters in the name.
    pub q: String,
    /// Letters at its beginning.
    pub prefix: Option<String>,
    /// Go on behind this name.
    pub after: Option<String>,
    pub limit: Option<String>,
}

/// What there is, by stream, and the names of this page.
#[derive(Debug, Serialize)]
pub struct KeysView {
    pub found: Vec<Counted>,
    pub keys: Vec<KeyName>,
}

#[derive(Debug, Serialize)]
pub struct Counted {
    pub stream: String,
    /// Keys that fit, on all pages.
    pub total: usize,
    /// Where the next page goes on; `null` behind the last one.
    pub next_after: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct KeyName {
    pub stream: String,
    pub key: String,
}

/// Keys met since the start or restored at it, each stream's in order.
pub async fn list(State(state): State<AppState>, Params(query): Params<KeysQuery>) -> Answer {
    let limit = query.limit.as_deref().map_or(Ok(LIMIT), |text| whole::<usize>("limit", text))?;
    blocking(move || Ok(Json(search(&state, &query, limit.min(LIMIT_MAX))?).into_response())).await
}

/// `limit`: names of each stream.
pub fn search(state: &AppState, query: &KeysQuery, limit: usize) -> Result<KeysView, ApiError> {
    let plan = &state.parts.plan;
    let streams = match &query.stream {
        Some(name) => vec![stream_id(state, name)?],
        None => (0..plan.streams.len()).map(|i| StreamId(i as u16)).collect(),
    };
    let wanted = Wanted {
        text: query.prefix.as_deref().unwrap_or(&query.q),
        begins: query.prefix.is_some(),
        after: query.after.as_deref(),
        limit,
    };
    let mut view = KeysView { found: Vec::new(), keys: Vec::new() };
    for id in streams {
        let stream = &plan.streams[id.0 as usize].name;
        let found = state.roster.find(id, wanted);
        let next_after = found.names.last().filter(|_| found.more).cloned();
        view.found.push(Counted { stream: stream.clone(), total: found.total, next_after });
        view.keys.extend(found.names.into_iter().map(|key| KeyName { stream: stream.clone(), key }));
    }
    Ok(view)
}
