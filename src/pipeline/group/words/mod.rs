//! What people say of alerts to one Eddy of several holds for all: silences and acknowledgements.
//!
//! ```text
//! desk ─► teller ─► state topic, partition 0 ─► tail of each member ─► what is shown and sent
//!            ▲                                        │
//!            └────────── read your writes ◄───────────┘
//! ```
//! *The topic is the book.* A word has a key of its own and the last one under it holds, on every member: of two that were said
//! at once, the one behind. Whoever was asked answers once its own tail has read the word.
//!
//! *A word waits for nobody's transaction.* It is written outside of any, and the tail reads what is not committed, too: of
//! snapshots, which that may be, it passes over all.
//!
//! *A member that starts* sends nothing until it has read to the end. What is read while a member runs holds on when Kafka is away.

mod tail;
mod teller;
mod word;

use std::collections::{BTreeMap, btree_map::Entry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::outbox::OutboxHandle;
use crate::config::plan::{KafkaPlan, SharedPlan};
use crate::kafka::writing::{Target, Writer};
use crate::pipeline::common::Common;
use crate::pipeline::grounds::retain_alerts;
use crate::pipeline::running::Threads;
use tail::{Applying, Tail};
pub use teller::Teller;
pub use word::Word;

/// Of the state topic: every topic has it.
const PARTITION: i32 = 0;
/// Of one word on its way to the brokers.
const TELL_MAX: Duration = Duration::from_secs(10);

/// Until when each word may be needed, by its key in the state topic.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<BTreeMap<String, i64>>>);

impl Ledger {
    fn words(&self) -> MutexGuard<'_, BTreeMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, key: &str, until_ns: i64) {
        self.words().insert(key.to_owned(), until_ns);
    }

    fn forget(&self, key: &str) {
        self.words().remove(key);
    }

    /// What is said anew is needed no shorter than before.
    fn until(&self, key: &str, until_ns: i64) -> i64 {
        match self.words().entry(key.to_owned()) {
            Entry::Occupied(known) => until_ns.max(*known.get()),
            Entry::Vacant(_) => until_ns,
        }
    }

    /// One that nobody needed at `at_ns` any more.
    fn needless(&self, at_ns: i64) -> Option<String> {
        self.words().iter().find(|(_, until)| **until <= at_ns).map(|(key, _)| key.clone())
    }
}

/// Of the group's words, before anything of them is read.
pub struct Words {
    next: watch::Sender<i64>,
    known: watch::Sender<bool>,
    ledger: Ledger,
}

impl Words {
    pub fn new() -> Self {
        Words { next: watch::Sender::new(0), known: watch::Sender::new(false), ledger: Ledger::default() }
    }

    /// Becomes true once it is known what is silenced.
    pub fn known(&self) -> watch::Receiver<bool> {
        self.known.subscribe()
    }

    /// Begins to read; gives what says something.
    ///
    /// # Errors
    /// If there is no thread to be had.
    pub fn start(
        self,
        common: &Common,
        (kafka, shared, member): (&KafkaPlan, &SharedPlan, &str),
        outbox: &OutboxHandle,
        (stop, stop_workers): (&CancellationToken, &CancellationToken),
        (threads, workers): (&mut Threads, &mut JoinSet<()>),
    ) -> Result<Teller> {
        let Words { next, known, ledger } = self;
        let to = Target {
            cluster: kafka.cluster.clone(),
            topic: shared.state.clone(),
            timeout: TELL_MAX,
            client_id: member.to_owned(),
            of: "source",
            names_topic: "shared.state",
        };
        let teller = Teller {
            writer: Arc::new(Writer::new(to)),
            status: common.status.clone(),
            ledger: ledger.clone(),
            clock: common.clock,
            retain_ns: i64::try_from(retain_alerts(&common.plan).as_nanos()).unwrap_or(i64::MAX),
            next: next.subscribe(),
            known: known.subscribe(),
        };
        workers.spawn(teller.clone().prune(stop_workers.clone()));
        let applying = Applying {
            status: common.status.clone(),
            outbox: outbox.clone(),
            ledger,
            unreleased: BTreeMap::new(),
            tried: Instant::now(),
        };
        let (kafka, shared, member) = (kafka.clone(), shared.clone(), member.to_owned());
        let tail = Tail { kafka, shared, member, applying, stop: stop.clone(), next, known };
        threads.spawn("eddy-words", move || tail.run())?;
        Ok(teller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_needed_as_long_as_was_said_first_and_goes_after_that() {
        let ledger = Ledger::default();
        assert_eq!(ledger.until("silence/a", 50), 50);
        ledger.keep("silence/a", 50);
        assert_eq!(ledger.until("silence/a", 20), 50, "ended early: who was off still has it");
        ledger.keep("silence/b", 10);
        assert_eq!(ledger.needless(9), None);
        assert_eq!(ledger.needless(10).as_deref(), Some("silence/b"));
        ledger.keep("silence/b", 90);
        assert_eq!(ledger.needless(50).as_deref(), Some("silence/a"), "the other was said anew");
        ledger.forget("silence/a");
        assert_eq!(ledger.needless(50), None);
    }
}
