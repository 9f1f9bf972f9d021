//! How a handler answers, and how every refusal looks: `application/problem+json` of RFC 9457 with a `remedy`.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::LIMITS;
use crate::connections::Limits;

/// Of a refusal of axum's own, bytes.
const TEXT_BYTES_MAX: usize = 4_096;

/// An answer that is not what was asked for, and what to do about it.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub status: StatusCode,
    pub error: String,
    pub remedy: String,
    // Boxed: most answers have none, and every one has the room.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// RFC 9457, section 3. Without a `type` of its own a problem is what its status says.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    remedy: &'a str,
}

impl ApiError {
    pub fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        ApiError { status, error: error.into(), remedy: remedy.into(), header: None }
    }

    pub fn bad(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, remedy)
    }

    pub fn internal(error: impl ToString, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), remedy)
    }

    pub fn too_often(wait_s: u64) -> Self {
        let remedy = format!("wait {wait_s} s; a good token is let in at any time");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many bad tokens came from this address", remedy)
            .with(header::RETRY_AFTER, HeaderValue::from(wait_s))
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }
}

/// Reads the body before anything else does: who sends it ever so slowly would hold a connection, and there are few.
pub async fn whole_body(request: Request, next: Next) -> Response {
    let within = request.extensions().get().map_or(LIMITS.body, |limits: &Limits| limits.body);
    let (head, body) = request.into_parts();
    let reading = Request::from_parts(head.clone(), body);
    match timeout(within, Bytes::from_request(reading, &())).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(rejection)) => rejection.into_response(),
        Err(_) => {
            let error = format!("the body did not arrive within {} s", within.as_secs());
            ApiError::new(StatusCode::REQUEST_TIMEOUT, error, "check the network, and send it again")
                .into_response()
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.error, self.remedy)
    }
}

impl IntoResponse for ApiError {
    /// The error itself goes along, for [`super::pages::error::for_people`].
    fn into_response(self) -> Response {
        let ApiError { status, error, remedy, header } = &self;
        let title = status.canonical_reason().unwrap_or("Error");
        let problem =
            Problem { r#type: "about:blank", title, status: status.as_u16(), detail: error, remedy };
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response =
            (*status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.headers_mut().extend(header.as_deref().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

/// Puts what axum refuses by itself (a body that is no JSON, a path that is no UTF-8) in the same words.
pub async fn as_problem(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let text = response.headers().get(header::CONTENT_TYPE);
    let is_text = text.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !is_text {
        return response;
    }
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), TEXT_BYTES_MAX).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&body).into_owned();
    ApiError::new(status, said, "correct it as said; /api/v1/openapi.json describes every request")
        .into_response()
}

/// The query string. Unlike [`Query`] it refuses with a remedy of its own.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let parsed = Query::try_from_uri(&parts.uri);
        parsed.map(|Query(query)| Params(query)).map_err(|error| {
            ApiError::bad(
                format!("the query cannot be read: {error}"),
                "give each name once, percent-encoded",
            )
        })
    }
}

pub type Answer = Result<Response, ApiError>;

/// Runs what blocks (histograms, SQLite, rendering) off the threads that serve connections.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error, "reload; if it stays, look at the log")))
}
