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
//! `t` counts the column's cells before this one, `D` columns. In an exchangeable sequence the `t`-th value is a
//! record with chance `1/t` a side (Renyi 1962), so a record is a p-value in itself: the older the range, the
//! less of a margin it takes, and the more columns, the more. The range takes the record in, so what lasts is
//! told once. The third part finds what should have come and did not, inside the range of all hours.
//!
//! Weights and threshold are one choice for everything, made on 29 series of NAB (Lavin and Ahmad 2015), where
//! the standard score is 75; without values, means or hours it is 56, 70 and 68.

mod state;
#[cfg(test)]
mod tests;

use crate::types::EventTime;

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
/// Beyond this many widths a record is as odd as it gets.
const MARGIN_MAX: f64 = 9.0;
/// Least width of a range, in parts of its largest value: below this an `f32` holds noise of its own making.
const WIDTH_MIN: f64 = 1e-6;

/// An onset this many times stronger than the last one breaks its quiet time.
const STRONGER: f64 = 2.0;

/// What is the same for all keys of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Cells of a column before its records count.
    warmup: u32,
    /// Score from which a record is an onset.
    threshold: f64,
}

impl Rule {
    /// A range of fewer cells is no range.
    pub const WARMUP_MIN: u32 = 60;

    pub fn new(warmup: u32) -> Self {
        Rule { warmup: warmup.max(Self::WARMUP_MIN), threshold: 0.05 }
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

/// Lowest and highest so far, unit of the column.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    const EMPTY: Range = Range { low: f32::INFINITY, high: f32::NEG_INFINITY };

    fn widen(&mut self, value: f32) {
        self.low = self.low.min(value);
        self.high = self.high.max(value);
    }

    fn join(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn width(&self) -> f64 {
        let size = f64::from(self.low.abs().max(self.high.abs()));
        (f64::from(self.high) - f64::from(self.low)).max(WIDTH_MIN * size).max(f64::from(f32::MIN_POSITIVE))
    }

    /// How far `value` is outside, in widths of `unit`; 0 inside, and where nothing is known.
    fn margin(&self, value: f32, unit: &Range) -> f64 {
        if self.low > self.high || (self.low..=self.high).contains(&value) {
            return 0.0;
        }
        let beyond = (f64::from(value) - f64::from(self.high)).max(f64::from(self.low) - f64::from(value));
        (beyond / unit.width()).min(MARGIN_MAX)
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

impl Records {
    /// Takes a cell in and gives `o_t sqrt(t / warmup)`: 0 unless it is a record. A missing cell (not a number)
    /// changes nothing.
    pub fn observe(&mut self, value: f32, phase: Phase, rule: &Rule) -> f64 {
        if !value.is_finite() {
            return 0.0;
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
            return 0.0;
        }
        let mean = self.fast as f32;
        let margin = if before < rule.warmup { 0.0 } else { self.margin(value, mean, at) };
        self.values.widen(value);
        self.phases[at].widen(mean);
        margin * (f64::from(before) / f64::from(rule.warmup)).sqrt()
    }

    fn margin(&self, value: f32, mean: f32, phase: usize) -> f64 {
        let means = self.phases.iter().fold(Range::EMPTY, |all, phase| all.join(*phase));
        let margin = self.values.margin(value, &self.values).max(FAST_WEIGHT * means.margin(mean, &means));
        if self.visits[phase] <= VISITS_MIN {
            return margin;
        }
        margin.max(PHASE_WEIGHT * self.phases[phase].margin(mean, &means))
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

/// A record, of the column where it is the strongest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Onset {
    pub score: f64,
    pub column: usize,
}

/// Takes one row of a key in, a cell a column, final and raw, and says whether something sets in with it.
pub fn step(
    rule: &Rule,
    columns: &mut [Records],
    quiet: &mut Quiet,
    cells: &[f32],
    phase: Phase,
) -> Option<Onset> {
    debug_assert_eq!(columns.len(), cells.len());
    if !cells.iter().any(|cell| cell.is_finite()) {
        return None;
    }
    quiet.since = quiet.since.saturating_add(1);
    let chances = (columns.len() as f64).sqrt();
    let mut onset = Onset { score: 0.0, column: 0 };
    for (column, (records, cell)) in columns.iter_mut().zip(cells).enumerate() {
        let score = records.observe(*cell, phase, rule) / chances;
        if score > onset.score {
            onset = Onset { score, column };
        }
    }
    let heard = quiet.since > rule.quiet() || onset.score > STRONGER * quiet.strongest;
    if onset.score < rule.threshold || !heard {
        return None;
    }
    *quiet = Quiet { since: 0, strongest: onset.score };
    Some(onset)
}
