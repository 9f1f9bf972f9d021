//! Every answer that is not a 200, in one shape: `{"error": ..., "remedy": ...}`.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::stage::RejectedRow;

/// Seconds a client is asked to wait while the log cannot be written.
const RETRY_AFTER_S: &str = "5";

/// An error answer.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    // Boxed: every `Result` on the way carries the room for it.
    body: Box<Body>,
}

#[derive(Debug, Serialize)]
struct Body {
    error: String,
    remedy: String,
    /// Only when rows were looked at: none of them was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Vec<RejectedRow>>,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        let body = Body { error: error.into(), remedy: remedy.into(), accepted: None, rejected: None };
        Refusal { status, header: None, body: Box::new(body) }
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    pub fn no_token() -> Self {
        let remedy = "send the header `Authorization: Bearer TOKEN` with the source's `token`";
        Refusal::new(StatusCode::UNAUTHORIZED, "this source asks for a bearer token", remedy)
            .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"eddy\"")
    }

    pub fn wrong_token() -> Self {
        let remedy = "send the source's `token` as configured";
        Refusal::new(StatusCode::UNAUTHORIZED, "the bearer token is not the one of this source", remedy)
            .with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"eddy\", error=\"invalid_token\"")
    }

    pub fn unknown_stream(stream: &str, known: &[String]) -> Self {
        let error = format!("no stream {stream:?} takes from this source");
        let remedy = match known {
            [] => "add a `[stream.NAME]` with `from` naming this source".to_owned(),
            known => format!("post to one of: {}", known.join(", ")),
        };
        Refusal::new(StatusCode::NOT_FOUND, error, remedy)
    }

    pub fn unknown_path(path: &str) -> Self {
        Refusal::new(
            StatusCode::NOT_FOUND,
            format!("there is nothing at {path}"),
            "post to /v1/events/STREAM",
        )
    }

    pub fn method(method: &str) -> Self {
        let error = format!("{method} is not possible here");
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error, "use POST").with_header(header::ALLOW, "POST")
    }

    pub fn content_type(given: &str, is_csv: bool) -> Self {
        let error = format!("content type {given:?} is not understood");
        let remedy = match is_csv {
            true => "send text/csv, lines of cells in the order of the stream's `header`",
            false => "send application/json, or application/x-ndjson with one document a line",
        };
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, remedy)
    }

    pub fn content_encoding(given: &str) -> Self {
        let error = format!("content encoding {given:?} is not understood");
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, "send the body uncompressed")
    }

    pub fn idempotency_key(bytes_max: usize) -> Self {
        let error = format!("the Idempotency-Key is empty, not ASCII text, or longer than {bytes_max} bytes");
        Refusal::new(StatusCode::BAD_REQUEST, error, "send a short unique text, such as a UUID")
    }

    pub fn key_reused() -> Self {
        let error = "this Idempotency-Key was used with another body";
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error, "send a new key with a new body")
    }

    pub fn too_large(bytes_max: usize) -> Self {
        let error = format!("the body is larger than {bytes_max} bytes");
        let remedy = "send fewer rows a request, or raise the source's `max_body`";
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error, remedy)
    }

    pub fn body_unreadable() -> Self {
        Refusal::new(
            StatusCode::BAD_REQUEST,
            "the body could not be read to its end",
            "send the request again",
        )
    }

    pub fn body_slow(seconds_max: u64) -> Self {
        let error = format!("the body did not arrive within {seconds_max} s");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error, "send fewer rows a request, or check the network")
    }

    pub fn no_row(rejected: Vec<RejectedRow>) -> Self {
        let (error, remedy) = match rejected.len() {
            0 => ("the body holds no row".to_owned(), "send at least one JSON document"),
            n => {
                (format!("none of {n} rows was accepted; nothing was kept"), "correct them as `detail` says")
            }
        };
        let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, error, remedy);
        refusal.body.accepted = Some(0);
        refusal.body.rejected = Some(rejected);
        refusal
    }

    /// For who watches the appliance; `None` while the log cannot be written, which is told already.
    pub fn why(&self) -> Option<String> {
        let Body { error, remedy, rejected, .. } = &*self.body;
        let first = rejected.as_ref().and_then(|rejected| rejected.first());
        let what = first.map_or_else(|| format!("{error}; {remedy}"), |row| row.detail.clone());
        (self.status != StatusCode::SERVICE_UNAVAILABLE).then_some(what)
    }

    pub fn not_safe() -> Self {
        let error = "the log cannot be written; nothing of this request was kept";
        let remedy = "send it again later; on the appliance, free disk space and see `eddy_log_safe`";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error, remedy)
            .with_header(header::RETRY_AFTER, RETRY_AFTER_S)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(*self.body)).into_response();
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
