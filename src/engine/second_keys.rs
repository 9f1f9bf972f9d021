//! Second keys over all partitions of a stream. A terminal's transactions lie with their cards, in many partitions that
//! know nothing of each other: what they come to together is told them by entries of the control log, which each takes
//! into account from its next epoch on.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Engine;
use crate::judge::risk::Tally;
use crate::types::{PARTITIONS, StreamId};

impl Engine {
    /// Counts of these second keys in this engine; `None`: of those that frauds were told of here.
    pub fn tally(&self, stream: StreamId, seconds: Option<&BTreeSet<u32>>) -> Tally {
        let first = stream.0 as usize * PARTITIONS;
        let mut tally = Tally::default();
        for partition in self.partitions[first..first + PARTITIONS].iter().flatten() {
            let Some(transactions) = partition.events.transactions() else { continue };
            match seconds {
                Some(seconds) => transactions.tally(seconds.iter().copied(), &mut tally),
                None => transactions.tally(transactions.charged(), &mut tally),
            }
        }
        tally
    }

    /// From here on these second keys have these risks, in ten-thousandths, over all engines.
    pub fn set_risks(&mut self, stream: StreamId, changes: &[(u32, u16)]) {
        Arc::make_mut(&mut self.streams[stream.0 as usize].risks).note(changes);
    }

    /// Risks that are to be written down and told all engines of the stream ([`Engine::set_risks`]); empty if none
    /// changed. Only for whoever has the whole stream in one engine.
    pub fn risks_due(&self, stream: StreamId) -> Vec<(u32, u16)> {
        let noted = &self.streams[stream.0 as usize].risks;
        let mut seconds: BTreeSet<u32> = self.tally(stream, None).seconds().collect();
        seconds.extend(noted.seconds());
        if seconds.is_empty() { Vec::new() } else { self.tally(stream, Some(&seconds)).changes(noted) }
    }
}
