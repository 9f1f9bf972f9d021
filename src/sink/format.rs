//! One message in the format its receiver reads. What is stored is the body of Standard Webhooks, from which each
//! other one is made, the same on every attempt.

mod alertmanager;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use sonic_rs::LazyValue;

pub use alertmanager::episodes;

use super::Outgoing;
use crate::config::plan::BodyFormat;

/// How one sink wants its messages.
pub struct Dress {
    pub format: BodyFormat,
    pub receiver: String,
    pub deployment: String,
}

/// A message as it is sent.
pub struct Dressed {
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// A stored body; `data` is left as it stands.
#[derive(Deserialize)]
struct Stored<'a> {
    r#type: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    data: LazyValue<'a>,
}

/// A stored body that is none of Eddy's.
#[derive(Debug, thiserror::Error)]
#[error("its stored body cannot be read: {0}; see /api/v1/alerts for what it tells")]
pub struct Unreadable(#[from] sonic_rs::Error);

impl Dress {
    pub fn dress(&self, outgoing: &Outgoing) -> Result<Dressed, Unreadable> {
        let plain = |content_type, body| Dressed { content_type, headers: Vec::new(), body };
        match self.format {
            BodyFormat::Standard => Ok(plain("application/json", outgoing.body.clone())),
            BodyFormat::CloudEvents => {
                Ok(plain("application/cloudevents+json; charset=utf-8", self.structured(outgoing)?))
            }
            BodyFormat::CloudEventsBinary => self.binary(outgoing),
            BodyFormat::Alertmanager => {
                let body = alertmanager::webhook(&outgoing.body, &self.receiver, &self.deployment)?;
                Ok(plain("application/json", body.to_string().into()))
            }
        }
    }

    /// CloudEvents' JSON format, version 1.0.2, section 3: `data` is the decision and its receipt.
    fn structured(&self, outgoing: &Outgoing) -> Result<Bytes, Unreadable> {
        let stored: Stored<'_> = sonic_rs::from_slice(&outgoing.body)?;
        let envelope = json!({
            "specversion": "1.0",
            "id": outgoing.message_id,
            "source": self.source(),
            "type": event_type(&stored),
            "subject": subject(&stored)?,
            "time": stored.timestamp,
            "datacontenttype": "application/json",
        });
        // Appended as it stands, so that no number of it is written anew.
        let mut body = envelope.to_string();
        body.pop();
        Ok(format!("{body},\"data\":{}}}", stored.data.as_raw_str()).into())
    }

    /// CloudEvents' HTTP binding, version 1.0.2, section 3.1.
    fn binary(&self, outgoing: &Outgoing) -> Result<Dressed, Unreadable> {
        let stored: Stored<'_> = sonic_rs::from_slice(&outgoing.body)?;
        let headers = vec![
            ("ce-specversion", "1.0".to_owned()),
            ("ce-id", encode(&outgoing.message_id)),
            ("ce-source", encode(&self.source())),
            ("ce-type", encode(&event_type(&stored))),
            ("ce-subject", encode(&subject(&stored)?)),
            ("ce-time", encode(stored.timestamp)),
        ];
        let body = Bytes::copy_from_slice(stored.data.as_raw_str().as_bytes());
        Ok(Dressed { content_type: "application/json", headers, body })
    }

    fn source(&self) -> String {
        format!("/eddy/{}", self.deployment)
    }
}

/// What a stored body tells of, such as `anomaly.raised`.
pub fn type_of(body: &[u8]) -> Result<&str, Unreadable> {
    let stored: Stored<'_> = sonic_rs::from_slice(body)?;
    Ok(stored.r#type)
}

fn event_type(stored: &Stored<'_>) -> String {
    format!("eddy.{}", stored.r#type)
}

/// Stream and key of an alert, the id of an incident.
fn subject(stored: &Stored<'_>) -> Result<String, Unreadable> {
    let data: Value = sonic_rs::from_str(stored.data.as_raw_str())?;
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    Ok(match data["key"].as_str() {
        Some(key) => format!("{}/{key}", text("stream")),
        None => text("id").to_owned(),
    })
}

/// Section 3.1.3.2 of the binding: everything but printable ASCII, and of that space, quote and percent sign.
fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%');
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests;
