//! The handshake of CloudEvents' webhooks ("HTTP 1.1 Web Hooks for Event Delivery" 1.0.2, section 4): who sends asks the
//! receiver by `OPTIONS`, and is told how often it may.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::Answer;
use super::http::Poster;
use crate::status::SendRate;

/// A receiver may change its mind.
const ASKED_AGAIN: Duration = Duration::from_secs(24 * 3600);
/// One that fails when it is asked may be down, or may never have heard of `OPTIONS`.
const ASKED_AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// One that does not answer the question may only be sent to "at a very low request rate"; it was configured by whoever
/// wants the alerts, so not at all would be worse.
const WITHOUT_PERMISSION: SendRate = SendRate { per_minute: Some(10), permitted: false };
const MINUTE: Duration = Duration::from_secs(60);

/// What one receiver has said.
pub struct Handshake {
    origin: String,
    answered: Mutex<Option<Answered>>,
}

#[derive(Clone, Copy)]
struct Answered {
    /// When it is asked again.
    until: Instant,
    rate: SendRate,
}

impl Handshake {
    /// Of a DNS name only letters, digits and dashes may be part.
    pub fn new(deployment: &str) -> Self {
        Handshake { origin: deployment.replace('_', "-"), answered: Mutex::default() }
    }

    /// Who sends, as every request must say.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn is_known(&self) -> bool {
        self.answered().is_some_and(|answered| Instant::now() < answered.until)
    }

    /// From one message to the next, at least; also while it is due to be asked again.
    pub fn spacing(&self) -> Duration {
        self.rate().and_then(|rate| rate.per_minute).map_or(Duration::ZERO, |rate| MINUTE / rate)
    }

    /// How often it may be sent to; `None` before it was asked.
    pub fn rate(&self) -> Option<SendRate> {
        self.answered().map(|answered| answered.rate)
    }

    /// Asks, unless it was within a day. An error is what the attempt came to: nothing may be sent. A question that fails is
    /// no such error: what is sent then shows whether the receiver is down.
    pub async fn ask(&self, poster: &Poster, sink: &str) -> Result<(), Answer> {
        if self.is_known() {
            return Ok(());
        }
        let origin =
            HeaderValue::from_str(&self.origin).map_err(|_| Answer::unsent("its origin is no text"))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("webhook-request-origin"), origin)]);
        let said = poster.options(headers).await?;
        let before = self.rate();
        let rate = match &said {
            Some(said) => permission(said, &self.origin),
            None => before,
        };
        let rate = rate.unwrap_or(WITHOUT_PERMISSION);
        // Of one that fails each time it is said once.
        if !rate.permitted && (said.is_some() || before.is_none()) {
            tracing::warn!(
                sink,
                origin = self.origin,
                "the receiver did not say that it wants CloudEvents of this origin (`WebHook-Allowed-Origin` in its answer \
                 to OPTIONS); it is sent at most ten a minute"
            );
        }
        let until = Instant::now() + if said.is_some() { ASKED_AGAIN } else { ASKED_AGAIN_AFTER_FAILURE };
        let answered = Answered { until, rate };
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(answered);
        Ok(())
    }

    fn answered(&self) -> Option<Answered> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None`: no permission. Without a rate, or with `*`, there is no limit; the rate is in messages a minute.
fn permission(said: &HeaderMap, origin: &str) -> Option<SendRate> {
    let text = |name: &str| said.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let allowed = text("webhook-allowed-origin")?;
    if allowed != "*" && !allowed.eq_ignore_ascii_case(origin) {
        return None;
    }
    let rate = text("webhook-allowed-rate").and_then(|rate| rate.parse::<u32>().ok());
    Some(SendRate { per_minute: rate.filter(|rate| *rate > 0), permitted: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_is_what_names_the_origin_and_may_have_a_rate() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            permission(&pairs.collect(), "plant-3").map(|rate| rate.per_minute)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("webhook-allowed-rate", "120")]), None, "a rate is no permission");
        assert_eq!(of(&[("webhook-allowed-origin", "other")]), None);
        assert_eq!(of(&[("webhook-allowed-origin", "PLANT-3")]), Some(None));
        assert_eq!(of(&[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "*")]), Some(None));
        assert_eq!(of(&[("webhook-allowed-origin", "*"), ("webhook-allowed-rate", "20")]), Some(Some(20)));
        assert_eq!(Handshake::new("plant_3").origin(), "plant-3");
    }
}
