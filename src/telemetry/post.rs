//! One request to the collector, and what it made of it, by the OTLP specification's section on HTTP.

use std::time::Duration;

use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};

use super::proto::Taken;
use crate::config::plan::TelemetryPlan;
use crate::types::root_cause;

/// OpenTelemetry's own default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer of more is none that says anything.
const ANSWER_BYTES_MAX: usize = 65_536;
/// Of what a collector says to what it refused.
const SAID_CHARS_MAX: usize = 200;

/// An exporter that cannot be set up. Holds no url and no secret.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error(
        "telemetry: no HTTPS client: {reason}; install the system's CA certificates (Debian: ca-certificates)"
    )]
    Client { reason: String },
}

/// What became of a request. Reasons name no url and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// So many spans or points of it were refused, with what the collector says to that.
    Taken { rejected: u64, said: String },
    /// It may be taken later.
    Later { reason: String, after: Option<Duration>, was_reached: bool },
    /// It never will.
    Refused { reason: String },
}

/// One signal's address. Has no `Debug`: headers hold tokens.
pub struct Post {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl Post {
    /// `path`: `v1/traces` or `v1/metrics`, below the plan's endpoint.
    pub fn new(plan: &TelemetryPlan, path: &str) -> Result<Self, TelemetryError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &plan.headers {
            // Looked at by the config.
            if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let mut url = plan.endpoint.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        let client = Client::builder()
            .user_agent(concat!("eddy/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            // The headers are for this collector alone.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| TelemetryError::Client { reason: root_cause(&error) })?;
        Ok(Post { client, url, headers })
    }

    /// One attempt, at most `patience` long.
    pub async fn send(&self, message: &impl Message, patience: Duration) -> Outcome {
        let request = self.client.post(self.url.clone()).headers(self.headers.clone());
        let request = request.timeout(patience.min(TIMEOUT)).body(message.encode_to_vec());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() => return later("it does not answer in time".to_owned()),
            Err(error) if error.is_connect() => {
                return later(format!("cannot connect: {}", root_cause(&error)));
            }
            Err(error) => return later(format!("the connection broke: {}", root_cause(&error))),
        };
        let status = response.status();
        if status.is_success() {
            return taken(&small(response).await);
        }
        let reason = format!("answered {status}");
        match status.as_u16() {
            429 | 502 | 503 | 504 => {
                let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                let after = after.and_then(|s| s.parse().ok()).map(Duration::from_secs);
                Outcome::Later { reason, after, was_reached: true }
            }
            _ => Outcome::Refused { reason },
        }
    }
}

/// The answer, whether or not it says its length; nothing of one that is too long.
async fn small(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Vec::new();
        }
    }
    body
}

fn later(reason: String) -> Outcome {
    Outcome::Later { reason, after: None, was_reached: false }
}

fn taken(body: &[u8]) -> Outcome {
    let partial = Taken::decode(body).unwrap_or_default().partial_success.unwrap_or_default();
    let said = partial.error_message.chars().take(SAID_CHARS_MAX).collect();
    Outcome::Taken { rejected: partial.rejected.max(0) as u64, said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::proto::PartialSuccess;

    #[test]
    fn an_answer_says_what_was_not_taken() {
        assert_eq!(taken(b""), Outcome::Taken { rejected: 0, said: String::new() });
        assert_eq!(taken(b"not protobuf"), Outcome::Taken { rejected: 0, said: String::new() });
        let partial = PartialSuccess { rejected: 3, error_message: "full".to_owned() };
        let body = Taken { partial_success: Some(partial) }.encode_to_vec();
        assert_eq!(taken(&body), Outcome::Taken { rejected: 3, said: "full".to_owned() });
    }
}
