//! Tokens for OAUTHBEARER, fetched with the client's own credentials (RFC 6749, section 4.4).
//!
//! The client library wants one from inside of a poll, at the start and when four fifths of the last one's time are over; if
//! there is none it asks again after 10 s.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url, redirect};
use serde::Deserialize;

use super::quiet::Quiet;
use crate::config::plan::{ClusterPlan, SaslPlan, TokenPlan};
use crate::types::root_cause;

/// Of one request. The poll it is made in waits meanwhile.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Of a token that does not say how long it holds, s.
const HOLDS_S: u64 = 300;
/// And at most: some servers give a number that no clock can add.
const HOLDS_MAX_S: u64 = 86_400;
/// Longer than the library waits before it asks again.
const FIRST_MAX: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);

/// What every client needs for its tokens, if it needs any.
pub(crate) struct Tokens {
    plan: Option<TokenPlan>,
    fetched: AtomicBool,
}

/// As in RFC 6749, section 5.1.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

/// As in section 5.2.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

impl Tokens {
    pub fn of(cluster: &ClusterPlan) -> Self {
        let plan = match &cluster.sasl {
            Some(SaslPlan::Token(token)) => Some(token.clone()),
            _ => None,
        };
        Tokens { plan, fetched: AtomicBool::new(false) }
    }

    /// # Errors
    /// Why there is none; for the client library to tell.
    pub fn fetch(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let plan = self.plan.as_ref().ok_or("no server is named that gives tokens")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let granted = runtime.block_on(ask(plan)).map_err(|reason| format!("{}: {reason}", plan.url))?;
        let holds = Duration::from_secs(granted.expires_in.unwrap_or(HOLDS_S).min(HOLDS_MAX_S));
        self.fetched.store(true, Relaxed);
        Ok(OAuthToken {
            token: granted.access_token,
            principal_name: plan.client_id.clone(),
            lifetime_ms: i64::try_from((now + holds).as_millis())?,
        })
    }

    fn is_wanting(&self) -> bool {
        self.plan.is_some() && !self.fetched.load(Relaxed)
    }
}

/// A client that is asked before it is polled has its token by then.
///
/// # Errors
/// If there is none.
pub(crate) fn with_token(client: BaseConsumer<Quiet>) -> KafkaResult<BaseConsumer<Quiet>> {
    let began = Instant::now();
    let tokens = &client.context().tokens;
    while tokens.is_wanting() {
        if began.elapsed() > FIRST_MAX {
            let url = tokens.plan.as_ref().map_or("", |plan| plan.url.as_str());
            return Err(KafkaError::ClientCreation(format!(
                "no token from {url}; see that it answers, or correct `sasl`"
            )));
        }
        drop(client.poll(LOOK));
    }
    Ok(client)
}

async fn ask(plan: &TokenPlan) -> Result<Granted, String> {
    let failed = |error: reqwest::Error| root_cause(&error);
    let client = Client::builder().timeout(ANSWER_MAX).redirect(redirect::Policy::none()).build();
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(plan.scope.as_deref().map(|scope| ("scope", scope)));
    let response = client
        .map_err(failed)?
        .post(&plan.url)
        .basic_auth(encoded(&[(&plan.client_id, "")])?, Some(encoded(&[(&plan.client_secret, "")])?))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(encoded(&form)?)
        .send()
        .await
        .map_err(failed)?;
    let status = response.status();
    let body = response.bytes().await.map_err(failed)?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| format!("its answer holds no token ({error})"));
    }
    let error = serde_json::from_slice(&body).map_or(String::new(), |Refused { error }| format!(", {error}"));
    Err(format!("answered {status}{error}"))
}

/// As in a form; a pair without a value is a text alone. So go name and secret, too (RFC 6749, section 2.3.1).
fn encoded(pairs: &[(&str, &str)]) -> Result<String, String> {
    let mut url = Url::parse("http://form").map_err(|error| error.to_string())?;
    for (name, value) in pairs {
        match value.is_empty() {
            true => drop(url.query_pairs_mut().append_key_only(name)),
            false => drop(url.query_pairs_mut().append_pair(name, value)),
        }
    }
    Ok(url.query().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_are_encoded_as_in_a_form() {
        assert_eq!(encoded(&[("a b&c=:é", "")]).unwrap(), "a+b%26c%3D%3A%C3%A9");
        assert_eq!(encoded(&[("grant_type", "x"), ("scope", "a b")]).unwrap(), "grant_type=x&scope=a+b");
    }
}
