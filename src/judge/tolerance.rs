//! What people called expected of a key, and how much of it is not told again.
//!
//! Of every episode that was told it is kept how far each column went, and to which side: a window's columns from what
//! was expected of them, an onset's from the range they left. `"expected"` makes that the key's tolerance, a quarter
//! more of it, since the same again is never quite the same. What goes to another side, shows in another column or goes
//! further is told as ever. `"real"` takes back what would have hidden its alert. The last word on an alert holds, each
//! for [`LASTS_EPOCHS`], and what is in force is worked out anew from the words each time: taking one back leaves
//! nothing of it.
//!
//! A tolerance is what one episode showed and never a sum: to be told less of a graver one, somebody has to have been
//! told of a graver one, and called it expected.

mod room;
mod seen;
mod state;

pub use seen::departures;

use crate::types::{EPOCH_NS, LASTS_NS, UNSAID_MAX, Watched, rule};

/// How much further than the episode went is tolerated, as a part of how far that was.
const MORE: f32 = 0.25;

/// How long a word holds.
pub const LASTS_EPOCHS: i64 = LASTS_NS / EPOCH_NS;

/// Words of a key that are kept.
const WORDS_MAX: usize = 16;

/// What tells an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detector {
    Window,
    Onset,
}

impl Detector {
    /// By the rule in a decision; `None` for one of silence, which has no column.
    pub fn of(rule: &str) -> Option<Detector> {
        match rule {
            rule::WINDOW => Some(Detector::Window),
            rule::ONSET => Some(Detector::Onset),
            _ => None,
        }
    }
}

/// Something that a column did, unit of the column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Departure {
    /// Of all that may depart: columns of a window, columns and what is watched of them of an onset.
    place: usize,
    from: f32,
    to: f32,
}

impl Departure {
    /// Of a window's column, from what was expected of it.
    pub fn of_window(column: usize, expected: f64, value: f64) -> Departure {
        Departure { place: column, from: 0.0, to: (value - expected) as f32 }
    }

    /// Of a column that left a range.
    pub fn of_onset(column: usize, watched: Watched, low: f32, high: f32, value: f32) -> Departure {
        let from = if value > high { high } else { low };
        Departure { place: 3 * column + watched as usize, from, to: value }
    }

    /// Where its side stands in an [`Extent`].
    fn side(&self) -> u32 {
        2 * self.place as u32 + u32::from(self.to > self.from)
    }

    fn reach(&self) -> Reach {
        let sign = if self.to > self.from { 1.0 } else { -1.0 };
        Reach { side: self.side(), from: sign * self.from, to: sign * self.to }
    }
}

/// How far one column went to one side. Signs are such that further is larger.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reach {
    side: u32,
    from: f32,
    to: f32,
}

impl Reach {
    /// With what is tolerated beside.
    fn held(&self) -> f32 {
        self.to + MORE * (self.to - self.from)
    }
}

/// How far the columns of an episode went, or may go; by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extent(Vec<Reach>);

impl Extent {
    /// Takes in what an episode did: all of it is one departure, from where it first left.
    pub fn widen(&mut self, departure: Departure) {
        self.add(departure.reach(), |known, more| Reach {
            side: known.side,
            from: known.from.min(more.from),
            to: known.to.max(more.to),
        });
    }

    /// Of two episodes the one counts by which more is tolerated.
    fn join(&mut self, other: &Extent) {
        let further = |known: Reach, more: Reach| if more.held() > known.held() { more } else { known };
        other.0.iter().for_each(|reach| self.add(*reach, further));
    }

    fn add(&mut self, reach: Reach, both: impl Fn(Reach, Reach) -> Reach) {
        match self.0.binary_search_by_key(&reach.side, |known| known.side) {
            Ok(at) => self.0[at] = both(self.0[at], reach),
            Err(at) => self.0.insert(at, reach),
        }
    }

    fn find(&self, side: u32) -> Option<&Reach> {
        self.0.binary_search_by_key(&side, |known| known.side).ok().map(|at| &self.0[at])
    }

    /// Whether it goes no further than is tolerated on its side.
    pub fn covers(&self, departure: Departure) -> bool {
        self.holds(&departure.reach())
    }

    fn holds(&self, reach: &Reach) -> bool {
        self.find(reach.side).is_some_and(|known| reach.to <= known.held())
    }

    /// Whether all of `other` is tolerated.
    fn hides(&self, other: &Extent) -> bool {
        !other.0.is_empty() && other.0.iter().all(|reach| self.holds(reach))
    }

    /// Whether some of it is.
    fn hides_some(&self, other: &Extent) -> bool {
        other.0.iter().any(|reach| self.holds(reach))
    }
}

/// What was said of an episode.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    number: u64,
    expected: bool,
    /// The epoch in which it was said: it acts from the next one on.
    epoch: i64,
    alert: Box<str>,
}

/// An episode that was told.
#[derive(Clone, Debug, PartialEq)]
struct Episode {
    detector: Detector,
    /// As in its id, ns.
    onset: i64,
    /// When its extent was last looked at.
    p_value: f64,
    extent: Extent,
    said: Option<Said>,
}

/// A key's episodes, oldest first, and what was said of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episodes(Vec<Episode>);

/// What is in force of a key: how far what may go, and the alerts that were called expected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InForce {
    pub window: Extent,
    pub onset: Extent,
    pub alerts: Vec<Box<str>>,
}

impl InForce {
    pub fn of(&self, detector: Detector) -> &Extent {
        match detector {
            Detector::Window => &self.window,
            Detector::Onset => &self.onset,
        }
    }
}

impl Episodes {
    /// Whether an episode has become so much rarer, ten times, that its extent is to be looked at again.
    pub fn is_news(&self, detector: Detector, onset: i64, p_value: f64) -> bool {
        let known = self.0.iter().find(|of| (of.detector, of.onset) == (detector, onset));
        known.is_none_or(|known| p_value < 0.1 * known.p_value)
    }

    /// Takes in what the columns of an episode do.
    pub fn saw(
        &mut self,
        detector: Detector,
        onset: i64,
        p_value: f64,
        departures: impl Iterator<Item = Departure>,
    ) {
        let at = self.0.iter().position(|of| (of.detector, of.onset) == (detector, onset));
        let at = at.unwrap_or_else(|| {
            let extent = Extent::default();
            self.0.push(Episode { detector, onset, p_value, extent, said: None });
            self.0.len() - 1
        });
        let known = &mut self.0[at];
        known.p_value = known.p_value.min(p_value);
        departures.for_each(|departure| known.extent.widen(departure));
        let unsaid = self.0.iter().filter(|of| of.said.is_none()).count();
        if unsaid > UNSAID_MAX
            && let Some(oldest) = self.0.iter().position(|of| of.said.is_none())
        {
            self.0.remove(oldest);
        }
    }

    /// Takes the last word on an episode: expected or not, or nothing any more. Of an episode that is not known any more
    /// there is nothing to be done.
    pub fn hear(
        &mut self,
        detector: Detector,
        onset: i64,
        (number, alert): (u64, &str),
        expected: Option<bool>,
        epoch: i64,
    ) {
        let found = self.0.iter_mut().find(|of| (of.detector, of.onset) == (detector, onset));
        let Some(found) = found else { return };
        found.said = expected.map(|expected| Said { number, expected, epoch, alert: alert.into() });
        let said = |of: &Episode| of.said.as_ref().map(|said| said.number);
        if self.0.iter().filter_map(said).count() > WORDS_MAX
            && let Some(oldest) = self.0.iter().filter_map(said).min()
        {
            self.0.retain(|of| said(of) != Some(oldest));
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Lets go of what is too old in `epoch`.
    pub fn pass(&mut self, epoch: i64) {
        let is_young = |since: i64| epoch.saturating_sub(since) <= LASTS_EPOCHS;
        self.0.retain(|of| match &of.said {
            Some(said) => is_young(said.epoch),
            None => is_young(of.onset.div_euclid(EPOCH_NS)),
        });
    }

    /// By all that was said.
    pub fn in_force(&self) -> InForce {
        let mut words: Vec<(&Said, &Episode)> =
            self.0.iter().filter_map(|of| Some((of.said.as_ref()?, of))).collect();
        words.sort_by_key(|(said, _)| said.number);
        let mut held: Vec<(&Said, &Episode)> = Vec::new();
        for (said, of) in words {
            if said.expected {
                held.push((said, of));
                continue;
            }
            let mut together = Extent::default();
            let same = |known: &&(&Said, &Episode)| known.1.detector == of.detector;
            held.iter().filter(same).for_each(|(_, known)| together.join(&known.extent));
            if together.hides(&of.extent) {
                held.retain(|known| !(same(&known) && known.1.extent.hides_some(&of.extent)));
            }
        }
        let mut in_force = InForce::default();
        for (said, of) in held {
            in_force.alerts.push(said.alert.clone());
            match of.detector {
                Detector::Window => in_force.window.join(&of.extent),
                Detector::Onset => in_force.onset.join(&of.extent),
            }
        }
        in_force
    }
}

#[cfg(test)]
mod tests;
