//! Sinks: where alerts go. One file a kind, one row of [`TABLE`] each; [`deliver`] is the worker
//! that takes deliveries out of the outbox and hands them to a [`Receiver`].
//!
//! To add a kind: its file, its row, its variant of `SinkKind` and of [`Receiver`].

pub mod alertmanager;
pub mod deliver;
pub mod file;
mod format;
mod handshake;
mod http;
pub mod kafka;
pub mod mqtt;
mod patience;
pub mod schedule;
pub mod signature;
pub mod stdout;
mod step;
pub mod webhook;

use std::time::Duration;

use bytes::Bytes;

use crate::config::plan::{SinkKind, SinkPlan};
use crate::status::SinkStatus;

/// A row of the table.
pub struct SinkType {
    /// `type = "…"` in the config.
    pub name: &'static str,
    pub summary: &'static str,
    /// A `[sink.NAME]` section that works as it stands.
    pub example: &'static str,
}

/// Every kind of sink, in order of name.
pub const TABLE: [SinkType; 6] =
    [alertmanager::TYPE, file::TYPE, kafka::TYPE, mqtt::TYPE, stdout::TYPE, webhook::TYPE];

/// A sink that cannot be set up. Holds no url and no secret.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    #[error("sink {sink}: its url cannot be used: {reason}; write it as https://host/path")]
    Url { sink: String, reason: String },
    #[error(
        "sink {sink}: no HTTPS client: {reason}; install the system's CA certificates (Debian: ca-certificates)"
    )]
    Client { sink: String, reason: String },
    #[error("sink {sink}: {reason}")]
    Kafka { sink: String, reason: String },
    #[error("sink {sink}: no thread for writing: {source}; raise the process limit")]
    Thread { sink: String, source: std::io::Error },
}

/// One message on its way to a receiver. The same id and bytes on every attempt.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Of the alert, or of the incident.
    pub id: String,
    pub message_id: String,
    pub body: Bytes,
    /// W3C's `traceparent` of this attempt.
    pub traceparent: String,
}

/// What a receiver made of an attempt. Reasons name no url and no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted {
        status: Option<u16>,
    },
    Failed {
        status: Option<u16>,
        reason: String,
        /// The receiver as a whole is overloaded: go easy on it.
        busy: bool,
        /// Earliest next attempt, from now.
        retry_after: Option<Duration>,
    },
    /// It wants nothing more, ever.
    Gone {
        status: u16,
    },
    /// There is nobody at the other end, and nobody can come there before the next start.
    Closed {
        reason: String,
    },
}

impl Answer {
    /// An attempt that did not come to an answer.
    fn unsent(reason: &str) -> Self {
        Answer::Failed { status: None, reason: reason.to_owned(), busy: false, retry_after: None }
    }
}

/// A connected sink.
pub enum Receiver {
    Webhook(webhook::Webhook),
    Alertmanager(alertmanager::Alertmanager),
    File(file::FileSink),
    Kafka(kafka::KafkaSink),
    Mqtt(mqtt::MqttSink),
    Stdout(stdout::Stdout),
}

impl Receiver {
    /// Sets the sink up; `shown` is its own. Nothing is sent; a receiver that is down is no error.
    pub fn connect(plan: &SinkPlan, shown: &SinkStatus) -> Result<Self, SinkError> {
        match &plan.kind {
            SinkKind::Webhook(webhook) => Ok(Receiver::Webhook(webhook::Webhook::new(plan, webhook)?)),
            SinkKind::Alertmanager(alertmanager) => {
                Ok(Receiver::Alertmanager(alertmanager::Alertmanager::new(plan, alertmanager)?))
            }
            SinkKind::File { path } => Ok(Receiver::File(file::FileSink::start(&plan.name, path)?)),
            SinkKind::Kafka(kafka) => Ok(Receiver::Kafka(kafka::KafkaSink::start(plan, kafka)?)),
            SinkKind::Mqtt(mqtt) => {
                Ok(Receiver::Mqtt(mqtt::MqttSink::start(&plan.name, mqtt, shown.rival.clone())))
            }
            SinkKind::Stdout => Ok(Receiver::Stdout(stdout::Stdout::start(&plan.name, std::io::stdout())?)),
        }
    }

    /// One attempt; `shown` is the sink's own.
    async fn send(&self, outgoing: &Outgoing, shown: &SinkStatus) -> Answer {
        match self {
            Receiver::Webhook(webhook) => webhook.send(outgoing, shown).await,
            Receiver::Alertmanager(alertmanager) => alertmanager.send(outgoing).await,
            Receiver::File(file) => file.send(outgoing).await,
            Receiver::Kafka(kafka) => kafka.send(outgoing).await,
            Receiver::Mqtt(mqtt) => mqtt.send(outgoing).await,
            // The others have a timeout of their own, or a disk.
            Receiver::Stdout(stdout) => patience::answer(shown, stdout.send(outgoing)).await,
        }
    }

    /// Attempts that may be under way at once.
    fn width(&self) -> usize {
        match self {
            // Enough to hide a receiver's round trips in a storm, few enough not to be one.
            Receiver::Webhook(webhook) if !webhook.may_send() => 1,
            Receiver::Webhook(_) | Receiver::Alertmanager(_) => 8,
            // They share one sync.
            Receiver::File(_) => file::WIDTH,
            Receiver::Kafka(_) => kafka::WIDTH,
            Receiver::Mqtt(_) => mqtt::WIDTH,
            // Lines come out one after the other, in the order of the outbox.
            Receiver::Stdout(_) => 1,
        }
    }

    /// From the beginning of one attempt to that of the next, at least.
    fn spacing(&self) -> Duration {
        match self {
            Receiver::Webhook(webhook) => webhook.spacing(),
            Receiver::Alertmanager(_)
            | Receiver::File(_)
            | Receiver::Kafka(_)
            | Receiver::Mqtt(_)
            | Receiver::Stdout(_) => Duration::ZERO,
        }
    }

    /// A digest of where it sends to: changes when the sink is pointed elsewhere. It matters where
    /// [`Answer::Gone`] can come; the last ones never say so.
    fn target(&self) -> String {
        match self {
            Receiver::Webhook(webhook) => webhook.target(),
            Receiver::Alertmanager(alertmanager) => alertmanager.target(),
            Receiver::File(file) => file.target(),
            Receiver::Kafka(_) => "kafka".to_owned(),
            Receiver::Mqtt(_) => "mqtt".to_owned(),
            Receiver::Stdout(_) => "stdout".to_owned(),
        }
    }

    /// Ends a connection that is kept open; nothing is sent any more.
    async fn close(&self) {
        match self {
            Receiver::Kafka(kafka) => kafka.close().await,
            Receiver::Mqtt(mqtt) => mqtt.close().await,
            Receiver::Webhook(_) | Receiver::Alertmanager(_) | Receiver::File(_) | Receiver::Stdout(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_own_name_and_an_example_of_its_type() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name), "in order of name, none twice");
        for row in &TABLE {
            assert!(!row.summary.is_empty());
            let example: toml_edit::DocumentMut = row.example.parse().expect(row.name);
            let sinks = example["sink"].as_table().expect(row.name);
            assert_eq!(sinks.len(), 1);
            for (_, sink) in sinks {
                assert_eq!(sink["type"].as_str(), Some(row.name));
            }
        }
    }
}
