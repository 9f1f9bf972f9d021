//! Telling of keys that fell silent or sent again.

use super::Silent;
use crate::engine::partition::{Closing, Partition};
use crate::engine::tell::Told;
use crate::types::{About, AlertState, EventTime, NoDataEvidence, rule};
use crate::window::grid::cell_of;

impl Partition {
    /// Looks who is silent now that all cells below `released` are final.
    #[inline]
    pub(in crate::engine) fn mind_silence(&mut self, closing: &mut Closing<'_, '_>) {
        let now = self.released * closing.setup.grid_ns;
        if now >= self.silence.next() {
            self.tell_silence(now, closing);
        }
    }

    /// In an order that does not depend on which of several cells were looked at: ends come first, since
    /// their rows were final before, then by the cell a silence was noticed in; keys in canonical order.
    fn tell_silence(&mut self, now: i64, closing: &mut Closing<'_, '_>) {
        let mut ended = self.silence.ended();
        ended.sort_unstable_by(|(a, _), (b, _)| self.keys.compare(a.key, b.key));
        for (silent, resumed) in ended {
            self.tell_one(silent, Some(resumed), closing);
        }
        let mut begun = self.silence.begun(now);
        let noticed = |silent: &Silent| cell_of(silent.due - 1, closing.setup.grid_ns);
        begun.sort_unstable_by(|a, b| {
            noticed(a).cmp(&noticed(b)).then_with(|| self.keys.compare(a.key, b.key))
        });
        for silent in begun {
            self.tell_one(silent, None, closing);
        }
        self.counts.keys_silent = self.silence.count();
    }

    fn tell_one(&mut self, silent: Silent, resumed: Option<i64>, closing: &mut Closing<'_, '_>) {
        let Silent { key, last_seen, every_ns, due } = silent;
        let onset = EventTime(last_seen);
        let (revision, state) = match resumed {
            None => (1, AlertState::Raised),
            Some(_) => (2, AlertState::Resolved),
        };
        match state.is_firing() {
            true => self.counts.alerts_open += 1,
            false => self.counts.alerts_open -= 1,
        }
        let about = About::NoData(NoDataEvidence {
            last_seen: onset,
            expected_every_ns: every_ns,
            due: EventTime(due),
            resumed: resumed.map(EventTime),
        });
        self.tell_at_once(key, Told { rule: rule::NO_DATA, onset, revision, state, about }, closing);
    }
}
