//! HTTP: `POST /v1/events/{stream}` with `application/json` or `application/x-ndjson`.
//!
//! A request is one message: its body goes into the log as sent, and 200 follows the log. Rows that
//! would not become events are named in the answer. They are part of the body, so they reach the
//! dead-letter file too; when no row is good nothing is logged and the answer is 400.
//!
//! A repeated `Idempotency-Key` gets the first answer and is not logged again; see [`IdempotencyIndex`].

mod idempotency;
mod refusal;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::routing::post;
use axum::{Extension, Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Context, Ended, SourceError, overdue};
use crate::config::plan::HttpPlan;
use crate::connections::{self, Limits};
use crate::stage::{NotSafe, RejectedRow};
use crate::types::{Arrival, Message};
pub use idempotency::{AnsweredKey, IdempotencyIndex, KEYS_MAX};
use idempotency::{Claim, Ticket};
use refusal::Refusal;

const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Where fewer connections may be open than [`LIMITS`] has.
const REMEDY: &str = "raise the hard limit of open files, by `LimitNOFILE=` in a unit of systemd or `--ulimit nofile=` of `docker run`";

/// A gateway may hold a connection for each of its devices. One that is kept open must not be closed just when its device
/// speaks again, which many do once in 30 s or in a minute.
pub const LIMITS: Limits =
    Limits { connections: 10_000, head: Duration::from_secs(90), body: Duration::from_secs(30) };

struct App {
    source: Arc<str>,
    token: Option<String>,
    max_body_bytes: usize,
    context: Context,
}

/// The 200 answer.
#[derive(Serialize)]
struct Answer {
    accepted: u32,
    rejected: Vec<RejectedRow>,
}

/// Binds `plan.listen` and serves until told to stop.
///
/// # Errors
/// When the address cannot be had.
pub async fn run(plan: &HttpPlan, source: Arc<str>, context: Context) -> Result<Ended, SourceError> {
    let listener = TcpListener::bind(plan.listen)
        .await
        .map_err(|error| SourceError::Listen { address: plan.listen, error })?;
    let files = connections::open_files_max();
    let limits = LIMITS.within(files, context.http_sources);
    let Limits { connections, .. } = limits;
    if connections < LIMITS.connections {
        tracing::warn!(
            source = &*source,
            remedy = REMEDY,
            "no more than {connections} connections may be open at a time, since the process may have {files} files open"
        );
    }
    Ok(serve(listener, plan, source, context, limits).await)
}

/// Serves a listener that is bound already; returns once requests under way are answered.
pub async fn serve(
    listener: TcpListener,
    plan: &HttpPlan,
    source: Arc<str>,
    context: Context,
    limits: Limits,
) -> Ended {
    let shutdown = context.shutdown.clone();
    let status = context.status.clone();
    let status = &status.sources[context.index];
    let app = App { source, token: plan.token.clone(), max_body_bytes: plan.max_body_bytes, context };
    let router = Router::new()
        .route("/v1/events/{stream}", post(post_events))
        .layer(DefaultBodyLimit::max(plan.max_body_bytes))
        .fallback(|uri: Uri| async move { Refusal::unknown_path(uri.path()) })
        .method_not_allowed_fallback(|method: Method| async move { Refusal::method(method.as_str()) })
        .with_state(Arc::new(app));
    status.up();
    tokio::select! {
        () = connections::serve(listener, router, shutdown.clone(), limits) => {}
        // A client that never finishes its request must not hold up the stop.
        () = overdue(&shutdown) => {}
    }
    status.connected.store(false, Ordering::Relaxed);
    Ended::Shutdown
}

async fn post_events(
    State(app): State<Arc<App>>,
    stream: Result<Path<String>, PathRejection>,
    limits: Extension<Limits>,
    request: Request,
) -> Result<Json<Answer>, Refusal> {
    let answer = take_events(app.clone(), stream, *limits, request).await;
    if let Err(refusal) = &answer {
        // The client knows why; whoever watches Eddy must see that something is amiss.
        let (status, now_ns) = (app.context.source_status(), app.context.intake.clock.now_ns());
        status.refused_total.fetch_add(1, Ordering::Relaxed);
        if let Some(why) = refusal.why() {
            *status.last_refused.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
                Some((now_ns, why));
        }
    }
    answer
}

async fn take_events(
    app: Arc<App>,
    stream: Result<Path<String>, PathRejection>,
    limits: Limits,
    request: Request,
) -> Result<Json<Answer>, Refusal> {
    app.authorise(request.headers())?;
    let Path(stream) = stream.map_err(|_| Refusal::unknown_path(request.uri().path()))?;
    if !app.context.streams.contains(&stream) {
        return Err(Refusal::unknown_stream(&stream, &app.context.streams));
    }
    check_content(request.headers(), app.context.csv_streams.contains(&stream))?;
    let idempotency_key = idempotency_key(request.headers())?;
    let headers = request.headers();
    let parent = app.context.incoming.read(|name| headers.get(name)?.to_str().ok());
    let payload = read_body(request, app.max_body_bytes, limits.body).await?;
    let arrival = Arrival(app.context.intake.clock.now_ns());
    let topic = stream.into_boxed_str();
    let mut message =
        Message { source: app.source.clone(), topic, payload, arrival, idempotency_key, origin: None };
    let claim = app.context.answered.claim(&message).await;
    match claim {
        Some(Claim::Answered(first)) => message.arrival = first,
        Some(Claim::Different) => return Err(Refusal::key_reused()),
        _ => {}
    }
    let report = (app.context.validate)(&message);
    let answer = Answer { accepted: report.accepted, rejected: report.rejected };
    if answer.accepted == 0 {
        return Err(Refusal::no_row(answer.rejected));
    }
    // What was answered before was brought by another request.
    if !matches!(claim, Some(Claim::Answered(_))) {
        app.context.incoming.keep(message.arrival, parent);
    }
    match claim {
        Some(Claim::Answered(_)) => Ok(()),
        Some(Claim::FirstFailed | Claim::Different) => Err(NotSafe),
        Some(Claim::First(ticket)) => log_once(app, message, ticket).await,
        None => app.log(message).await,
    }
    .map(|()| Json(answer))
    .map_err(|NotSafe| Refusal::not_safe())
}

/// Logs the first request of a key to the end even if its client goes away: what is in the log must be
/// known to the index, or the client's next try would be logged again.
async fn log_once(app: Arc<App>, message: Message, ticket: Ticket) -> Result<(), NotSafe> {
    let logging = tokio::spawn(async move {
        let arrival = message.arrival;
        app.log(message).await?;
        ticket.answered(arrival);
        Ok(())
    });
    logging.await.unwrap_or(Err(NotSafe))
}

impl App {
    async fn log(&self, message: Message) -> Result<(), NotSafe> {
        let status = self.context.source_status();
        status.messages_total.fetch_add(1, Ordering::Relaxed);
        status.last_arrival.store(message.arrival.0, Ordering::Relaxed);
        let logged = self.context.intake.submit(vec![message]).await?;
        // A log that dropped its end will not answer any more: the same as a refusal.
        logged.await.unwrap_or(Err(NotSafe))?;
        status.acked_total.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn authorise(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, presented)) = presented.and_then(|value| value.split_once(' ')) else {
            return Err(Refusal::no_token());
        };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::no_token());
        }
        if same_text(token, presented.trim()) { Ok(()) } else { Err(Refusal::wrong_token()) }
    }
}

async fn read_body(request: Request, bytes_max: usize, within: Duration) -> Result<Bytes, Refusal> {
    match timeout(within, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Refusal::too_large(bytes_max))
        }
        Ok(Err(_)) => Err(Refusal::body_unreadable()),
        Err(_) => Err(Refusal::body_slow(within.as_secs())),
    }
}

/// Compares in a time that depends on neither text: their MACs under one key, by the library's
/// constant-time check.
fn same_text(expected: &str, presented: &str) -> bool {
    let mac = |text: &str| {
        Hmac::<Sha256>::new_from_slice(b"eddy bearer token").map(|mac| mac.chain_update(text.as_bytes()))
    };
    match (mac(expected), mac(presented)) {
        (Ok(expected), Ok(presented)) => presented.verify(&expected.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

/// A body is read by its stream's format, and must say that it has it.
fn check_content(headers: &HeaderMap, is_csv: bool) -> Result<(), Refusal> {
    let understood: &[&str] =
        if is_csv { &["text/csv"] } else { &["application/json", "application/x-ndjson"] };
    let text = |name| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let given = text(header::CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !understood.contains(&&essence[..]) {
        return Err(Refusal::content_type(&given, is_csv));
    }
    match text(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.eq_ignore_ascii_case("identity") => {
            Err(Refusal::content_encoding(&encoding))
        }
        _ => Ok(()),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Box<str>>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.into())),
        _ => Err(Refusal::idempotency_key(IDEMPOTENCY_KEY_BYTES_MAX)),
    }
}
