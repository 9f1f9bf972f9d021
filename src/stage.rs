//! The hand-offs between sources and the log.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::latency::Clock;
use crate::types::{Acknowledgement, Activation, Feedback, Idle, Message, Reason, Silence, SilenceDraft};

/// The log could not make a submission safe. It holds nothing of it: do not acknowledge, send it again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log cannot be written; nothing was acknowledged, send again later (free disk space, see `eddy_log_safe`)"
)]
pub struct NotSafe;

/// Messages of one source in receive order, and where to say that they are durable.
#[derive(Debug)]
pub struct Submission {
    pub messages: Vec<Message>,
    /// What holds after these messages.
    pub notice: Option<Notice>,
    pub logged: oneshot::Sender<Result<(), NotSafe>>,
}

/// What is to be written down beside messages, because it changes decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A source has come to its end (a file that was read through): what its streams hold back becomes final.
    EndOfInput { source: Arc<str> },
    /// Partitions of a stream have had no row for long.
    Idle { stream: Arc<str>, idle: Idle },
    /// A stream with an alert budget has so many keys.
    Keys { stream: Arc<str>, keys: u64 },
    /// Risks of second keys of a stream of transactions have changed.
    Risks { stream: Arc<str>, risks: Vec<(u32, u16)> },
    /// A stream is to be scored by another model; its bytes are kept already.
    Model { stream: Arc<str>, activation: Activation },
    /// Somebody said what an alert was.
    Feedback { stream: Arc<str>, feedback: Feedback },
    /// Alerts are not to be sent for a while.
    Silenced { silence: Silence },
    /// They are again, earlier than was said; wall time.
    SilenceEnded { id: String, at_ns: i64 },
    /// Somebody has seen an alert.
    Acknowledged { acknowledgement: Acknowledgement },
}

/// What a person asks of a running appliance about a stream's models.
#[derive(Debug)]
pub struct Ask {
    pub stream: String,
    pub wish: Wish,
    /// The stream's history with the wish fulfilled, or why it is not, with the remedy.
    pub answer: oneshot::Sender<Result<Vec<Activation>, String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Say which there have been.
    List,
    /// Score by the model before the one that is active.
    RollBack,
}

/// What a person orders of a running appliance about alerts that were raised, and their deliveries.
#[derive(Debug)]
pub struct Order {
    pub what: What,
    pub answer: oneshot::Sender<Result<Done, Refused>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Silence(SilenceDraft),
    EndSilence {
        id: String,
    },
    Acknowledge {
        id: String,
        author: String,
        comment: String,
    },
    /// What an alert of a stream was; its number is not known yet.
    Feedback {
        stream: String,
        feedback: Feedback,
    },
    /// Deliveries that were given up are tried again.
    Replay(Given),
    /// What waits for a receiver is tried without waiting for its time.
    Retry {
        receiver: String,
    },
}

/// Which deliveries that were given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    One {
        id: String,
        revision: u32,
        receiver: String,
    },
    /// All of one receiver, or of all.
    All {
        receiver: Option<String>,
    },
}

/// What an order came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Silenced(Silence),
    Acknowledged(Acknowledgement),
    /// From the key's next epoch on it changes what is told of it; or why it changes nothing, with the remedy.
    Heard(Result<(), String>),
    /// So many alerts wait for the receiver, which is being asked; 0: there is nothing to ask it for.
    Asked {
        waiting: u64,
    },
    /// So many deliveries wait again, and so many need not be told any more: later ones have been delivered.
    Replayed {
        deliveries: u64,
        superseded: u64,
    },
}

/// Why an order is not followed, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such silence, alert, delivery or sink.
    Unknown(String),
    /// It makes no sense.
    Wrong(String),
    /// Not here, or not now.
    Impossible(String),
    /// It may have been done, wholly or in part.
    Unsure(String),
}

/// A source's end of the hand-off to the log. Bounded: a full log makes sources wait.
#[derive(Clone)]
pub struct Intake {
    pub sender: mpsc::Sender<Submission>,
    pub clock: Clock,
}

impl Intake {
    /// Hands messages to the log, waiting while it is full. The receiver resolves once they are
    /// durable (`Ok`) or refused (`Err`); acknowledge only on `Ok(Ok(()))`.
    pub async fn submit(
        &self,
        messages: Vec<Message>,
    ) -> Result<oneshot::Receiver<Result<(), NotSafe>>, NotSafe> {
        self.send(messages, None).await
    }

    /// Hands on what is no message; the receiver resolves as for messages.
    pub async fn notice(&self, notice: Notice) -> Result<oneshot::Receiver<Result<(), NotSafe>>, NotSafe> {
        self.send(Vec::new(), Some(notice)).await
    }

    async fn send(
        &self,
        messages: Vec<Message>,
        notice: Option<Notice>,
    ) -> Result<oneshot::Receiver<Result<(), NotSafe>>, NotSafe> {
        let (logged, receiver) = oneshot::channel();
        self.sender.send(Submission { messages, notice, logged }).await.map_err(|_| NotSafe)?;
        Ok(receiver)
    }
}

/// A row that would not become an event, told to an HTTP client before anything is logged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RejectedRow {
    pub row: u32,
    pub reason: Reason,
    pub detail: String,
}

/// What decoding a message would give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowReport {
    pub accepted: u32,
    pub rejected: Vec<RejectedRow>,
}

/// Decodes without effect: lets the HTTP source answer row by row. Given by the pipeline, since
/// stations do not import each other.
pub type Validate = Arc<dyn Fn(&Message) -> RowReport + Send + Sync>;
