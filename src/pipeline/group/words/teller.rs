//! Saying something to the whole group.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::word::{Needed, Word};
use super::{Ledger, PARTITION};
use crate::kafka::writing::{Entry, Writer};
use crate::latency::Clock;
use crate::stage::Refused;
use crate::status::Status;

/// Whoever asks is told by then that it is not known.
const READ_MAX: Duration = Duration::from_secs(10);
/// From one look for words that nobody needs to the next.
const EVERY: Duration = Duration::from_secs(3600);
/// So much longer than it is needed a word stays: clocks differ, and one may be said anew just as it goes.
const MARGIN_NS: i64 = 86_400_000_000_000;

/// Cheap to clone.
#[derive(Clone)]
pub struct Teller {
    pub(super) writer: Arc<Writer>,
    pub(super) status: Arc<Status>,
    pub(super) ledger: Ledger,
    pub(super) clock: Clock,
    pub(super) retain_ns: i64,
    pub(super) next: watch::Receiver<i64>,
    pub(super) known: watch::Receiver<bool>,
}

impl Teller {
    /// Returns once the brokers have the word and it holds here; elsewhere it does in a moment.
    ///
    /// # Errors
    /// Why it does not hold, or why that is not known, with the remedy.
    pub async fn tell(&self, word: Word) -> Result<(), Refused> {
        let key = word.key();
        let until_ns = self.ledger.until(&key, word.ends_ns().saturating_add(self.retain_ns));
        let value = Needed { word, until_ns }.value();
        self.write(&key, Some(&value)).await
    }

    async fn write(&self, key: &str, value: Option<&[u8]>) -> Result<(), Refused> {
        self.is_heard().await?;
        let entry = Entry { partition: Some(PARTITION), key, value, headers: None };
        let offset = self.writer.write(entry).await.map_err(|untaken| {
            let reason = untaken.reason;
            match untaken.is_refused {
                true => Refused::Impossible(format!("{reason}: then say it again")),
                false => Refused::Unsure(format!(
                    "{reason}: it may have been said all the same, so look whether it was before you say it again"
                )),
            }
        })?;
        let mut next = self.next.clone();
        let unread = || {
            let reason =
                "the group has it, and this member has not read it yet: it will hold here once it has";
            Refused::Unsure(reason.to_owned())
        };
        within(READ_MAX, next.wait_for(|next| *next > offset)).await.ok_or_else(unread)
    }

    /// Nothing is written while it is known that nobody would hear it.
    async fn is_heard(&self) -> Result<(), Refused> {
        if let Some(reason) = self.status.sources[0].kafka.words_error() {
            return Err(Refused::Impossible(format!("{reason}: then say it again")));
        }
        let mut known = self.known.clone();
        let unread = || {
            let reason = "what the group has said before is not read yet: say it again in a moment";
            Refused::Impossible(reason.to_owned())
        };
        within(READ_MAX, known.wait_for(|known| *known)).await.ok_or_else(unread)
    }

    /// Has words go that nobody needs any more, once an hour. Every member does; whoever comes first leaves nothing to the others.
    pub(super) async fn prune(self, stop: CancellationToken) {
        loop {
            // Asked for one by one: while one goes, another may be said anew.
            while let Some(key) = self.ledger.needless(self.clock.now_ns().saturating_sub(MARGIN_NS)) {
                if let Err(why) = self.write(&key, None).await {
                    tracing::debug!(key, ?why, "a word that nobody needs stays");
                    break;
                }
                tracing::info!(key, "forgotten: it has long been over");
            }
            let known = *self.known.borrow();
            tokio::select! {
                () = tokio::time::sleep(if known { EVERY } else { READ_MAX }) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// `None`: not in time, or never.
async fn within<T, E>(longest: Duration, what: impl Future<Output = Result<T, E>>) -> Option<()> {
    timeout(longest, what).await.ok()?.ok().map(drop)
}

#[cfg(test)]
mod tests;
