//! Where alerts go.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{BrokerPlan, ClusterPlan, REDACTED, Version};
use crate::types::silence::Label;

#[derive(Clone, Debug)]
pub struct SinkPlan {
    pub name: String,
    /// Whose alerts they are: receivers of CloudEvents and Alertmanager are told.
    pub deployment: String,
    pub kind: SinkKind,
    /// `None`: each alert by itself, at once.
    pub group: Option<GroupPlan>,
}

/// Alerts that have the values of these labels in common are told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPlan {
    /// None: all of them.
    pub by: Vec<Label>,
    /// From the first alert of an incident to its first message.
    pub wait: Duration,
    /// From one message of an incident to the next.
    pub interval: Duration,
}

#[derive(Clone, Debug)]
pub enum SinkKind {
    Webhook(WebhookPlan),
    Alertmanager(AlertmanagerPlan),
    File { path: PathBuf },
    Kafka(KafkaSinkPlan),
    Mqtt(MqttSinkPlan),
    Stdout,
}

impl SinkKind {
    /// What stands after `type = `.
    pub fn as_str(&self) -> &'static str {
        match self {
            SinkKind::Webhook(_) => "webhook",
            SinkKind::Alertmanager(_) => "alertmanager",
            SinkKind::File { .. } => "file",
            SinkKind::Kafka(_) => "kafka",
            SinkKind::Mqtt(_) => "mqtt",
            SinkKind::Stdout => "stdout",
        }
    }
}

#[derive(Clone)]
pub struct WebhookPlan {
    pub url: String,
    pub format: BodyFormat,
    /// Each signs every message, so that one can be replaced.
    pub secret: Vec<SigningKey>,
    pub timeout: Duration,
}

/// How a message is written for its receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `{"type", "timestamp", "data"}` of Standard Webhooks.
    Standard,
    /// CloudEvents 1.0, structured mode.
    CloudEvents,
    /// CloudEvents 1.0, binary mode.
    CloudEventsBinary,
    /// What Alertmanager sends its webhooks, version 4.
    Alertmanager,
}

/// A key of Standard Webhooks.
#[derive(Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// `whsec_`: HMAC-SHA256, 24 to 64 bytes.
    Symmetric(Vec<u8>),
    /// `whsk_`: the seed of an ed25519 key.
    Private([u8; 32]),
}

#[derive(Clone)]
pub struct AlertmanagerPlan {
    /// Below which `/api/v2/alerts` lies.
    pub url: String,
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct KafkaSinkPlan {
    pub cluster: ClusterPlan,
    pub topic: String,
    /// Until a message counts as not taken.
    pub timeout: Duration,
}

/// Messages are published with QoS 1.
#[derive(Clone, Debug)]
pub struct MqttSinkPlan {
    pub broker: BrokerPlan,
    pub version: Version,
    /// Without wildcards.
    pub topic: String,
    /// The broker keeps the last message for who subscribes later.
    pub retain: bool,
    pub timeout: Duration,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// The path of a webhook's URL often holds a token, so only its host is shown.
impl fmt::Debug for WebhookPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WebhookPlan { url: _, format, secret, timeout } = self;
        f.debug_struct("WebhookPlan")
            .field("host", &self.host())
            .field("format", format)
            .field("secret", &format_args!("{} × {REDACTED}", secret.len()))
            .field("timeout", timeout)
            .finish()
    }
}

impl fmt::Debug for AlertmanagerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AlertmanagerPlan { url, timeout } = self;
        f.debug_struct("AlertmanagerPlan").field("host", &host(url)).field("timeout", timeout).finish()
    }
}

impl WebhookPlan {
    /// The part of the URL that may be shown: host, and port if it is given.
    pub fn host(&self) -> String {
        host(&self.url)
    }
}

impl AlertmanagerPlan {
    /// As [`WebhookPlan::host`].
    pub fn host(&self) -> String {
        host(&self.url)
    }
}

fn host(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return REDACTED.to_string() };
    let host = url.host_str().unwrap_or_default();
    url.port().map_or(host.to_string(), |port| format!("{host}:{port}"))
}
