//! Surprises that are to become references, once it has shown that nothing was about to go wrong.
//!
//! A fault that grows is odd for minutes before it is odd enough to be told. Were those windows taken for normal ones, the
//! tail would give way just ahead of the fault: ten of them among the hundred largest references double its mean excess.
//! So a surprise waits, and what waits of a key is dropped when its windows become too odd to teach after a time in which
//! they were not. A key that is odd every now and then has no such time: it teaches whatever it shows in between, or its
//! references would be those of another time for ever. (Onsets and silence drop nothing.)

use std::collections::BTreeMap;

use crate::alert::lifecycle::Episode;
use crate::engine::partition::Partition;
use crate::engine::setup::StreamSetup;
use crate::judge::calibrate::REFERENCE_MAX;
use crate::judge::calibration::Surprise;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::EPOCH_NS;
use crate::window::keys::KeyIndex;

/// Epochs that a surprise waits at least; else as many as a window is long, since a fault has to fill it.
const EPOCHS_MIN: i64 = 10;
/// A key that was odd within so many waits has not been calm.
const CALM_WAITS: i64 = 2;
/// Samples an epoch that keys of a cohort give at most, about.
const SAMPLES_MAX: u64 = 64;

/// The surprises of a key's last sure window in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    /// All there are fit: a time is ns in 64 bits.
    epoch: i32,
    key: KeyIndex,
    surprise: Surprise,
}

#[derive(Default)]
pub(crate) struct Probation {
    /// In order of epoch. They are of the model that scores.
    waiting: Vec<Candidate>,
    /// The last epoch in which a key was too odd to teach, of keys that were so lately.
    odd: BTreeMap<KeyIndex, i64>,
}

/// Epochs that a surprise waits.
fn wait_epochs(setup: &StreamSetup) -> i64 {
    // What a payment rests on is no window.
    if setup.roles.is_some() { EPOCHS_MIN } else { epochs(setup.size_ns) }
}

/// For windows of this length.
fn epochs(size_ns: i64) -> i64 {
    size_ns.div_euclid(EPOCH_NS).max(EPOCHS_MIN)
}

/// Of how many windows of `keys` keys one is taken in an epoch, so that about 64 are, and no more wait than there are
/// references.
pub(super) fn share(keys: u64, setup: &StreamSetup) -> u64 {
    let waiting = keys.saturating_mul(wait_epochs(setup) as u64).div_ceil(REFERENCE_MAX as u64);
    keys.div_ceil(SAMPLES_MAX).max(waiting).max(1)
}

/// Heap of what waits in a partition of so many keys, bytes, about.
pub(super) fn heap_bytes(keys: f64, size_ns: i64) -> f64 {
    let wait = epochs(size_ns) as f64;
    let waiting = (keys.min(SAMPLES_MAX as f64) * wait).min(REFERENCE_MAX as f64);
    waiting * size_of::<Candidate>() as f64
}

impl Probation {
    pub fn add(&mut self, epoch: i64, key: KeyIndex, surprise: Surprise) {
        self.waiting.push(Candidate { epoch: epoch as i32, key, surprise });
    }

    /// Another model scores.
    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Probation { waiting, odd } = self;
        to.len(waiting.len());
        for Candidate { epoch, key, surprise } in waiting {
            to.number(*epoch);
            to.number(*key);
            surprise.iter().for_each(|surprise| to.number(*surprise));
        }
        to.len(odd.len());
        for (key, epoch) in odd {
            to.number(*key);
            to.number(*epoch);
        }
    }

    /// # Errors
    /// If the bytes end early, name a key that is none of so many, or are in no order.
    pub fn decode(keys: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut found = Probation::default();
        for _ in 0..from.len(16)? {
            let (epoch, key): (i32, _) = (from.number()?, from.number()?);
            found.add(i64::from(epoch), key, [from.number()?, from.number()?]);
        }
        for _ in 0..from.len(12)? {
            found.odd.insert(from.number()?, from.number()?);
        }
        let of_keys = found.waiting.iter().map(|of| &of.key).chain(found.odd.keys());
        expect(of_keys.copied().all(|key| (key as usize) < keys), "a surprise of no key")?;
        let sound = found.waiting.is_sorted_by_key(|of| of.epoch)
            && found.waiting.iter().flat_map(|of| of.surprise).all(f32::is_finite);
        expect(sound, "surprises in no order, or none")?;
        Ok(found)
    }
}

impl Partition {
    /// At the end of `self.epoch`: drops what led up to an episode, and lets become a reference what waited long enough.
    pub(super) fn end_probation(&mut self, setup: &StreamSetup) {
        let Partition { probation: Probation { waiting, odd }, scoring, cohorts, episodes, epoch, .. } = self;
        let Some(scoring) = scoring else { return };
        let (wait, epoch) = (wait_epochs(setup), *epoch);
        let teaches = |key: KeyIndex| Episode::teaches(&episodes[key as usize], setup.p_odd);
        odd.retain(|_, last| *last >= epoch.saturating_sub(CALM_WAITS * wait));
        waiting.retain(|of| teaches(of.key) || odd.contains_key(&of.key));
        odd.extend((0..episodes.len() as KeyIndex).filter(|key| !teaches(*key)).map(|key| (key, epoch)));
        let over = waiting.partition_point(|of| i64::from(of.epoch) <= epoch.saturating_sub(wait));
        for Candidate { key, surprise, .. } in waiting.drain(..over) {
            let cohort = cohorts[key as usize] as usize;
            scoring.references[cohort].iter_mut().for_each(|of| of.observe(surprise));
        }
    }
}
