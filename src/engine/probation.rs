//! Surprises that are to become references, once it has shown that nothing was about to go wrong.
//!
//! A fault that grows is odd for minutes before it is odd enough to be told. Were those windows taken for normal ones, the
//! tail would give way just ahead of the fault: ten of them among the hundred largest references double its mean excess.
//! So a surprise waits, and what waits of a key is dropped as soon as the key is too odd to teach.

use crate::alert::lifecycle::Episode;
use crate::engine::partition::Partition;
use crate::engine::setup::StreamSetup;
use crate::judge::calibrate::REFERENCE_MAX;
use crate::judge::calibration::Surprise;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::EPOCH_NS;
use crate::window::keys::KeyIndex;

/// Length of the windows that a fault may take to show, and the least epochs: it has to grow, and to fill a window.
const WINDOWS: i64 = 4;
const EPOCHS_MIN: i64 = 10;
/// Samples an epoch that keys of a cohort give at most, about.
const SAMPLES_MAX: i64 = 64;

/// The surprises of a key's last sure window in an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    epoch: i64,
    key: KeyIndex,
    surprise: Surprise,
}

/// In order of epoch. They are of the model that scores.
#[derive(Default)]
pub(crate) struct Probation(Vec<Candidate>);

/// Epochs that a surprise waits.
fn wait_epochs(setup: &StreamSetup) -> i64 {
    setup.size_ns.saturating_mul(WINDOWS).div_euclid(EPOCH_NS).max(EPOCHS_MIN)
}

/// How many keys of a cohort give a sample in an epoch, about: no more than 64, and never so many that more wait than
/// there are references.
pub(super) fn samples_an_epoch(setup: &StreamSetup) -> u64 {
    (REFERENCE_MAX as i64 / wait_epochs(setup)).clamp(1, SAMPLES_MAX) as u64
}

impl Probation {
    /// Of a full one.
    pub const BYTES: usize = REFERENCE_MAX * size_of::<Candidate>();

    pub fn add(&mut self, epoch: i64, key: KeyIndex, surprise: Surprise) {
        self.0.push(Candidate { epoch, key, surprise });
    }

    /// Another model scores.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn encode(&self, to: &mut StateWriter<'_>) {
        to.len(self.0.len());
        for Candidate { epoch, key, surprise } in &self.0 {
            to.number(*epoch);
            to.number(*key);
            surprise.iter().for_each(|surprise| to.number(*surprise));
        }
    }

    /// # Errors
    /// If the bytes end early or name a key that is none of so many.
    pub fn decode(keys: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut found = Probation::default();
        for _ in 0..from.len(20)? {
            let (epoch, key) = (from.number()?, from.number()?);
            found.add(epoch, key, [from.number()?, from.number()?]);
        }
        expect(found.0.iter().all(|of| (of.key as usize) < keys), "a surprise of no key")?;
        Ok(found)
    }
}

impl Partition {
    /// At the end of `self.epoch`: drops what led up to an episode, and lets become a reference what waited long enough.
    pub(super) fn end_probation(&mut self, setup: &StreamSetup) {
        let Partition { probation, scoring, cohorts, episodes, epoch, .. } = self;
        let Some(scoring) = scoring else { return };
        let teaches = |of: &Candidate| Episode::teaches(&episodes[of.key as usize], setup.p_odd);
        let until = epoch.saturating_sub(wait_epochs(setup));
        probation.0.retain(teaches);
        let over = probation.0.partition_point(|of| of.epoch <= until);
        for Candidate { key, surprise, .. } in probation.0.drain(..over) {
            let cohort = cohorts[key as usize] as usize;
            scoring.references[cohort].iter_mut().for_each(|of| of.observe(surprise));
        }
    }
}
