//! Webhooks by the Standard Webhooks specification.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use super::format::{Dress, Dressed};
use super::http::{Poster, now_s};
use super::signature::Signer;
use super::{Answer, Outgoing, SinkError, SinkType};
use crate::config::plan::{SinkPlan, WebhookPlan};

pub const TYPE: SinkType = SinkType {
    name: "webhook",
    summary: "signed HTTP POST by the Standard Webhooks specification, retried over three days",
    example: r#"[sink.on_call]
type = "webhook"
url = "https://alerts.example.com/hooks/eddy"
secret = "env:ON_CALL_SECRET"
"#,
};

/// One endpoint. Has no `Debug`: it holds secrets.
pub struct Webhook {
    poster: Poster,
    signer: Signer,
    dress: Dress,
}

impl Webhook {
    pub fn new(sink: &SinkPlan, plan: &WebhookPlan) -> Result<Self, SinkError> {
        Ok(Webhook {
            poster: Poster::new(&sink.name, &plan.url, "", plan.timeout)?,
            signer: Signer::new(&plan.secret),
            dress: Dress {
                format: plan.format,
                receiver: sink.name.clone(),
                deployment: sink.deployment.clone(),
            },
        })
    }

    /// One attempt, at most the timeout long.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        let made = self.dress.dress(outgoing).map(|dressed| (self.headers(outgoing, &dressed), dressed.body));
        match made {
            Ok((Ok(headers), body)) => self.poster.post(headers, body).await,
            Ok((Err(_), _)) => Answer::unsent("what it is about cannot be told in headers"),
            Err(error) => Answer::unsent(&error.to_string()),
        }
    }

    fn headers(&self, outgoing: &Outgoing, dressed: &Dressed) -> Result<HeaderMap, InvalidHeaderValue> {
        let now_s = now_s();
        let signature = self.signer.sign(&outgoing.message_id, now_s, &dressed.body);
        let mut headers = HeaderMap::new();
        let of_webhook = [
            ("content-type", dressed.content_type.to_owned()),
            ("webhook-id", outgoing.message_id.clone()),
            ("webhook-timestamp", now_s.to_string()),
            ("webhook-signature", signature),
        ];
        for (name, value) in of_webhook.iter().chain(&dressed.headers) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        Ok(headers)
    }

    pub(super) fn target(&self) -> String {
        self.poster.target()
    }
}
