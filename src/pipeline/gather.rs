//! Fetches the windows kept for a refit: the question goes the way of the messages, each shard answers with its own.

use tokio::sync::mpsc;

use crate::engine::reservoir::Windows;
use crate::pipeline::logging::Logged;
use crate::types::StreamId;

/// Where a shard hands its windows.
pub type Answer = mpsc::Sender<Windows>;

/// Holds nothing open: the decode station still ends when the log has hung up.
pub struct Gatherer {
    decode: mpsc::WeakSender<Logged>,
    shards: usize,
}

impl Gatherer {
    pub(super) fn new(decode: &mpsc::Sender<Logged>, shards: usize) -> Self {
        Gatherer { decode: decode.downgrade(), shards }
    }

    /// Of every shard; `None` if one is gone.
    pub async fn gather(&self, stream: StreamId) -> Option<Windows> {
        let (answer, mut answers) = mpsc::channel(self.shards);
        let decode = self.decode.upgrade()?;
        decode.send(Logged::Gather { stream, answer }).await.ok()?;
        drop(decode);
        let mut all = Windows::default();
        for _ in 0..self.shards {
            all.append(&answers.recv().await?);
        }
        Some(all)
    }
}
