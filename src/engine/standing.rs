//! A key whose alert stood for long has a new level: what it does from there on is learnt in place of what it did.

use crate::alert::lifecycle::Episode;
use crate::engine::partition::Partition;
use crate::engine::setup::StreamSetup;
use crate::types::EPOCH_NS;
use crate::window::keys::KeyIndex;

impl StreamSetup {
    /// For how long after an episode stood windows may be judged by what was learnt before it: late rows may show
    /// that it did once `lateness` has passed, and what is learnt acts from the next epoch on. A window more gives the
    /// new level as much again as makes a key warm.
    pub(super) fn settling_ns(lateness_ns: i64, size_ns: i64) -> i64 {
        lateness_ns.saturating_add(2 * EPOCH_NS).saturating_add(size_ns)
    }
}

impl Partition {
    /// Takes note of an episode of `key` that was resolved because it stood; `before` is the episode until then.
    pub(super) fn note_standing(&mut self, key: KeyIndex, before: Episode) {
        if self.episodes[key as usize].settled() > before.settled() {
            self.restarts.push(key);
        }
    }

    /// Forgets the levels of keys whose episode stood. With what the ended epoch showed of them they begin anew: until
    /// that is a window's worth, they are not warm.
    pub(super) fn restart_levels(&mut self, columns: usize) {
        for key in std::mem::take(&mut self.restarts) {
            // Late rows may have opened it again, or taken it back.
            if self.episodes[key as usize].opened().is_none() && self.has_stood(key) {
                let own = &mut self.moments[key as usize * columns..][..columns];
                own.iter_mut().for_each(|moments| moments.restart());
                // What it showed at its old level would be far off at the new one.
                self.warmup.forget(key);
            }
        }
    }

    /// Whether an episode of the key stood: the level it has now need not be near that of its cohort.
    pub(super) fn has_stood(&self, key: KeyIndex) -> bool {
        self.episodes[key as usize].settled() > i64::MIN
    }

    /// Whether windows of the ended epoch do not count because the key is learning a new level.
    pub(super) fn settled_in_epoch(&self, key: KeyIndex) -> bool {
        self.episodes[key as usize].settles(self.epoch.saturating_mul(EPOCH_NS))
    }
}
