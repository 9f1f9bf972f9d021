//! When something sets in: one onset an episode, told by records, without a fitted model.
//!
//! Of each column three things are watched: its value, a fast mean of it, and that mean against the same
//! hours of earlier days. Each has a range so far, and what leaves it is a record:
//!
//! ```text
//! margin(v, R)  = (v - R.high or R.low - v) / width, if v is outside R; at most 9     [1]
//! o_t           = max( margin(x_t, values)                     width: of values
//!                    , margin(m_t, means) / 2                  width: of means
//!                    , margin(m_t, means at this phase) / 10   width: of means; from the 7th day on )
//! m_t           = m_(t-1) + (x_t - m_(t-1)) / min(t + 1, 10)   [unit of the column]
//! score         = max over columns of o_t sqrt(t / (warmup D))                        [1]
//! ```
//!
//! `t` counts the column's cells before this one, `D` the columns that ever had one. In an exchangeable sequence the `t`-th value is a
//! record with chance `1/t` a side (Renyi 1962), so a record is a p-value in itself: the older the range, the
//! less of a margin it takes, and the more columns, the more. The range takes the record in, so what lasts is
//! told once. The third part finds what should have come and did not, inside the range of all hours.
//!
//! Weights and threshold are one choice for everything, made on 29 series of NAB (Lavin and Ahmad 2015), where
//! the standard score is 75; without values, means or hours it is 56, 70 and 68.

mod range;
mod state;
#[cfg(test)]
mod tests;

use crate::types::{EventTime, Watched};
use range::{MARGIN_MAX, Range};

/// A day is cut into so many phases of four hours, UTC.
const PHASES: usize = 6;
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// Cells the fast mean looks back over.
const FAST: u32 = 10;
/// Cells before the ranges begin: twice what the mean needs to settle, and past what a device says as it starts.
const SETTLE: u32 = 2 * FAST;
/// Visits to a phase, each on its own day, before it is compared: a whole week but one, so that the week-end is in.
const VISITS_MIN: u8 = 6;

const FAST_WEIGHT: f64 = 0.5;
const PHASE_WEIGHT: f64 = 0.1;

/// An onset this many times stronger than the last one breaks its quiet time.
const STRONGER: f64 = 2.0;

const THRESHOLD: f64 = 0.05;
/// `1 + 1/2 + ... + 1/t` less `ln t`.
const EULER: f64 = 0.577_215_664_901_532_9;

/// What is the same for all keys of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Cells of a column before its records count.
    warmup: u32,
    /// Margin, over the root of the columns, from which a record is an onset, if its score is enough.
    margin_min: f64,
}

impl Rule {
    /// A range of fewer cells is no range.
    pub const WARMUP_MIN: u32 = 60;

    /// While a range is none yet: cells are taken in, and no record counts.
    pub const WARMING: Rule = Rule { warmup: u32::MAX, margin_min: 0.0 };

    pub fn new(warmup: u32) -> Self {
        Rule { warmup: warmup.max(Self::WARMUP_MIN), margin_min: 0.0 }
    }

    /// Asks for records that are `nats` rarer than any. The `t`-th value of exponential noise, if it is a record, goes
    /// beyond the last one by more than `m` widths with chance `exp(-m H_t)`, `H_t = 1 + 1/2 + ... + 1/t` (Renyi
    /// 1953), so `m = nats / H_t`; `t` is taken to be the warm-up. What age adds to a score does not count
    /// here: an old range is left more rarely, but not by less.
    pub fn rarer_by(self, nats: f64) -> Self {
        if nats <= 0.0 {
            return self;
        }
        Rule { margin_min: nats / (f64::from(self.warmup).ln() + EULER), ..self }
    }

    /// What a margin counts for after so many cells.
    fn age(&self, cells: u32) -> f64 {
        (f64::from(cells) / f64::from(self.warmup)).sqrt()
    }

    /// Rows after an onset in which no other is told, unless it is stronger: two fifths of the warm-up.
    fn quiet(&self) -> u32 {
        (u64::from(self.warmup) * 2 / 5) as u32
    }
}

/// Time of day, in steps of four hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(u8);

impl Phase {
    pub fn of(time: EventTime) -> Self {
        Phase((time.0.rem_euclid(DAY_NS) / (DAY_NS / PHASES as i64)) as u8)
    }
}

/// The records of one key and column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Records {
    /// The fast mean, unit of the column; wider than its ranges, for a tenth of a small step must not be lost.
    fast: f64,
    values: Range,
    /// Of the fast mean, a phase each; together they are its range at any time of day.
    phases: [Range; PHASES],
    /// Cells seen.
    rows: u32,
    /// Times each phase was entered.
    visits: [u8; PHASES],
    /// The phase of the last cell; none before the first.
    phase: u8,
}

impl Default for Records {
    fn default() -> Self {
        Records {
            fast: 0.0,
            values: Range::EMPTY,
            phases: [Range::EMPTY; PHASES],
            rows: 0,
            visits: [0; PHASES],
            phase: u8::MAX,
        }
    }
}

/// How far a cell has left a range.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Left {
    /// In widths.
    margin: f64,
    /// What it counts for.
    weight: f64,
    age: f64,
    watched: Watched,
    value: f32,
    range: Range,
}

impl Left {
    const NOTHING: Left =
        Left { margin: 0.0, weight: 1.0, age: 0.0, watched: Watched::Value, value: 0.0, range: Range::EMPTY };

    /// `o_t sqrt(t / warmup)`.
    fn score(&self) -> f64 {
        self.margin * self.weight * self.age
    }

    fn or(self, margin: f64, weight: f64, watched: Watched, value: f32, range: Range) -> Self {
        let further = margin * weight > self.margin * self.weight;
        if further { Left { margin, weight, watched, value, range, ..self } } else { self }
    }
}

impl Records {
    /// Cells taken in.
    pub fn cells(&self) -> u32 {
        self.rows
    }

    /// Takes a cell in, and gives what it left: nothing, unless it is a record. A missing cell (not a number) changes
    /// nothing.
    fn observe(&mut self, value: f32, phase: Phase, rule: &Rule) -> Left {
        if !value.is_finite() {
            return Left::NOTHING;
        }
        let before = self.rows;
        self.rows = self.rows.saturating_add(1);
        self.fast += (f64::from(value) - self.fast) / f64::from(self.rows.min(FAST));
        let at = usize::from(phase.0);
        if self.phase != phase.0 {
            self.phase = phase.0;
            self.visits[at] = self.visits[at].saturating_add(1);
        }
        if before < SETTLE {
            return Left::NOTHING;
        }
        let mean = self.fast as f32;
        let left = if before < rule.warmup { Left::NOTHING } else { self.left(value, mean, at) };
        self.values.widen(value);
        self.phases[at].widen(mean);
        Left { age: rule.age(before), ..left }
    }

    fn left(&self, value: f32, mean: f32, phase: usize) -> Left {
        let means = self.phases.iter().fold(Range::EMPTY, |all, phase| all.join(*phase));
        let left = Left::NOTHING
            .or(self.values.margin(value, &self.values), 1.0, Watched::Value, value, self.values)
            .or(means.margin(mean, &means), FAST_WEIGHT, Watched::Mean, mean, means);
        if self.visits[phase] <= VISITS_MIN {
            return left;
        }
        let hours = self.phases[phase];
        left.or(hours.margin(mean, &means), PHASE_WEIGHT, Watched::MeanOfHours, mean, hours)
    }
}

/// A key's last onset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quiet {
    /// Rows with a cell since then.
    since: u32,
    /// Its score.
    strongest: f64,
}

impl Default for Quiet {
    fn default() -> Self {
        Quiet { since: u32::MAX, strongest: 0.0 }
    }
}

impl Quiet {
    /// With the row taken in last the quiet time ended: what comes from here on is told again.
    pub fn ends(&self, rule: &Rule) -> bool {
        self.since == rule.quiet()
    }

    /// As a row leaves it that is no onset.
    pub fn passed(self) -> Self {
        Quiet { since: self.since.saturating_add(1), ..self }
    }
}

/// A record, of the column where it is the strongest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    pub score: f64,
    /// What the score had to reach.
    pub threshold: f64,
    pub column: usize,
    pub watched: Watched,
    /// What has left the range that is `low..=high` so far, unit of the column.
    pub value: f32,
    pub low: f32,
    pub high: f32,
}

/// What a row is that has a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    SetsIn(Onset),
    /// More of the last onset, within its quiet time.
    GoesOn(Onset),
}

/// Takes one row of a key in, a cell a column, final and raw, and says whether something sets in with it.
pub fn step(
    rule: &Rule,
    columns: &mut [Records],
    quiet: &mut Quiet,
    cells: &[f32],
    phase: Phase,
) -> Option<Found> {
    debug_assert_eq!(columns.len(), cells.len());
    if !cells.iter().any(|cell| cell.is_finite()) {
        return None;
    }
    *quiet = quiet.passed();
    let (mut column, mut left) = (0, Left::NOTHING);
    for (at, (records, cell)) in columns.iter_mut().zip(cells).enumerate() {
        let own = records.observe(*cell, phase, rule);
        if own.score() > left.score() {
            (column, left) = (at, own);
        }
    }
    if left.margin == 0.0 {
        return None;
    }
    let chances = (columns.iter().filter(|records| records.rows > 0).count() as f64).sqrt();
    // What is beyond all doubt is told whatever the budget: no more is asked than a margin can be.
    let margin_min = rule.margin_min.min(MARGIN_MAX / (2.0 * chances));
    let (score, threshold) = (left.score() / chances, THRESHOLD.max(margin_min * left.weight * left.age));
    if score < threshold {
        return None;
    }
    let Left { watched, value, range: Range { low, high }, .. } = left;
    let onset = Onset { score, threshold, column, watched, value, low, high };
    if quiet.since <= rule.quiet() && score <= STRONGER * quiet.strongest {
        return Some(Found::GoesOn(onset));
    }
    *quiet = Quiet { since: 0, strongest: score };
    Some(Found::SetsIn(onset))
}
