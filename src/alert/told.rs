//! What was told of a key's alerts, so that what late data changes is told under the same ids.
//!
//! Verdicts show [`Spell`]s; receivers know alerts. A spell that late data moves, lengthens or ends is the
//! alert it overlaps, in a new revision; one that late data takes away is retracted; one that it brings is
//! raised. An id, once told, stays, even when the window it was made of no longer opens the episode.

mod state;

use crate::alert::lifecycle::{Spell, Turn};
use crate::types::{AlertState, EPOCH_NS, EventTime, Resolution};

/// An alert as it was last told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Start of the window its id is made of, ns.
    pub onset: i64,
    pub revision: u32,
    pub state: AlertState,
    /// The spell it stands for, by the end of the window that opened it, ns.
    pub opened: i64,
    /// End of the last window that it was told of, ns.
    pub until: i64,
    /// What was told of how odd it is, as in [`Spell`].
    pub odd: u32,
    pub newest_odd: i64,
    pub p_value_min: f64,
}

/// A change of state to announce.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    pub state: AlertState,
    pub revision: u32,
    pub onset: EventTime,
    pub p_value_min: f64,
    /// Anomalous windows so far, where windows say nothing of each other; else 0.
    pub odd: u32,
    /// End of the window that opened the episode, ns.
    pub opened: i64,
    /// Why it is over, if it is.
    pub resolution: Option<Resolution>,
}

/// Tells what the newest verdict of a key did. Alerts that ended before `horizon` (ns) can no longer
/// change and are forgotten.
pub fn tell(told: &mut Vec<Told>, turn: Turn, horizon: i64) -> Change {
    match turn {
        Turn::Opens(spell) => raise(told, spell, horizon),
        Turn::Closes(spell) => {
            let firing = told.iter().rposition(|known| known.state.is_firing());
            match firing {
                Some(at) => revise_one(&mut told[at], spell),
                None => raise(told, spell, horizon),
            }
        }
    }
}

/// Tells what became of the spells `before` now that verdicts show `after`; both in order of time.
pub fn revise(told: &mut Vec<Told>, before: &[Spell], after: &[Spell], horizon: i64) -> Vec<Change> {
    let mut changes = Vec::new();
    let missing_in = |all: &[Spell], spell: &Spell| !all.iter().any(|other| same_times(other, spell));
    let mut gone: Vec<Spell> = before.iter().filter(|spell| missing_in(after, spell)).copied().collect();
    for spell in after.iter().filter(|spell| missing_in(before, spell)) {
        let same = gone.iter().position(|other| overlap(other, spell)).map(|at| gone.remove(at));
        let known = same.and_then(|other| told.iter().rposition(|known| known.opened == other.opened));
        match known {
            Some(at) => changes.push(revise_one(&mut told[at], *spell)),
            None => {
                changes.push(raise(told, Spell { closed: None, resolution: None, ..*spell }, horizon));
                if spell.closed.is_some() {
                    changes.extend(told.last_mut().map(|known| revise_one(known, *spell)));
                }
            }
        }
    }
    for spell in after.iter().filter(|spell| spell.closed.is_none() && !missing_in(before, spell)) {
        let known = told.iter_mut().rev().find(|known| known.opened == spell.opened);
        let worse = known.filter(|known| known.state.is_firing() && known.is_worse_in(spell));
        changes.extend(worse.map(|known| change(known, AlertState::Revised, *spell)));
    }
    for spell in gone {
        let known = told.iter_mut().rev().find(|known| known.opened == spell.opened);
        changes.extend(known.map(|known| change(known, AlertState::Retracted, spell)));
    }
    changes
}

impl Told {
    /// Another transaction of the episode is odd. Told of is when there are twice as many as were last told of, each
    /// that is rarer by ten, and otherwise one a minute of event time.
    fn is_worse_in(&self, spell: &Spell) -> bool {
        spell.odd > self.odd
            && (spell.odd >= 2 * self.odd
                || spell.p_value_min <= 0.1 * self.p_value_min
                || spell.newest_odd >= self.newest_odd.saturating_add(EPOCH_NS))
    }
}

/// How odd it was may have changed: where windows overlap, that alone is not worth a message.
fn same_times(a: &Spell, b: &Spell) -> bool {
    (a.first_window, a.opened, a.closed, a.resolution) == (b.first_window, b.opened, b.closed, b.resolution)
}

fn overlap(a: &Spell, b: &Spell) -> bool {
    let end = |spell: &Spell| spell.closed.unwrap_or(i64::MAX);
    a.first_window < end(b) && b.first_window < end(a)
}

/// Leaves the alert last in `told`.
fn raise(told: &mut Vec<Told>, spell: Spell, horizon: i64) -> Change {
    told.retain(|known| {
        known.state.is_firing() || known.until >= horizon || known.onset == spell.first_window
    });
    let retracted = |known: &Told| known.onset == spell.first_window && known.state == AlertState::Retracted;
    let state = match told.iter().position(retracted) {
        Some(at) => {
            let again = told.remove(at);
            told.push(again);
            AlertState::Revised
        }
        None => {
            told.push(Told {
                onset: free_onset(told, spell.first_window),
                revision: 0,
                state: AlertState::Raised,
                opened: spell.opened,
                until: spell.opened,
                odd: spell.odd,
                newest_odd: spell.newest_odd,
                p_value_min: spell.p_value_min,
            });
            AlertState::Raised
        }
    };
    let at = told.len() - 1;
    change(&mut told[at], state, spell)
}

/// Two alerts of a key never share an id: late data may have moved another one off this window.
fn free_onset(told: &[Told], wanted: i64) -> i64 {
    let taken = |onset: i64| told.iter().any(|known| known.onset == onset);
    (wanted..).find(|&onset| !taken(onset)).unwrap_or(wanted)
}

fn revise_one(known: &mut Told, spell: Spell) -> Change {
    let state = if spell.closed.is_some() { AlertState::Resolved } else { AlertState::Revised };
    change(known, state, spell)
}

fn change(known: &mut Told, state: AlertState, spell: Spell) -> Change {
    known.revision += 1;
    known.state = state;
    known.opened = spell.opened;
    known.until = spell.closed.unwrap_or(spell.opened);
    (known.odd, known.newest_odd, known.p_value_min) = (spell.odd, spell.newest_odd, spell.p_value_min);
    Change {
        state,
        revision: known.revision,
        onset: EventTime(known.onset),
        p_value_min: spell.p_value_min,
        odd: spell.odd,
        opened: spell.opened,
        resolution: spell.resolution.filter(|_| state == AlertState::Resolved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertState::*;

    fn spell(first_window: i64, opened: i64, closed: Option<i64>) -> Spell {
        let resolution = closed.map(|_| Resolution::Calm);
        Spell { first_window, opened, closed, resolution, p_value_min: 1e-5, odd: 0, newest_odd: 0 }
    }

    /// State, revision and onset of each change.
    fn brief(changes: &[Change]) -> Vec<(AlertState, u32, i64)> {
        changes.iter().map(|change| (change.state, change.revision, change.onset.0)).collect()
    }

    fn raised(spell: Spell) -> Vec<Told> {
        let mut told = Vec::new();
        assert_eq!(brief(&[tell(&mut told, Turn::Opens(spell), 0)]), [(Raised, 1, spell.first_window)]);
        told
    }

    #[test]
    fn an_episode_that_late_data_takes_away_is_retracted_and_may_come_back_under_its_id() {
        let one = spell(10, 30, None);
        let mut told = raised(one);
        assert_eq!(brief(&revise(&mut told, &[one], &[], 0)), [(Retracted, 2, 10)]);
        let again = spell(10, 50, None);
        assert_eq!(brief(&[tell(&mut told, Turn::Opens(again), 0)]), [(Revised, 3, 10)]);
        assert_eq!(brief(&[tell(&mut told, Turn::Closes(spell(10, 50, Some(90))), 0)]), [(Resolved, 4, 10)]);
    }

    #[test]
    fn an_episode_that_begins_earlier_keeps_its_id() {
        let one = spell(10, 30, None);
        let mut told = raised(one);
        let earlier = spell(4, 20, None);
        assert_eq!(brief(&revise(&mut told, &[one], &[earlier], 0)), [(Revised, 2, 10)]);
        assert_eq!(brief(&revise(&mut told, &[earlier], &[spell(4, 20, Some(60))], 0)), [(Resolved, 3, 10)]);
        assert_eq!(brief(&revise(&mut told, &[spell(4, 20, Some(60))], &[earlier], 0)), [(Revised, 4, 10)]);
    }

    #[test]
    fn an_episode_that_late_data_brings_is_raised_and_what_did_not_change_is_not_told() {
        let one = spell(10, 30, Some(50));
        let mut told = raised(spell(10, 30, None));
        tell(&mut told, Turn::Closes(one), 0);
        assert_eq!(brief(&revise(&mut told, &[one], &[one], 0)), []);
        let past = spell(60, 80, Some(100));
        let changes = revise(&mut told, &[one], &[one, past], 0);
        assert_eq!(brief(&changes), [(Raised, 1, 60), (Resolved, 2, 60)]);
    }

    #[test]
    fn an_episode_that_splits_is_told_under_two_ids() {
        let one = spell(10, 30, None);
        let mut told = raised(one);
        let parts = [spell(20, 30, Some(50)), spell(60, 80, None)];
        assert_eq!(brief(&revise(&mut told, &[one], &parts, 0)), [(Resolved, 2, 10), (Raised, 1, 60)]);
        // The window of the first alert's id opens another one: the id is taken.
        let third = [spell(10, 15, Some(19)), parts[0], parts[1]];
        assert_eq!(brief(&revise(&mut told, &parts, &third, 0)), [(Raised, 1, 11), (Resolved, 2, 11)]);
    }

    #[test]
    fn why_it_is_over_is_told_and_told_again_when_late_data_changes_it() {
        let stood = Spell { resolution: Some(Resolution::Standing), ..spell(10, 30, Some(90)) };
        let mut told = raised(spell(10, 30, None));
        assert_eq!(tell(&mut told, Turn::Closes(stood), 0).resolution, Some(Resolution::Standing));
        let calm = spell(10, 30, Some(90));
        let changes = revise(&mut told, &[stood], &[calm], 0);
        assert_eq!(brief(&changes), [(Resolved, 3, 10)]);
        assert_eq!(changes[0].resolution, Some(Resolution::Calm));
        assert_eq!(revise(&mut told, &[calm], &[], 0)[0].resolution, None, "a retraction resolves nothing");
    }

    #[test]
    fn further_odd_transactions_are_told_of_and_a_burst_of_them_not_one_by_one() {
        let of = |odd: u32, at_s: i64, p_value_min: f64| Spell {
            odd,
            newest_odd: at_s * 1_000_000_000,
            p_value_min,
            ..spell(10, 30, None)
        };
        let mut told = raised(of(1, 0, 1e-5));
        let mut before = of(1, 0, 1e-5);
        let mut next = |odd, at_s, p_value_min| {
            let after = of(odd, at_s, p_value_min);
            let changes = revise(&mut told, &[before], &[after], 0);
            before = after;
            changes.iter().map(|change| (change.state, change.revision, change.odd)).collect::<Vec<_>>()
        };
        assert_eq!(next(1, 0, 1e-5), [], "nothing new");
        assert_eq!(next(2, 1, 1e-5), [(Revised, 2, 2)], "twice as many");
        assert_eq!(next(3, 2, 1e-5), []);
        assert_eq!(next(4, 3, 1e-5), [(Revised, 3, 4)]);
        assert_eq!(next(5, 4, 1e-6), [(Revised, 4, 5)], "ten times rarer");
        assert_eq!(next(6, 63, 1e-6), [], "within a minute of what was told");
        assert_eq!(next(7, 64, 1e-6), [(Revised, 5, 7)]);
        assert_eq!(next(6, 300, 1e-6), [], "fewer than were told, by a late row");
    }

    #[test]
    fn what_ended_before_the_horizon_is_forgotten() {
        let mut told = raised(spell(10, 30, None));
        tell(&mut told, Turn::Closes(spell(10, 30, Some(50))), 0);
        tell(&mut told, Turn::Opens(spell(100, 120, None)), 60);
        assert_eq!(told.len(), 1);
    }
}
