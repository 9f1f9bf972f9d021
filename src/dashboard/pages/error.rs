//! What cannot be shown, said on a page where a person asked for one: an old link need not end in JSON.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use crate::dashboard::AppState;
use crate::dashboard::api::{ApiError, blocking};
use crate::dashboard::page::unrendered;
use crate::dashboard::shell::{Shell, status_doc};

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    shell: Shell<'a>,
    error: &'a str,
    remedy: &'a str,
}

/// Browsers ask for HTML by name, programs do not; what is below `/api/` answers both in JSON.
pub async fn for_people(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wants_page = accepted.is_some_and(|kinds| kinds.contains("text/html"))
        && !request.uri().path().starts_with("/api/");
    let response = next.run(request).await;
    let Some(found) = response.extensions().get::<ApiError>().filter(|_| wants_page).cloned() else {
        return response;
    };
    let status = found.status;
    match blocking(move || render(&state, &found)).await {
        Ok(page) => (status, Html(page)).into_response(),
        Err(_) => response,
    }
}

fn render(state: &AppState, found: &ApiError) -> Result<String, ApiError> {
    let frame = state.frames.newest();
    let status = status_doc(&frame);
    let shell = Shell::of(state, &frame.snapshot, &status, "", &found.error);
    Page { shell, error: &found.error, remedy: &found.remedy }.render().map_err(unrendered)
}
