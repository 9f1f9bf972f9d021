//! `GET /api/v1/openapi.json`: the API described by OpenAPI 3.1. Tests hold it to the list of ways, and answers to it.

use axum::http::header;
use axum::response::{IntoResponse, Response};

pub const DESCRIPTION: &str = include_str!("openapi.json");

pub async fn description() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION).into_response()
}
