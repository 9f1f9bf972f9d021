//! What a partition learns at the end of an epoch, and what a key starts from.

use crate::config::plan::Shape;
use crate::engine::partition::{Partition, Scale};
use crate::engine::reservoir::Reservoir;
use crate::engine::scoring::{References, Scoring};
use crate::engine::setup::StreamSetup;
use crate::engine::warmup::scales_of;
use crate::judge::moments::Moments;
use crate::model::{Model, ScalerPrior};
use crate::window::keys::KeyIndex;

/// A column of a key that is odd goes on learning from epochs whose cells are so near its own level, sd, in the root mean
/// square.
const NEAR_SD: f64 = 3.0;

/// Whether an odd key's column may learn from its epoch: it is near its level, and none of its cells stands out from the
/// others, since one spike of an epoch must not teach its width. How far the farthest of `n` normal cells lies goes by
/// their number: `sqrt(9 + 2 ln n)` sd is passed by about as many epochs whatever it is, as the tail of a normal law falls
/// as `exp(-x^2 / 2)`; the sd is the known one, or that of the epoch itself if it is wider throughout.
fn teaches(epoch: &Moments, scale: Scale) -> bool {
    let rms = epoch.epoch_rms(scale.mean) / f64::from(scale.sd);
    let farthest = f64::from(epoch.epoch_distance(scale.mean) / scale.sd);
    let normal = (NEAR_SD * NEAR_SD + 2.0 * f64::from(epoch.epoch_count().max(1)).ln()).sqrt();
    rms <= NEAR_SD && farthest <= normal * rms.max(1.0)
}

impl Partition {
    /// Starts a key that has no final cell yet from what the model knows of it.
    pub(super) fn seed(&mut self, key: KeyIndex, setup: &StreamSetup) {
        let Some(scoring) = &self.scoring else { return };
        let columns = setup.columns.len();
        if let Some(model) = scoring.model() {
            let known = known_moments(model, self.keys.bytes(key), setup);
            self.moments[key as usize * columns..][..columns].copy_from_slice(&known);
        }
        self.rescale(key, setup);
    }

    /// Sets a key's scale from its moments and the cohort's. A spread that the model knows does not become smaller: the
    /// density was fitted to it, and what is learnt later would narrow it for no good reason, since what is far off is left
    /// out, and a quiet day is not all that a key does. A key that has left its level for good begins anew.
    pub fn rescale(&mut self, key: KeyIndex, setup: &StreamSetup) {
        let columns = setup.columns.len();
        if let Some(transactions) = self.events.transactions() {
            let scales = (0..columns).map(|column| transactions.scale(key, column));
            self.scales.splice(key as usize * columns..(key as usize + 1) * columns, scales);
            return;
        }
        let Some(model) = self.scoring.as_ref().and_then(Scoring::model) else { return };
        let prior = model.prior_of(self.cohorts[key as usize]);
        let (own, apart) = (key as usize * columns..(key as usize + 1) * columns, self.has_stood(key));
        let scales = scales_of(prior, &self.moments[own.clone()], apart);
        self.scales[own.clone()].iter_mut().zip(scales).for_each(|(to, scale)| *to = scale);
        let Some(known) = model.prior.keys.get(self.keys.bytes(key)).filter(|_| !apart) else { return };
        for (column, to) in self.scales[own].iter_mut().enumerate() {
            let trained = prior.spread(column, known.count[column], known.sd[column].powi(2));
            to.sd = if prior.flags[column] { to.sd } else { to.sd.max(trained as f32) };
        }
    }

    /// Lets the ended epoch teach a key's levels and spreads, of which all `learn` while nothing was odd. What is odd about
    /// a key is most often one column; the others drift on, and left alone they would be odd in the end.
    fn learn_levels(&mut self, key: KeyIndex, learn: bool, setup: &StreamSetup) {
        let columns = setup.columns.len();
        let own = key as usize * columns..(key as usize + 1) * columns;
        for (moments, scale) in self.moments[own.clone()].iter_mut().zip(&self.scales[own]) {
            let near = || teaches(moments, *scale);
            if learn || near() { moments.commit(setup.memory_cells()) } else { moments.discard() }
        }
    }

    /// By what a key's columns are standardised under `prior`.
    pub(super) fn scales_under(&self, prior: &ScalerPrior, key: KeyIndex, columns: usize) -> Vec<Scale> {
        let (own, apart) = (&self.moments[key as usize * columns..][..columns], self.has_stood(key));
        scales_of(prior, own, apart).collect()
    }

    /// Lets the ended epoch teach: moments and calibration of keys that were calm, then a fit if one is due.
    pub(super) fn roll_epoch(&mut self, epoch: i64, setup: &StreamSetup) {
        let columns = setup.columns.len();
        self.keys.sort();
        self.keep_epoch(setup);
        self.note_drift(epoch, setup);
        self.restart_levels(columns);
        self.learn_transactions(setup);
        // The choice is the keys' own.
        let shares = self.sample_shares(setup);
        let early = self.is_early(setup);
        let (mut warm, mut alive, mut alive_warm) = (0, 0, 0);
        for i in 0..self.keys.len() {
            let key = self.keys.ordered()[i];
            let calm = self.episodes[key as usize].teaches(setup.p_odd);
            // While it is early, nobody knows yet what a key is like at other times.
            let learns = calm || early;
            self.learn_levels(key, learns, setup);
            let surprise = std::mem::replace(&mut self.last_surprise[key as usize], [f32::NAN; 2]);
            let normal = calm && !self.settled_in_epoch(key);
            if self.scoring.is_some() {
                let cohort = self.cohorts[key as usize] as usize;
                let chosen = (self.keys.hash(key) ^ self.epoch as u64).is_multiple_of(shares[cohort]);
                if normal && chosen && !surprise[0].is_nan() {
                    self.probation.add(self.epoch, key, surprise);
                }
            }
            self.events.commit_amounts(key, learns);
            self.grid.rest(key, self.released - setup.ring_cells() as i64);
            self.events.rest(key, self.released, setup);
            self.rescale(key, setup);
            let is_warm = self.scoring.is_some() && self.is_known(key, setup);
            let is_alive = self.is_alive(key, setup);
            warm += u64::from(is_warm);
            alive += u64::from(is_alive);
            alive_warm += u64::from(is_alive && is_warm);
        }
        self.end_probation(setup);
        if let Some(scoring) = &mut self.scoring {
            scoring.references.iter_mut().flatten().for_each(References::commit);
        }
        let episodes = &self.episodes;
        self.events.commit(|key| early || episodes[key as usize].teaches(setup.p_odd));
        self.learn_budget(epoch, setup);
        self.adopt(setup);
        self.heard.roll(epoch);
        self.epoch = epoch;
        self.set_alarm(setup);
        self.counts.keys_warm = warm;
        (self.counts.keys_alive, self.counts.keys_alive_warm) = (alive, alive_warm);
        self.fit_if_due(setup);
        self.onsets.forget(self.scoring.as_ref().map_or(&[], Scoring::flags));
    }

    /// Lets what the running epoch gathered count; for training, after the last row.
    pub fn end_epoch(&mut self, setup: &StreamSetup) {
        self.roll_epoch(self.epoch, setup);
    }

    /// A model activated since acts from this epoch on.
    fn adopt(&mut self, setup: &StreamSetup) {
        let Some(model) = &setup.model else { return };
        let present = self.scoring.as_ref().and_then(Scoring::model);
        // By its checksum: after a start, the one restored and the one activated may be read apart.
        if present.is_some_and(|present| present.checksum() == model.checksum()) {
            return;
        }
        let refitted = present.is_some_and(|present| present.scales_like(model));
        if !refitted {
            self.reservoir = Reservoir::default();
        }
        self.drift.begin(refitted);
        self.scoring = Some(Scoring::new(model.clone(), self.alarm(setup)));
        self.join_cohorts();
        self.counts.warm_milli = 1000;
        for key in 0..self.keys.len() as KeyIndex {
            // When a key's first row arrived must not matter, only when it became final.
            if self.grid.seen(key) { self.rescale(key, setup) } else { self.seed(key, setup) }
        }
    }

    /// Something came of it lately, or is still to become final.
    fn is_alive(&self, key: KeyIndex, setup: &StreamSetup) -> bool {
        let newest = self.grid.newest_cell(key);
        newest.is_none_or(|cell| (self.released - cell).saturating_mul(setup.grid_ns) <= setup.alive_ns)
    }

    /// A key is judged once the columns that it sends at all are known.
    fn is_known(&self, key: KeyIndex, setup: &StreamSetup) -> bool {
        let columns = setup.columns.len();
        let own = &self.moments[key as usize * columns..][..columns];
        let mut sent = own.iter().filter(|moments| moments.count > 0.0).peekable();
        sent.peek().is_some() && sent.all(|moments| is_warm(moments, setup))
    }
}

/// A window of events may be a single cell, of which one says nothing.
const WARM_WINDOWS: usize = 8;

/// A level and spread rest on at least one window's worth of cells. Transactions are judged from a key's first on.
pub(crate) fn is_warm(own: &Moments, setup: &StreamSetup) -> bool {
    if setup.roles.is_some() {
        return true;
    }
    let least = if setup.shape == Shape::Grid { setup.cells } else { setup.cells.max(WARM_WINDOWS) };
    own.count >= least as f64
}

/// What a model knows of a key's columns before anything of it was seen.
pub(crate) fn known_moments(model: &Model, key: &[u8], setup: &StreamSetup) -> Vec<Moments> {
    let Some(known) = model.prior.keys.get(key) else {
        return vec![Moments::default(); setup.columns.len()];
    };
    let column = |column: usize| {
        let count = (known.count[column] as f64).min(setup.memory_cells());
        Moments::known(count, known.mean[column], known.sd[column].powi(2))
    };
    (0..setup.columns.len()).map(column).collect()
}
