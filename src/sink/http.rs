//! Posting to a receiver, and reading its answer as the Standard Webhooks specification does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use sha2::{Digest, Sha256};

use super::schedule::parse_retry_after;
use super::{Answer, SinkError};
use crate::types::{hex, root_cause};

/// Servers close idle connections after 5 s and more. Letting go earlier keeps an alert from being
/// written into a connection that is just being closed, which would cost it an attempt.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// An answer's body up to this size is read to its end, so that the connection can be used again.
const DRAIN_BYTES_MAX: u64 = 16_384;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// One address. Has no `Debug`: its path may hold a token.
pub struct Poster {
    client: Client,
    url: Url,
    timeout: Duration,
}

impl Poster {
    /// `below`: what is appended to the path of `url`.
    pub fn new(sink: &str, url: &str, below: &str, timeout: Duration) -> Result<Self, SinkError> {
        let wrong = |reason: String| SinkError::Url { sink: sink.to_owned(), reason };
        let mut url = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        if !below.is_empty() {
            url.set_path(&format!("{}{below}", url.path().trim_end_matches('/')));
        }
        let client = Client::builder()
            .user_agent(concat!("eddy/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .pool_idle_timeout(IDLE_MAX)
            // A redirect would carry a signed alert to a place nobody configured.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| SinkError::Client { sink: sink.to_owned(), reason: root_cause(&e) })?;
        Ok(Poster { client, url, timeout })
    }

    /// One attempt, at most the timeout long.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Answer {
        match self.client.post(self.url.clone()).headers(headers).body(body).send().await {
            Ok(response) => {
                let answer = judge(&response, now_s());
                // Beside the flow: the receipt ends with the status, not with the last byte.
                tokio::spawn(drain(response));
                answer
            }
            Err(error) => Answer::unsent(&self.explain(&error)),
        }
    }

    /// The headers of its answer to `OPTIONS`; `None` if it does not answer, or fails. An error is what the attempt came to: it
    /// says when it may be tried again, or wants nothing more.
    pub async fn options(&self, headers: HeaderMap) -> Result<Option<HeaderMap>, Answer> {
        let request = self.client.request(Method::OPTIONS, self.url.clone()).headers(headers);
        let Ok(response) = request.send().await else { return Ok(None) };
        let (status, said) = (response.status(), response.headers().clone());
        let answer = judge(&response, now_s());
        tokio::spawn(drain(response));
        let is_server_error = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        let fails = is_server_error || status == StatusCode::TOO_MANY_REQUESTS;
        match answer {
            Answer::Gone { .. } => Err(answer),
            Answer::Failed { retry_after: Some(_), .. } => Err(answer),
            _ if fails => Ok(None),
            _ => Ok(Some(said)),
        }
    }

    /// A digest of the address.
    pub fn target(&self) -> String {
        hex(&Sha256::digest(self.url.as_str()))
    }

    fn explain(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            format!("no answer within {:?}", self.timeout)
        } else if error.is_connect() {
            format!("cannot connect: {}", root_cause(error))
        } else {
            format!("the connection broke before an answer: {}", root_cause(error))
        }
    }
}

/// By the system's clock, not the process's own: receivers refuse a timestamp that is minutes off, and the
/// system's may have been set right since start.
pub fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64
}

/// The specification's reading of a status: 2xx is success, a redirect is a failure.
fn judge(response: &Response, now_s: i64) -> Answer {
    let status = response.status();
    if status.is_success() {
        return Answer::Accepted { status: Some(status.as_u16()) };
    }
    if status == StatusCode::GONE {
        return Answer::Gone { status: status.as_u16() };
    }
    let busy = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| parse_retry_after(value, now_s));
    let mut reason = format!("answered {status}");
    if retry_after.is_some_and(|wait| !wait.is_zero()) {
        reason.push_str(" and asked to wait (Retry-After)");
    }
    if status.is_redirection() {
        reason.push_str(", a redirect is not followed: configure the final url");
    }
    Answer::Failed { status: Some(status.as_u16()), reason, busy, retry_after }
}

/// The status already decided: whatever goes wrong here only costs the connection.
async fn drain(mut response: Response) {
    if response.content_length().is_some_and(|bytes| bytes <= DRAIN_BYTES_MAX) {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, rest).await;
    }
}
