//! A beat goes the way of the messages, through decode and every shard, and counts once each shard has
//! answered: whoever is stuck on the way, in a loop or behind a full hand-off, holds it up.

use tokio::sync::mpsc;

use crate::pipeline::logging::Logged;

/// Where a shard says that it has come by.
pub type Answer = mpsc::Sender<()>;

/// Sends beats. Holds nothing open: the decode station still ends when the log has hung up.
#[derive(Clone)]
pub struct Beater {
    decode: mpsc::WeakSender<Logged>,
    shards: usize,
}

impl Beater {
    pub(super) fn new(decode: &mpsc::Sender<Logged>, shards: usize) -> Self {
        Beater { decode: decode.downgrade(), shards }
    }

    /// Resolves once every shard has answered: late while one has much to do, never if one is stuck.
    /// `false` if decode or a shard is gone.
    pub async fn beat(&self) -> bool {
        let (answer, mut answers) = mpsc::channel(self.shards);
        let Some(decode) = self.decode.upgrade() else { return false };
        if decode.send(Logged::Beat(answer)).await.is_err() {
            return false;
        }
        drop(decode);
        for _ in 0..self.shards {
            if answers.recv().await.is_none() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Answers as so many shards would.
    async fn beaten(shards: usize, answers: usize, within: Duration) -> Option<bool> {
        let (to, mut decode) = mpsc::channel(1);
        let beater = Beater::new(&to, shards);
        tokio::spawn(async move {
            let Some(Logged::Beat(answer)) = decode.recv().await else { panic!("a beat") };
            for _ in 0..answers {
                answer.send(()).await.expect("the beat waits");
            }
            // The shard that does not answer still has the beat in its hand-off.
            std::future::pending::<()>().await;
            drop((answer, decode));
        });
        tokio::time::timeout(within, beater.beat()).await.ok()
    }

    #[tokio::test]
    async fn a_beat_counts_once_every_shard_has_answered() {
        assert_eq!(beaten(3, 3, Duration::from_secs(60)).await, Some(true));
        assert_eq!(beaten(3, 2, Duration::from_millis(200)).await, None, "a shard that never answers");
    }

    #[tokio::test]
    async fn there_is_no_beat_behind_a_full_hand_off_or_a_closed_one() {
        let (to, decode) = mpsc::channel(1);
        let beater = Beater::new(&to, 1);
        assert!(to.try_send(Logged::Beat(mpsc::channel(1).0)).is_ok(), "room for one");
        let full = tokio::time::timeout(Duration::from_millis(200), beater.beat()).await;
        assert!(full.is_err(), "decode takes nothing any more");
        drop(decode);
        assert!(!beater.beat().await);
    }
}
