//! Webhooks by the Standard Webhooks specification.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use super::format::{Dress, Dressed};
use super::handshake::Handshake;
use super::http::{Poster, now_s};
use super::signature::Signer;
use super::{Answer, Outgoing, SinkError, SinkType};
use crate::config::plan::{BodyFormat, SinkPlan, WebhookPlan};
use crate::status::SinkStatus;

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
    /// Only of CloudEvents.
    handshake: Option<Handshake>,
}

impl Webhook {
    pub fn new(sink: &SinkPlan, plan: &WebhookPlan) -> Result<Self, SinkError> {
        let is_of_events = matches!(plan.format, BodyFormat::CloudEvents | BodyFormat::CloudEventsBinary);
        Ok(Webhook {
            handshake: is_of_events.then(|| Handshake::new(&sink.deployment)),
            poster: Poster::new(&sink.name, &plan.url, "", plan.timeout)?,
            signer: Signer::new(&plan.secret),
            dress: Dress {
                format: plan.format,
                receiver: sink.name.clone(),
                deployment: sink.deployment.clone(),
            },
        })
    }

    /// One attempt, at most the timeout long; twice that where the receiver is asked first whether it may be sent to.
    /// `shown` says how often it allows.
    pub async fn send(&self, outgoing: &Outgoing, shown: &SinkStatus) -> Answer {
        if let Some(handshake) = &self.handshake {
            let asked = handshake.ask(&self.poster, &self.dress.receiver).await;
            shown.set_rate(handshake.rate());
            if let Err(answer) = asked {
                return answer;
            }
        }
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
            ("traceparent", outgoing.traceparent.clone()),
        ];
        let origin = self.handshake.as_ref().map(|handshake| ("origin", handshake.origin().to_owned()));
        for (name, value) in of_webhook.iter().chain(&dressed.headers).chain(&origin) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
        }
        Ok(headers)
    }

    /// It is known how often it may be sent to.
    pub(super) fn may_send(&self) -> bool {
        self.handshake.as_ref().is_none_or(Handshake::is_known)
    }

    pub(super) fn spacing(&self) -> Duration {
        self.handshake.as_ref().map_or(Duration::ZERO, Handshake::spacing)
    }

    pub(super) fn target(&self) -> String {
        self.poster.target()
    }
}
