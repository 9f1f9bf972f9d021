//! What of a partition of alerts has come, and what of that has yet to be told.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use super::beyond;

/// Id and revision.
pub type Revision = (String, u32);

/// Kept is only what is not delivered: all that came between lies in the gaps.
pub struct Backlog {
    /// In order.
    waiting: VecDeque<Waiting>,
    /// Something was delivered behind the last of them.
    ends_delivered: bool,
    /// Delivered by whoever had the partition before, and not read again yet.
    told: Vec<Range<i64>>,
    /// Behind what has come.
    next: i64,
    /// What the group was told last, as far as is known.
    committed: Option<Position>,
    /// The brokers take no metadata of this length.
    bare: bool,
}

/// Up to `offset` all is delivered, and what `beyond` says ([`beyond::write`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub offset: i64,
    pub beyond: String,
}

/// In the outbox.
struct Waiting {
    offset: i64,
    revision: Revision,
    /// Something was delivered between the one before and this.
    behind_delivered: bool,
}

impl Backlog {
    /// Of a partition that comes, from `first` on. `committed`: what the group was told of it; nothing is taken from what is of another
    /// topic of the same name.
    pub fn begin(committed: Option<Position>, first: i64) -> Self {
        let committed = committed.filter(|committed| committed.offset <= first);
        let told = committed.as_ref().map_or(Vec::new(), |known| beyond::read(known.offset, &known.beyond));
        Backlog { waiting: VecDeque::new(), ends_delivered: false, told, next: first, committed, bare: false }
    }

    /// `false`: the partition was elsewhere, or is another, and begins anew.
    pub fn goes_on_at(&self, offset: i64) -> bool {
        offset >= self.next
    }

    pub fn is_told(&self, offset: i64) -> bool {
        self.told.iter().any(|told| told.contains(&offset))
    }

    /// `None`: there is nothing to deliver.
    pub fn take(&mut self, offset: i64, revision: Option<Revision>) {
        self.next = offset + 1;
        self.told.retain(|told| told.end > self.next);
        match revision {
            Some(revision) => {
                let behind_delivered = std::mem::take(&mut self.ends_delivered);
                self.waiting.push_back(Waiting { offset, revision, behind_delivered });
            }
            None => self.ends_delivered = true,
        }
    }

    /// How many are not delivered, as far as was looked.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn revisions(&self) -> Vec<Revision> {
        self.waiting.iter().map(|waiting| waiting.revision.clone()).collect()
    }

    /// Looks from the front on, until one is not delivered.
    pub fn settle(&mut self, is_delivered: impl Fn(&Revision) -> bool) {
        while self.waiting.front().is_some_and(|first| is_delivered(&first.revision)) {
            self.waiting.pop_front();
        }
    }

    /// All but `pending` are delivered.
    pub fn keep(&mut self, pending: &BTreeSet<Revision>) {
        let mut passed = false;
        self.waiting.retain_mut(|waiting| {
            let stays = pending.contains(&waiting.revision);
            waiting.behind_delivered |= passed;
            passed = !stays;
            stays
        });
        self.ends_delivered |= passed;
    }

    /// What the group is to be told, if it is not told yet; from now on it counts as told.
    pub fn say(&mut self) -> Option<Position> {
        let now = self.position();
        let is_new = self.committed.as_ref() != Some(&now);
        is_new.then(|| self.committed.insert(now).clone())
    }

    /// The group was not told after all; `too_long`: since the brokers do not take what is beyond.
    pub fn unsay(&mut self, too_long: bool) {
        self.committed = None;
        self.bare |= too_long;
    }

    /// Something is delivered behind what waits, and would be said.
    pub fn says_beyond(&self) -> bool {
        !self.position().beyond.is_empty()
    }

    fn position(&self) -> Position {
        let offset = self.waiting.front().map_or(self.next, |first| first.offset);
        if self.bare {
            return Position { offset, beyond: String::new() };
        }
        let pairs = self.waiting.iter().zip(self.waiting.iter().skip(1));
        let between = pairs
            .filter(|(_, behind)| behind.behind_delivered)
            .map(|(before, behind)| before.offset + 1..behind.offset);
        let end = self.waiting.back().filter(|_| self.ends_delivered).map(|last| last.offset + 1..self.next);
        let told = self.told.iter().map(|told| told.start.max(self.next)..told.end);
        Position { offset, beyond: beyond::write(offset, between.chain(end).chain(told)) }
    }
}

#[cfg(test)]
mod tests;
