//! The hand-offs between stations with I/O, and the runner that times them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::latency::{Clock, Latency, Stage, StageRecorder};
use crate::types::{Message, Reason};

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
    pub logged: oneshot::Sender<Result<(), NotSafe>>,
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
        let (logged, receiver) = oneshot::channel();
        self.sender.send(Submission { messages, logged }).await.map_err(|_| NotSafe)?;
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

/// Times one station, batch by batch, and counts what went through.
pub struct Station {
    clock: Clock,
    recorder: StageRecorder,
    items: Arc<AtomicU64>,
}

impl Station {
    pub fn new(stage: Stage, latency: &Latency, clock: Clock, items: Arc<AtomicU64>) -> Self {
        Station { clock, recorder: latency.recorder(stage), items }
    }

    /// Runs `work` on a batch of `items`, recording its duration once for each item.
    pub fn run<T>(&mut self, items: u64, work: impl FnOnce() -> T) -> T {
        let start = self.clock.now_ns();
        let done = work();
        self.recorder.record(self.clock.now_ns() - start, items);
        self.items.fetch_add(items, Ordering::Relaxed);
        done
    }
}
