//! The pages beside the overview. Each is rendered whole from the newest snapshot and the stored alerts, so that it can
//! be linked and reloaded; live, its parts are taken from the same page asked for again.

pub mod alert;
pub mod alerts;
pub mod error;
pub mod key;
pub mod keys;
pub mod model;
pub mod receivers;
pub mod streams;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};

use super::api::ApiError;
use super::page::unrendered;

/// Rows of a list on one page.
pub const ROWS: usize = 50;

fn html(page: &impl Template) -> Result<Response, ApiError> {
    Ok(Html(page.render().map_err(unrendered)?).into_response())
}

#[cfg(test)]
mod tests;
