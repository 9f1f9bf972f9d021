//! Fetches what the shards have of a stream: the question goes the way of the messages, each shard answers with its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::reservoir::Windows;
use crate::judge::risk::Tally;
use crate::pipeline::logging::Logged;
use crate::types::StreamId;

/// Where a shard hands its windows.
pub type Answer = mpsc::Sender<Windows>;

/// Which second keys are asked for (`None`: those with frauds), and where a shard hands its counts.
#[derive(Clone)]
pub struct TallyOf {
    pub seconds: Option<Arc<BTreeSet<u32>>>,
    pub answer: mpsc::Sender<Tally>,
}

/// Holds nothing open: the decode station still ends when the log has hung up.
pub struct Gatherer {
    decode: mpsc::WeakSender<Logged>,
    shards: usize,
}

impl Gatherer {
    pub(super) fn new(decode: &mpsc::Sender<Logged>, shards: usize) -> Self {
        Gatherer { decode: decode.downgrade(), shards }
    }

    /// The windows kept for a refit, of every shard; `None` if one is gone.
    pub async fn gather(&self, stream: StreamId) -> Option<Windows> {
        let mut all = Windows::default();
        self.ask(|answer| Logged::Gather { stream, answer }, |windows| all.append(&windows)).await?;
        Some(all)
    }

    /// Counts of second keys, over every shard; `None` if one is gone.
    pub async fn tally(&self, stream: StreamId, seconds: Option<Arc<BTreeSet<u32>>>) -> Option<Tally> {
        let mut all = Tally::default();
        let question = |answer| Logged::Tally { stream, of: TallyOf { seconds, answer } };
        self.ask(question, |tally| all.add(&tally)).await?;
        Some(all)
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(mpsc::Sender<T>) -> Logged,
        mut take: impl FnMut(T),
    ) -> Option<()> {
        let (answer, mut answers) = mpsc::channel(self.shards);
        let decode = self.decode.upgrade()?;
        decode.send(question(answer)).await.ok()?;
        drop(decode);
        for _ in 0..self.shards {
            take(answers.recv().await?);
        }
        Some(())
    }
}
