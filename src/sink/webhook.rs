//! Webhooks by the Standard Webhooks specification.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use sha2::{Digest, Sha256};

use super::schedule::parse_retry_after;
use super::signature::Signer;
use super::{Answer, Outgoing, SinkError, SinkType};
use crate::config::plan::WebhookPlan;

pub const TYPE: SinkType = SinkType {
    name: "webhook",
    summary: "signed HTTP POST by the Standard Webhooks specification, retried over three days",
    example: r#"[sink.on_call]
type = "webhook"
url = "https://alerts.example.com/hooks/eddy"
secret = "env:ON_CALL_SECRET"
"#,
};

/// Servers close idle connections after 5 s and more. Letting go earlier keeps an alert from being
/// written into a connection that is just being closed, which would cost it an attempt.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// An answer's body up to this size is read to its end, so that the connection can be used again.
const DRAIN_BYTES_MAX: u64 = 16_384;
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);

/// One endpoint. Has no `Debug`: it holds secrets.
pub struct Webhook {
    client: Client,
    url: Url,
    signer: Signer,
    timeout: Duration,
}

impl Webhook {
    pub fn new(sink: &str, plan: &WebhookPlan) -> Result<Self, SinkError> {
        let url = Url::parse(&plan.url)
            .map_err(|e| SinkError::Url { sink: sink.to_owned(), reason: e.to_string() })?;
        let client = Client::builder()
            .user_agent(concat!("eddy/", env!("CARGO_PKG_VERSION")))
            .timeout(plan.timeout)
            .pool_idle_timeout(IDLE_MAX)
            // A redirect would carry a signed alert to a place nobody configured.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|e| SinkError::Client { sink: sink.to_owned(), reason: root_cause(&e) })?;
        Ok(Webhook { client, url, signer: Signer::new(&plan.secret), timeout: plan.timeout })
    }

    /// One attempt, at most `timeout` long.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        // The system's clock, not the process's own: receivers refuse a timestamp that is minutes
        // off, and the system's may have been set right since start.
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &outgoing.message_id)
            .header("webhook-timestamp", now_s)
            .header("webhook-signature", self.signer.sign(&outgoing.message_id, now_s, &outgoing.body))
            .body(outgoing.body.clone());
        match request.send().await {
            Ok(response) => {
                let answer = judge(&response, now_s);
                // Beside the flow: the receipt ends with the status, not with the last byte.
                tokio::spawn(drain(response));
                answer
            }
            Err(error) => {
                Answer::Failed { status: None, reason: self.explain(&error), busy: false, retry_after: None }
            }
        }
    }

    pub(super) fn target(&self) -> String {
        let digest = Sha256::digest(self.url.as_str());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
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
    let mut reason = format!("answered {status}");
    if status.is_redirection() {
        reason.push_str(", a redirect is not followed: configure the final url");
    }
    Answer::Failed {
        status: Some(status.as_u16()),
        reason,
        busy,
        retry_after: retry_after.and_then(|value| parse_retry_after(value, now_s)),
    }
}

/// The status already decided: whatever goes wrong here only costs the connection.
async fn drain(mut response: Response) {
    if response.content_length().is_some_and(|bytes| bytes <= DRAIN_BYTES_MAX) {
        let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, rest).await;
    }
}

/// The innermost error. The outer ones quote the url, which may hold a token.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    // Without an inner error reqwest's own text remains, url and all.
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request could not be made".to_owned(),
        None => cause.to_string(),
    }
}
