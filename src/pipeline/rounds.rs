//! Whose turn it is to be saved: one partition after the other, spread over an interval, each only if it
//! has changed; at the end of a round the ledger. One save is under way at a time, so there is never more
//! than one copy of a state in memory; while it is not on the disk yet, the next one waits its turn.

mod turn;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use turn::Shared;
pub use turn::Turn;

use crate::types::Position;

/// After so many rounds unchanged partitions are saved again: the log behind both their snapshots can go.
const REFRESH_ROUNDS: u64 = 60;

/// What is to be saved.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// `stream * PARTITIONS + partition`
    Partition(usize),
    Ledger,
}

/// What the ledger says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Saved, or being saved, before this position; may have changed since.
    Changed,
    /// No row of it is in the log before the ledger's position.
    Empty,
    /// Unchanged since it was saved at this position.
    SavedAt(Position),
}

pub struct Rounds {
    shared: Arc<Shared>,
    every_ns: i64,
    began_ns: i64,
    round: u64,
    next: usize,
    /// Some row of it was seen.
    seen: Vec<bool>,
    saved: Vec<Option<Position>>,
    /// Until there are two snapshots, a partition is saved though it has not changed.
    saves: Vec<u8>,
    ledger_at: Option<Position>,
}

impl Rounds {
    /// `restored`: where each partition was restored from a snapshot, if it was.
    pub fn new(every: Duration, now_ns: i64, restored: &[Option<Position>]) -> Self {
        Rounds {
            shared: Shared::of(restored.len()),
            every_ns: i64::try_from(every.as_nanos()).unwrap_or(i64::MAX),
            began_ns: now_ns,
            round: 0,
            next: 0,
            seen: restored.iter().map(Option::is_some).collect(),
            saved: restored.to_vec(),
            saves: restored.iter().map(|at| u8::from(at.is_some())).collect(),
            ledger_at: None,
        }
    }

    /// The interval begins now: what came before was reading back.
    pub fn begin(&mut self, now_ns: i64) {
        self.began_ns = now_ns;
    }

    /// A row at `position` goes to this partition.
    #[inline]
    pub fn row(&mut self, index: usize, position: Position) {
        // What a restored state holds already does not change it.
        if self.saved[index].is_some_and(|saved| position < saved) {
            return;
        }
        self.seen[index] = true;
        self.shared.dirty[index].store(true, Relaxed);
    }

    /// Something that is no row changes this partition, if it is there at all.
    pub fn touch(&mut self, index: usize) {
        if self.seen[index] {
            self.shared.dirty[index].store(true, Relaxed);
        }
    }

    /// What to save now, every message before `position` having been handed on.
    pub fn due(&mut self, now_ns: i64, position: Position) -> Option<(Due, Turn)> {
        let places = self.seen.len() as i64 + 1;
        // The wall clock was set back: without this, nothing would be saved until it has caught up.
        self.began_ns = self.began_ns.min(now_ns);
        while !self.shared.busy.load(Relaxed)
            && now_ns - self.began_ns >= self.every_ns / places * (self.next as i64 + 1)
        {
            let index = self.next;
            if index < self.seen.len() {
                self.next += 1;
                if self.take(index, position) {
                    return Some((Due::Partition(index), self.turn(Some(index))));
                }
                continue;
            }
            self.next = 0;
            self.round += 1;
            // A round that took longer than its interval is not made up for.
            self.began_ns = (self.began_ns + self.every_ns).max(now_ns - self.every_ns / places);
            if self.ledger_at < Some(position) {
                self.ledger_at = Some(position);
                return Some((Due::Ledger, self.turn(None)));
            }
            return None;
        }
        None
    }

    fn take(&mut self, index: usize, position: Position) -> bool {
        let refresh = (self.round + 1).is_multiple_of(REFRESH_ROUNDS);
        let moved = self.saved[index] < Some(position);
        let wanted = self.shared.dirty[index].load(Relaxed) || self.saves[index] < 2 || refresh;
        if !(self.seen[index] && moved && wanted) {
            return false;
        }
        self.shared.dirty[index].store(false, Relaxed);
        self.saved[index] = Some(position);
        self.saves[index] = self.saves[index].saturating_add(1);
        true
    }

    fn turn(&self, index: Option<usize>) -> Turn {
        Turn::take(self.shared.clone(), index)
    }

    /// Where the last ledger was due.
    pub fn ledger_at(&self) -> Option<Position> {
        self.ledger_at
    }

    /// A save is under way.
    pub fn busy(&self) -> bool {
        self.shared.busy.load(Relaxed)
    }

    /// A round that waits for no time: from now on, whatever has changed is due, also what a save failed of.
    pub fn hurry(&mut self) {
        (self.next, self.every_ns, self.began_ns) = (0, 0, i64::MIN / 2);
        for index in 0..self.saved.len() {
            if self.shared.dirty[index].load(Relaxed) {
                self.saved[index] = None;
            }
        }
    }

    /// Something has changed since it was saved.
    pub fn changed(&self) -> bool {
        self.shared.dirty.iter().any(|dirty| dirty.load(Relaxed))
    }

    /// Of every partition, for the ledger.
    pub fn standings(&self) -> Vec<Standing> {
        let standing = |index: usize| match self.saved[index] {
            _ if !self.seen[index] => Standing::Empty,
            Some(at) if !self.shared.dirty[index].load(Relaxed) => Standing::SavedAt(at),
            _ => Standing::Changed,
        };
        (0..self.seen.len()).map(standing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs one round of 300 ns with two partitions; what was due, and when.
    fn round(rounds: &mut Rounds, from: i64, position: u64, done: bool) -> Vec<(i64, Due)> {
        let mut all = Vec::new();
        for now in from + 1..=from + 300 {
            if let Some((due, turn)) = rounds.due(now, Position(position)) {
                all.push((now - from, due));
                if done {
                    turn.done();
                }
            }
        }
        all
    }

    #[test]
    fn changed_partitions_have_their_turns_spread_over_the_interval() {
        let mut rounds = Rounds::new(Duration::from_nanos(300), 0, &[None, None]);
        rounds.row(0, Position(3));
        rounds.row(1, Position(4));
        let all = [(100, Due::Partition(0)), (200, Due::Partition(1)), (300, Due::Ledger)];
        assert_eq!(round(&mut rounds, 0, 5, true), all);
        assert_eq!(rounds.standings(), [Standing::SavedAt(Position(5)); 2]);
        rounds.row(1, Position(5));
        // The first is unchanged, but has one snapshot only.
        assert_eq!(round(&mut rounds, 300, 6, true), all);
        rounds.row(1, Position(6));
        assert_eq!(round(&mut rounds, 600, 7, true), all[1..]);
        assert_eq!(rounds.standings(), [6, 7].map(|at| Standing::SavedAt(Position(at))));
        assert_eq!(round(&mut rounds, 900, 7, true), [], "nothing has come since");
    }

    #[test]
    fn what_was_not_written_is_due_again_and_not_called_saved() {
        let mut rounds = Rounds::new(Duration::from_nanos(300), 0, &[Some(Position(1)), None]);
        rounds.row(0, Position(3));
        assert_eq!(round(&mut rounds, 0, 5, false), [(100, Due::Partition(0)), (300, Due::Ledger)]);
        assert_eq!(rounds.standings(), [Standing::Changed, Standing::Empty]);
        assert_eq!(round(&mut rounds, 300, 6, true)[0], (100, Due::Partition(0)));
        assert_eq!(rounds.standings()[0], Standing::SavedAt(Position(6)));
    }

    #[test]
    fn a_clock_set_back_begins_a_new_interval() {
        let mut rounds = Rounds::new(Duration::from_nanos(300), 1_000, &[None, None]);
        rounds.row(0, Position(3));
        assert!(rounds.due(500, Position(4)).is_none());
        let due = rounds.due(600, Position(4)).map(|(due, _)| due);
        assert_eq!(due, Some(Due::Partition(0)));
    }

    #[test]
    fn at_a_stop_what_failed_is_due_again_at_once() {
        let mut rounds = Rounds::new(Duration::from_secs(3600), 0, &[None, None]);
        rounds.row(0, Position(3));
        rounds.hurry();
        drop(rounds.due(1, Position(4)).expect("the partition").1);
        assert!(rounds.changed());
        rounds.due(1, Position(4)).expect("the ledger").1.done();
        rounds.hurry();
        let (due, turn) = rounds.due(1, Position(4)).expect("the partition again");
        assert_eq!(due, Due::Partition(0));
        turn.done();
        assert!(!rounds.changed());
        assert_eq!(rounds.standings()[0], Standing::SavedAt(Position(4)));
    }

    #[test]
    fn one_save_is_under_way_at_a_time() {
        let mut rounds = Rounds::new(Duration::from_nanos(300), 0, &[None, None]);
        rounds.row(0, Position(3));
        rounds.row(1, Position(3));
        let first = rounds.due(300, Position(4)).unwrap();
        assert!(rounds.due(300, Position(4)).is_none());
        drop(first);
        assert_eq!(rounds.due(300, Position(4)).unwrap().0, Due::Partition(1));
    }
}
