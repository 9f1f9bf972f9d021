//! What the search for cohorts comes to.

use super::EVERYONE;
use super::measure::{Showing, mean};
use crate::model::MIN_ROWS;

/// Which keys belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// By key.
    pub cohort: Vec<u32>,
    /// By cohort from 1: mean of its keys.
    pub showings: Vec<Showing>,
}

/// Cohorts in the order in which their keys come.
#[derive(Default)]
pub(super) struct Cohorts {
    places: Vec<usize>,
    /// Showings of keys, and windows of all.
    of: Vec<(Vec<Showing>, usize)>,
}

impl Cohorts {
    pub fn add(&mut self, place: usize, showing: Option<Showing>, windows: usize) -> u32 {
        let at = self.places.iter().position(|known| *known == place).unwrap_or_else(|| {
            self.places.push(place);
            self.of.push((Vec::new(), 0));
            self.places.len() - 1
        });
        self.of[at].0.extend(showing);
        self.of[at].1 += windows;
        at as u32 + 1
    }

    /// Leaves out those with too few windows for a fit.
    pub fn close(self, found: &mut Found) {
        let mut number = vec![EVERYONE; self.of.len() + 1];
        for (at, (of, windows)) in self.of.iter().enumerate() {
            if *windows >= MIN_ROWS {
                let average = |part: fn(&Showing) -> f64| mean(&of.iter().map(part).collect::<Vec<_>>());
                let (gain, separation) = (average(|of| of.gain), average(|of| of.separation));
                found.showings.push(Showing { gain, separation });
                number[at + 1] = found.showings.len() as u32;
            }
        }
        found.cohort.iter_mut().for_each(|cohort| *cohort = number[*cohort as usize]);
    }
}
