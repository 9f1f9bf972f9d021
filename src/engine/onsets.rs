//! What sets in: every key's final cells, raw, held against the ranges of all of its own before; see [`crate::judge::onset`].
//!
//! A key's ranges mean something once they are of so many cells and of so much event time, whichever comes later: of a
//! key that sends each second a few hundred cells are minutes, and of one that sends each hour a day is nothing. How
//! many cells that took is the key's own warm-up, so that a grid finer than a device's rhythm delays nothing.
//!
//! A cell is taken in when the watermark passes it, once. Rows behind the watermark change no range and tell
//! nothing, whether their cell was taken in or not.

mod state;
mod tell;

use std::collections::BTreeMap;

use crate::config::plan::OnsetPlan;
use crate::engine::feedback::{Tolerances, is_expected};
use crate::engine::scoring::Scoring;
use crate::judge::onset::{self, Found, Onset, Phase, Quiet, Records, Rule};
use crate::types::EventTime;
use crate::window::grow::grow;
use crate::window::keys::KeyIndex;

/// A key's warm-up and last onset.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Own {
    /// Its first cell; `i64::MIN` before.
    first: i64,
    /// Cells it took until its ranges meant something; 0 until then.
    warmup: u32,
    quiet: Quiet,
}

/// An alert that is open: what was told last.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    /// Cell in which it set in, and the one of this revision.
    since: i64,
    cell: i64,
    revision: u32,
    onset: Onset,
}

/// What a final cell did to its key's alert.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Turn {
    key: KeyIndex,
    open: Open,
    does: Does,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    SetsIn,
    /// Nobody is told of that.
    GoesOn,
    /// With the cell that was the last of its quiet time.
    Ends(i64),
}

pub(crate) struct Onsets {
    plan: Option<OnsetPlan>,
    grid_ns: i64,
    /// keys x columns; of no key if there is no plan
    records: Vec<Records>,
    /// A key each.
    own: Vec<Own>,
    open: BTreeMap<KeyIndex, Open>,
    /// How rare the alert budget asks onsets to be, nats; constant inside an epoch.
    pub nats: f64,
    /// A row without flags. No state.
    row: Vec<f32>,
    /// Of the cell that is being folded. No state.
    turns: Vec<Turn>,
}

impl Onsets {
    pub fn new(plan: Option<OnsetPlan>, grid_ns: i64, columns: usize) -> Self {
        Onsets {
            plan,
            grid_ns,
            records: Vec::new(),
            own: Vec::new(),
            open: BTreeMap::new(),
            nats: 0.0,
            row: vec![f32::NAN; columns],
            turns: Vec::new(),
        }
    }

    /// What a key costs, bytes.
    pub fn key_bytes(columns: usize) -> usize {
        size_of::<Own>() + columns * size_of::<Records>()
    }

    pub fn is_on(&self) -> bool {
        self.plan.is_some()
    }

    pub fn add_key(&mut self) {
        if self.is_on() {
            let columns = self.row.len();
            grow(&mut self.own, 1);
            self.own.push(Own { first: i64::MIN, warmup: 0, quiet: Quiet::default() });
            grow(&mut self.records, columns);
            self.records.extend(std::iter::repeat_n(Records::default(), columns));
        }
    }

    /// Takes a final cell of a key; cells of a key come in order of time. A flag, as far as `flags` tell, has no
    /// range. What goes no further than `tolerances` say widens the ranges, and is nothing that sets in.
    #[inline]
    pub fn take(
        &mut self,
        key: KeyIndex,
        cell: i64,
        values: &[f32],
        flags: &[bool],
        tolerances: &Tolerances,
    ) {
        let Some(plan) = self.plan else { return };
        let (at, columns) = (key as usize, self.row.len());
        self.row.copy_from_slice(values);
        let of_flags = self.row.iter_mut().zip(flags).filter(|(_, flag)| **flag);
        of_flags.for_each(|(value, _)| *value = f32::NAN);
        let records = &mut self.records[at * columns..][..columns];
        let own = &mut self.own[at];
        let rule = own.rule(cell, self.grid_ns, plan, records).rarer_by(self.nats);
        let phase = Phase::of(EventTime(cell * self.grid_ns));
        let quiet = own.quiet;
        match onset::step(&rule, records, &mut own.quiet, &self.row, phase) {
            Some(Found::SetsIn(onset)) if is_expected(tolerances, key, &onset) => own.quiet = quiet.passed(),
            Some(Found::SetsIn(onset)) => {
                let before = self.open.get(&key);
                let (since, revision) = before.map_or((cell, 1), |open| (open.since, open.revision + 1));
                let open = Open { since, cell, revision, onset };
                self.open.insert(key, open);
                self.turns.push(Turn { key, open, does: Does::SetsIn });
                return;
            }
            Some(Found::GoesOn(onset)) => {
                if let Some(open) = self.open.get(&key) {
                    self.turns.push(Turn { key, open: Open { onset, ..*open }, does: Does::GoesOn });
                }
            }
            None => {}
        }
        if own.quiet.ends(&rule)
            && let Some(mut open) = self.open.remove(&key)
        {
            open.revision += 1;
            self.turns.push(Turn { key, open, does: Does::Ends(cell) });
        }
    }

    /// A column that was not known to be a flag has none of its ranges left.
    pub fn forget(&mut self, flags: &[bool]) {
        if !flags.contains(&true) {
            return;
        }
        for records in self.records.chunks_exact_mut(flags.len()) {
            let of_flags = records.iter_mut().zip(flags).filter(|(_, flag)| **flag);
            of_flags.for_each(|(records, _)| *records = Records::default());
        }
    }
}

impl Scoring {
    /// Which columns are flags, as its model was fitted: they were only ever 0 or 1.
    pub fn flags(&self) -> &[bool] {
        self.model().map_or(&[], |model| &model.prior.flags)
    }
}

impl Own {
    /// By what the cell is judged that is taken in next.
    fn rule(&mut self, cell: i64, grid_ns: i64, plan: OnsetPlan, records: &[Records]) -> Rule {
        if self.warmup > 0 {
            return Rule::new(self.warmup);
        }
        if self.first == i64::MIN {
            self.first = cell;
        }
        let age_ns = u128::from(cell.abs_diff(self.first)) * grid_ns.unsigned_abs() as u128;
        if age_ns < plan.span.as_nanos() {
            return Rule::WARMING;
        }
        let cells = records.iter().map(Records::cells).max().unwrap_or_default();
        self.warmup = cells.max(plan.cells);
        Rule::new(self.warmup)
    }
}

#[cfg(test)]
mod tests;
