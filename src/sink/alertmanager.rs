//! Prometheus Alertmanager, by its API of version 2.
//!
//! It keeps alerts in memory and forgets those that are not said again. So, as Prometheus does, what fires is said again
//! every minute, and what is over for a quarter of an hour.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use super::format::episodes;
use super::http::Poster;
use super::{Answer, Outgoing, SinkError, SinkType};
use crate::config::plan::{AlertmanagerPlan, SinkPlan};

pub const TYPE: SinkType = SinkType {
    name: "alertmanager",
    summary: "pushed to Alertmanager, resolved there, and said again every minute",
    example: "[sink.alertmanager]\ntype = \"alertmanager\"\nurl = \"http://alertmanager.example.com:9093\"\n",
};

/// How often what was told is said again.
pub const AGAIN: Duration = Duration::from_secs(60);
/// For how long the end of an alert is.
pub const ENDED_AGAIN: Duration = Duration::from_secs(15 * 60);
/// After so long without Eddy Alertmanager takes an alert to be over.
const LASTING: Duration = Duration::from_secs(24 * 3600);

pub struct Alertmanager {
    poster: Poster,
    deployment: String,
}

impl Alertmanager {
    pub fn new(sink: &SinkPlan, plan: &AlertmanagerPlan) -> Result<Self, SinkError> {
        let poster = Poster::new(&sink.name, &plan.url, "/api/v2/alerts", plan.timeout)?;
        Ok(Alertmanager { poster, deployment: sink.deployment.clone() })
    }

    /// One attempt, at most the timeout long.
    pub async fn send(&self, outgoing: &Outgoing) -> Answer {
        self.push([&outgoing.body[..]]).await
    }

    /// One request with the alerts of all `bodies`.
    pub async fn push<'a>(&self, bodies: impl IntoIterator<Item = &'a [u8]>) -> Answer {
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        let mut alerts: Vec<Value> = Vec::new();
        for body in bodies {
            match episodes(body, &self.deployment) {
                Ok(told) => {
                    alerts.extend(told.iter().map(|one| one.pushed(now_ns, LASTING.as_nanos() as i64)));
                }
                Err(error) => return Answer::unsent(&error.to_string()),
            }
        }
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        self.poster.post(headers, Value::from(alerts).to_string().into()).await
    }

    pub(super) fn target(&self) -> String {
        self.poster.target()
    }
}
