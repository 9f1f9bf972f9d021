//! The search for cohorts on training windows, by how each key's last quarter does under densities fitted on the first
//! three.
//!
//! Keys are grouped by [`features`], then by which group's density makes their windows likeliest, refitted in turn
//! (k-means with densities for centres). Numbers of groups are tried by doubling, as long as keys gain by it. Where
//! keys are few, each is tried alone too. Densities of the search have no codes, which takes a part of the time; so
//! what is said of them is of such densities.
//!
//! Likelihood alone decides wrong: of a key with few windows the common density, being broad, is likelier, and finds
//! less. Hence the second figure, [`Showing::separation`]: whether what the other keys do would be found odd. Where keys
//! are alike, no density tells them apart, and one for them all knows most.

use ndarray::ArrayView2;

use super::EVERYONE;
use super::features::features;
use super::found::{Cohorts, Found};
use super::group::grouped;
use super::keys::{Asked, Key, Rows, divided, of_others, thinned};
use super::measure::{Showing, are_apart, is_better, is_better_alone, mean, separation};
use crate::model::pyramid::{Pyramid, Settings, Shape};
use crate::model::{FitError, MIN_ROWS};

/// Numbers of groups in a row that gain nothing before no more are tried.
const MISSES: usize = 2;
/// Rounds of refitting groups.
const ROUNDS: usize = 3;
/// Keys that are tried alone, at most.
const ALONE_MAX: usize = 128;
/// Windows a density of the search is fitted on, at most.
const FIT_ROWS: usize = 6000;

struct Search<'a> {
    rows: &'a Rows<'a>,
    everyone: Pyramid,
    keys: Vec<Key>,
}

/// Groups of keys, by index in [`Search::keys`], with their densities.
struct Grouping {
    group: Vec<usize>,
    densities: Vec<Pyramid>,
    /// By key.
    showings: Vec<Showing>,
}

/// A key with a density of its own.
struct Alone {
    at: usize,
    showing: Showing,
    /// From other keys of its group.
    apart: f64,
    /// Held-back windows are likelier than by its group's density.
    is_likelier: bool,
}

/// Finds at most `most` cohorts among `keys` keys; `like` is what all windows were fitted to, for its layout and levels.
///
/// The same windows give the same cohorts.
///
/// # Errors
/// If a density cannot be fitted.
pub fn find(rows: &Rows<'_>, keys: usize, like: &Pyramid, most: usize) -> Result<Found, FitError> {
    let mut found = Found { cohort: vec![EVERYONE; keys], showings: Vec::new() };
    let (known, joining) = divided(rows, keys, like);
    if known.len() < 2 || most == 0 {
        return Ok(found);
    }
    let search = Search::new(rows, known, like)?;
    let grouping = search.group(most)?;
    let alone = search.alone(&grouping, like, most)?;
    let has_groups = grouping.densities.len() > 1;
    let mut cohorts = Cohorts::default();
    for (at, key) in search.keys.iter().enumerate() {
        found.cohort[key.key] = match alone[at] {
            Some(showing) => cohorts.add(grouping.densities.len() + at, Some(showing), key.count),
            None if has_groups => cohorts.add(grouping.group[at], Some(grouping.showings[at]), key.count),
            None => EVERYONE,
        };
    }
    for key in joining.iter().filter(|_| has_groups) {
        found.cohort[key.key] = cohorts.add(search.likeliest(key, &grouping.densities), None, key.count);
    }
    cohorts.close(&mut found);
    Ok(found)
}

impl<'a> Search<'a> {
    fn new(rows: &'a Rows<'a>, mut keys: Vec<Key>, like: &Pyramid) -> Result<Self, FitError> {
        let everyone = fitted(rows, keys.iter(), like)?;
        let shapes = shapes(&everyone);
        for asked in keys.iter_mut().flat_map(|key| [&mut key.asked, &mut key.late, &mut key.others]) {
            let windows = rows.windows(&asked.rows, everyone.dimension());
            asked.everyone = everyone.log_likelihoods(&windows, &shapes);
        }
        Ok(Search { rows, everyone, keys })
    }

    fn one_group(&self) -> Grouping {
        let group = vec![0; self.keys.len()];
        let densities = vec![self.everyone.clone()];
        let showings = self.keys.iter().map(|key| self.showing(key, &self.everyone)).collect();
        Grouping { group, densities, showings }
    }

    /// The smallest number of groups that more would not better.
    fn group(&self, most: usize) -> Result<Grouping, FitError> {
        let points: Vec<Vec<f64>> = self.keys.iter().map(|key| self.features(key)).collect();
        let (mut best, mut groups, mut misses) = (self.one_group(), 2, 0);
        while groups <= most && groups < self.keys.len() && misses < MISSES {
            let tried = self.refined(grouped(&points, groups))?;
            if is_better(&best.showings, &tried.showings) {
                (best, misses) = (tried, 0);
            } else {
                misses += 1;
            }
            groups *= 2;
        }
        Ok(best)
    }

    fn features(&self, key: &Key) -> Vec<f64> {
        let (columns, width) = (&self.everyone.columns, self.everyone.dimension());
        let windows = key.asked.rows.iter().map(|row| self.rows.window(*row, width));
        features(windows, columns.columns, &columns.scored)
    }

    /// Lets keys go to the likeliest group and groups be fitted anew, in turn.
    fn refined(&self, mut group: Vec<usize>) -> Result<Grouping, FitError> {
        let mut densities = self.fitted_groups(&mut group)?;
        for _ in 0..ROUNDS {
            let likeliest: Vec<usize> = self.keys.iter().map(|key| self.likeliest(key, &densities)).collect();
            if likeliest == group {
                break;
            }
            group = likeliest;
            densities = self.fitted_groups(&mut group)?;
        }
        let own = self.keys.iter().zip(&group);
        let showings = own.map(|(key, group)| self.showing(key, &densities[*group])).collect();
        Ok(Grouping { group, densities, showings })
    }

    /// A density a group; a group with too few windows for one is dissolved among the others.
    fn fitted_groups(&self, group: &mut [usize]) -> Result<Vec<Pyramid>, FitError> {
        let groups = group.iter().max().map_or(0, |last| last + 1);
        let (mut densities, mut place) = (Vec::new(), vec![None; groups]);
        for (at, place) in place.iter_mut().enumerate() {
            let own = || self.keys.iter().zip(&*group).filter(|(_, group)| **group == at).map(|(key, _)| key);
            if own().map(|key| key.early.len()).sum::<usize>() >= MIN_ROWS {
                densities.push(fitted(self.rows, own(), &self.everyone)?);
                *place = Some(densities.len() - 1);
            }
        }
        if densities.is_empty() {
            densities.push(self.everyone.clone());
        }
        for (key, group) in self.keys.iter().zip(group) {
            *group = place[*group].unwrap_or_else(|| self.likeliest(key, &densities));
        }
        Ok(densities)
    }

    fn likeliest(&self, key: &Key, densities: &[Pyramid]) -> usize {
        let of: Vec<f64> = densities.iter().map(|of| mean(&self.gains(&key.asked, of))).collect();
        (1..of.len()).fold(0, |best, next| if of[next] > of[best] { next } else { best })
    }

    /// By key: how a density of its own does, where that is better than its group's.
    fn alone(
        &self,
        grouping: &Grouping,
        like: &Pyramid,
        most: usize,
    ) -> Result<Vec<Option<Showing>>, FitError> {
        let mut alone = vec![None; self.keys.len()];
        if self.keys.len() > ALONE_MAX {
            return Ok(alone);
        }
        let mut tried = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            let shares = grouping.group.iter().filter(|group| **group == grouping.group[at]).count() > 1;
            if shares && like.learnable(key.count) && key.early.len() >= MIN_ROWS {
                let own = fitted(self.rows, std::iter::once(key), &self.everyone)?;
                tried.push(self.try_alone(at, &own, grouping));
            }
        }
        let all = are_apart(&tried.iter().map(|of| of.apart).collect::<Vec<_>>());
        let mut better: Vec<Alone> = tried.into_iter().filter(|of| all || of.is_likelier).collect();
        // If there is no room for all, those that are least like their groups come first.
        better.sort_by(|a, b| b.apart.total_cmp(&a.apart).then(a.at.cmp(&b.at)));
        let groups = if grouping.densities.len() > 1 { grouping.densities.len() } else { 0 };
        for of in better.into_iter().take(most.saturating_sub(groups)) {
            alone[of.at] = Some(of.showing);
        }
        Ok(alone)
    }

    fn try_alone(&self, at: usize, own: &Pyramid, grouping: &Grouping) -> Alone {
        let (key, place) = (&self.keys[at], grouping.group[at]);
        let group = &grouping.densities[place];
        let steps = |of: &Asked| -> Vec<f64> {
            let (own, group) = (self.gains(of, own), self.gains(of, group));
            own.iter().zip(&group).map(|(own, group)| own - group).collect()
        };
        let mates = self.keys.iter().zip(&grouping.group).filter(|(_, group)| **group == place);
        let late: Vec<(usize, usize)> =
            mates.flat_map(|(of, _)| of.late.rows.iter().map(|row| (of.key, *row))).collect();
        let mates = Asked::of(of_others(&late, key.key, key.late.rows.len()));
        let of_late = steps(&key.late);
        let apart = separation(&of_late, &steps(&mates));
        Alone { at, showing: self.showing(key, own), apart, is_likelier: is_better_alone(&of_late) }
    }

    fn showing(&self, key: &Key, density: &Pyramid) -> Showing {
        let gains = self.gains(&key.late, density);
        Showing { gain: mean(&gains), separation: separation(&gains, &self.gains(&key.others, density)) }
    }

    /// How much likelier these windows are than under everyone's density, over the levels both have, nats a number.
    fn gains(&self, asked: &Asked, density: &Pyramid) -> Vec<f64> {
        let windows = self.rows.windows(&asked.rows, density.dimension());
        let (all, own) = (shapes(&self.everyone), shapes(density));
        let shared: Vec<Shape> = all.iter().copied().filter(|shape| own.contains(shape)).collect();
        let found = density.log_likelihoods(&windows, &shared);
        // Not known of a key that joins what was found, and of a group's.
        let everyone = match shared == all && !asked.everyone.is_empty() {
            true => &asked.everyone,
            false => &self.everyone.log_likelihoods(&windows, &shared),
        };
        found.iter().zip(everyone).map(|(own, everyone)| own - everyone).collect()
    }
}

fn shapes(of: &Pyramid) -> Vec<Shape> {
    of.levels.iter().map(|level| level.shape).collect()
}

/// A density of the first three quarters of these keys' windows.
fn fitted<'k>(
    rows: &Rows<'_>,
    keys: impl Iterator<Item = &'k Key>,
    like: &Pyramid,
) -> Result<Pyramid, FitError> {
    let mut early: Vec<usize> = keys.flat_map(|key| key.early.iter().copied()).collect();
    early.sort_unstable();
    let (width, columns) = (like.dimension(), &like.columns);
    let z = rows.windows(&thinned(&early, FIT_ROWS), width);
    let view = ArrayView2::from_shape((z.len() / width, width), &z).map_err(|_| FitError::NoAxes)?;
    Pyramid::densities(view, (columns.cells, columns.columns, &columns.context), &Settings::QUICK)
}
