//! Keys that behave alike, with a density and a prior of their own inside a stream's model.
//!
//! One density for keys that are unlike is broad where each of them is narrow, and finds little odd. So a model may
//! have further pyramids beside everyone's. Which key belongs to which is found in training ([`find`]) and kept
//! with what is known of the key; a key that training has not seen is everyone's.

mod features;
mod find;
mod found;
mod group;
mod keys;
mod measure;

use serde::{Deserialize, Serialize};

use super::pyramid::{Head, Pyramid};
use super::{Description, Model, ScalerPrior};

pub use find::find;
pub use found::Found;
pub use keys::Rows;
pub use measure::Showing;

/// The cohort of keys that are in no other.
pub const EVERYONE: u32 = 0;

/// Most that a file may hold.
pub const COHORTS_MAX: usize = 1024;

/// What is said of keys that behave alike.
#[derive(Clone, Debug)]
pub struct Cohort {
    pub pyramid: Pyramid,
    /// Of these keys alone, flags included; their own scales are in [`Model::prior`].
    pub prior: ScalerPrior,
}

/// What the card says of a cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortCard {
    /// Keys it was fitted on.
    pub keys: usize,
    /// Windows it was fitted on.
    pub training_rows: usize,
    /// [`Showing::gain`] and [`Showing::separation`], to six decimals.
    pub held_back_gain: f64,
    pub held_back_separation: f64,
    pub pyramid: Head,
}

impl Model {
    /// Gives keys models of their own: `key_cohorts` says of keys the model knows which of `cohorts` is theirs,
    /// counted from 1. Of each cohort its windows and showing, as the card tells them.
    #[must_use]
    pub fn with_cohorts<'a>(
        mut self,
        cohorts: Vec<(Cohort, usize, Showing)>,
        key_cohorts: impl Iterator<Item = (&'a [u8], u32)>,
    ) -> Model {
        let mut keys = vec![0; cohorts.len() + 1];
        for (key, cohort) in key_cohorts {
            if let Some(known) = self.prior.keys.get_mut(key) {
                known.cohort = cohort;
                keys[cohort as usize] += 1;
            }
        }
        let card = |((cohort, windows, showing), keys): (&(Cohort, usize, Showing), &usize)| CohortCard {
            keys: *keys,
            training_rows: *windows,
            held_back_gain: (showing.gain * 1e6).round() / 1e6,
            held_back_separation: (showing.separation * 1e6).round() / 1e6,
            pyramid: cohort.pyramid.to_parts().0,
        };
        let cards = cohorts.iter().zip(&keys[1..]).map(card).collect();
        let Model { columns, pyramid, prior, mut card, .. } = self;
        card.cohorts = cards;
        let cohorts = cohorts.into_iter().map(|(cohort, ..)| cohort).collect();
        Model::assemble(columns, pyramid, prior, cohorts, card)
    }

    /// The same model with other densities where there are some: by cohort, everyone's first, each with the number of
    /// windows it was fitted on, and of those it was given.
    #[must_use]
    pub fn refitted(&self, pyramids: Vec<Option<(Pyramid, usize, usize)>>) -> Model {
        let Model { columns, mut pyramid, prior, mut cohorts, mut card, .. } = self.clone();
        for (at, (fitted, training_rows, given_rows)) in
            pyramids.into_iter().enumerate().filter_map(|(at, fitted)| Some((at, fitted?)))
        {
            let head = fitted.to_parts().0;
            if at == EVERYONE as usize {
                (card.pyramid, card.training_rows, card.given_rows) = (head, training_rows, given_rows);
                pyramid = fitted;
            } else {
                let of = &mut card.cohorts[at - 1];
                (of.pyramid, of.training_rows) = (head, training_rows);
                cohorts[at - 1].pyramid = fitted;
            }
        }
        // Its description is the caller's to give.
        card.description = Description { units: vec![None; columns.len()], ..Description::default() };
        Model::assemble(columns, pyramid, prior, cohorts, card)
    }

    /// Which cohort a key belongs to.
    pub fn cohort_of(&self, key: &[u8]) -> u32 {
        if self.cohorts.is_empty() {
            return EVERYONE;
        }
        self.prior.keys.get(key).map_or(EVERYONE, |known| known.cohort)
    }

    /// The density of a cohort.
    pub fn pyramid_of(&self, cohort: u32) -> &Pyramid {
        if cohort == EVERYONE { &self.pyramid } else { &self.cohorts[cohort as usize - 1].pyramid }
    }

    /// Windows that the density of a cohort was fitted on.
    pub fn training_rows_of(&self, cohort: u32) -> usize {
        let of = (cohort as usize).checked_sub(1).map(|at| self.card.cohorts[at].training_rows);
        of.unwrap_or(self.card.training_rows)
    }

    /// What is known of a cohort's keys in common.
    pub fn prior_of(&self, cohort: u32) -> &ScalerPrior {
        if cohort == EVERYONE { &self.prior } else { &self.cohorts[cohort as usize - 1].prior }
    }

    /// Everyone's, then those of the cohorts.
    pub fn pyramids(&self) -> impl Iterator<Item = &Pyramid> {
        std::iter::once(&self.pyramid).chain(self.cohorts.iter().map(|cohort| &cohort.pyramid))
    }

    /// Whether every key with values of its own is standardised by both alike.
    pub fn scales_like(&self, other: &Model) -> bool {
        let cohort = |of: &Model| -> Vec<u32> { of.prior.keys.values().map(|known| known.cohort).collect() };
        let priors = || self.cohorts.iter().zip(&other.cohorts);
        self.prior.scales_like(&other.prior)
            && self.cohorts.len() == other.cohorts.len()
            && priors().all(|(own, other)| own.prior.scales_like(&other.prior))
            && (self.cohorts.is_empty()
                || self.prior.keys.keys().eq(other.prior.keys.keys()) && cohort(self) == cohort(other))
    }

    /// The heap its densities take, bytes: of everyone's, and of all others.
    pub fn heap_bytes(&self) -> [usize; 2] {
        [self.pyramid.bytes(), self.cohorts.iter().map(|cohort| cohort.pyramid.bytes()).sum()]
    }
}

/// How many densities beside everyone's there is room for, whatever flags their keys have and codes they come to.
pub fn cohorts_max(cells: usize, columns: usize, memory_bytes: u64) -> usize {
    let bytes = (1..=columns).map(|scored| Pyramid::bytes_max(cells, scored)).max().unwrap_or(usize::MAX);
    ((memory_bytes / bytes as u64) as usize).min(COHORTS_MAX)
}
