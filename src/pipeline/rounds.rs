//! Whose turn it is to be saved: one partition after the other, spread over an interval, each only if it
//! has changed; at the end of a round the ledger. One save is under way at a time, so there is never more
//! than one copy of a state in memory; while it is not on the disk yet, the next one waits its turn.

mod turn;

use std::sync::Arc;
use std::time::Duration;

pub use turn::Turn;
use turn::{Ended, Shared};

use crate::types::{PARTITIONS, Position, StreamId};

/// After so many rounds unchanged partitions are saved again: the log behind both their snapshots can go.
const REFRESH_ROUNDS: u64 = 60;

/// What is to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// `stream * PARTITIONS + partition`
    Partition(usize),
    Ledger {
        /// Every partition that was due in its round is on the disk.
        whole: bool,
    },
}

/// What the ledger says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Saved, or being saved, before the ledger's position, or never; may have changed since. The log has no
    /// row of it before `first`.
    Changed { first: Position },
    /// No row of it is in the log before the ledger's position.
    Empty,
    /// Unchanged since it was saved at this position.
    SavedAt(Position),
}

/// Where a partition goes on after a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// It was restored from a snapshot of this position.
    pub restored: Option<Position>,
    /// Where its stream was reset, 0 if it never was.
    pub beginning: Position,
}

struct Partition {
    begun: Begun,
    /// Position of the first row that was seen; 0 of one that was restored.
    first: Option<Position>,
    changed: bool,
    saved: Option<Position>,
    /// Until there are two snapshots, it is saved though it has not changed.
    saves: u8,
}

/// A save that may yet fail, and what it then goes back to.
enum UnderWay {
    Partition { index: usize, saved: Option<Position>, saves: u8 },
    Ledger { before: Option<Position> },
}

pub struct Rounds {
    shared: Arc<Shared>,
    every_ns: i64,
    began_ns: i64,
    round: u64,
    next: usize,
    partitions: Vec<Partition>,
    ledger_at: Option<Position>,
    under_way: Option<UnderWay>,
    /// No save of this round has failed.
    whole: bool,
}

impl Partition {
    fn new(begun: &Begun) -> Self {
        let restored = begun.restored;
        let saves = u8::from(restored.is_some());
        Partition {
            begun: *begun,
            first: restored.and(Some(Position(0))),
            changed: false,
            saved: restored,
            saves,
        }
    }
}

impl Rounds {
    pub fn new(every: Duration, now_ns: i64, begun: &[Begun]) -> Self {
        Rounds {
            shared: Shared::new(),
            every_ns: i64::try_from(every.as_nanos()).unwrap_or(i64::MAX),
            began_ns: now_ns,
            round: 0,
            next: 0,
            partitions: begun.iter().map(Partition::new).collect(),
            ledger_at: None,
            under_way: None,
            whole: true,
        }
    }

    /// The interval begins now: what came before was reading back.
    pub fn begin(&mut self, now_ns: i64) {
        self.began_ns = now_ns;
    }

    /// Whether the stream was reset behind this message: it has no part in it any more.
    #[inline]
    pub fn is_gone(&self, stream: StreamId, position: Position) -> bool {
        position < self.partitions[stream.0 as usize * PARTITIONS].begun.beginning
    }

    /// A row at `position` goes to this partition.
    #[inline]
    pub fn row(&mut self, index: usize, position: Position) {
        let partition = &mut self.partitions[index];
        // What a restored state holds already does not change it.
        if partition.begun.restored.is_some_and(|saved| position < saved) {
            return;
        }
        partition.first.get_or_insert(position);
        partition.changed = true;
    }

    /// Something that is no row changes this partition, if it is there at all.
    pub fn touch(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        partition.changed |= partition.first.is_some();
    }

    /// What to save now, every message before `position` having been handed on.
    pub fn due(&mut self, now_ns: i64, position: Position) -> Option<(Due, Turn)> {
        if !self.settled() {
            return None;
        }
        let places = self.partitions.len() as i64 + 1;
        // The wall clock was set back: without this, nothing would be saved until it has caught up.
        self.began_ns = self.began_ns.min(now_ns);
        while now_ns - self.began_ns >= self.every_ns / places * (self.next as i64 + 1) {
            let index = self.next;
            if index < self.partitions.len() {
                self.next += 1;
                if self.take(index, position) {
                    return Some((Due::Partition(index), Turn::take(self.shared.clone())));
                }
                continue;
            }
            self.next = 0;
            self.round += 1;
            // A round that took longer than its interval is not made up for.
            self.began_ns = (self.began_ns + self.every_ns).max(now_ns - self.every_ns / places);
            let whole = std::mem::replace(&mut self.whole, true);
            if self.ledger_at < Some(position) {
                self.under_way = Some(UnderWay::Ledger { before: self.ledger_at.replace(position) });
                return Some((Due::Ledger { whole }, Turn::take(self.shared.clone())));
            }
            return None;
        }
        None
    }

    fn take(&mut self, index: usize, position: Position) -> bool {
        let refresh = (self.round + 1).is_multiple_of(REFRESH_ROUNDS);
        let partition = &mut self.partitions[index];
        let moved = partition.saved < Some(position);
        let wanted = partition.changed || partition.saves < 2 || refresh;
        if !(partition.first.is_some() && moved && wanted) {
            return false;
        }
        let Partition { saved, saves, .. } = *partition;
        self.under_way = Some(UnderWay::Partition { index, saved, saves });
        partition.changed = false;
        partition.saved = Some(position);
        partition.saves = saves.saturating_add(1);
        true
    }

    /// Takes note of how the save under way ended; `false` if it has not.
    fn settled(&mut self) -> bool {
        let Some(ended) = self.shared.ended() else { return false };
        match self.under_way.take() {
            Some(_) if ended == Ended::Done => {}
            None => {}
            Some(UnderWay::Ledger { before }) => self.ledger_at = before,
            Some(UnderWay::Partition { index, saved, saves }) => {
                let partition = &mut self.partitions[index];
                (partition.changed, partition.saved, partition.saves) = (true, saved, saves);
                match ended {
                    Ended::MadeRoom => self.next = self.next.min(index),
                    Ended::Done | Ended::Failed => self.whole = false,
                }
            }
        }
        true
    }

    /// A save is under way.
    pub fn busy(&self) -> bool {
        self.shared.ended().is_none()
    }

    /// A round that waits for no time: from now on, whatever has changed is due, also what a save failed of.
    pub fn hurry(&mut self) {
        (self.next, self.every_ns, self.began_ns) = (0, 0, i64::MIN / 2);
    }

    /// Something that follows from the messages before `position` is not on the disk.
    pub fn unsaved(&mut self, position: Position) -> bool {
        !self.settled()
            || self.ledger_at < Some(position)
            || self.partitions.iter().any(|partition| partition.changed)
    }

    /// Of every partition, for the ledger.
    pub fn standings(&self) -> Vec<Standing> {
        let standing = |partition: &Partition| match (partition.first, partition.saved) {
            (None, _) => Standing::Empty,
            (Some(_), Some(at)) if !partition.changed => Standing::SavedAt(at),
            (Some(first), _) => Standing::Changed { first },
        };
        self.partitions.iter().map(standing).collect()
    }
}

#[cfg(test)]
mod tests;
