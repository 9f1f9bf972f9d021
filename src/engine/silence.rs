//! Keys that fall silent: how often each one sends, and since when a row of it is due.
//!
//! All of it is a function of final rows and the watermark. A cell that the watermark has passed is final,
//! so a key is silent if the watermark reaches the time by which a row was due and none of its final rows
//! lies in between. That is looked at where one cell ends and the next begins, however far a row or the
//! end of a wait moves the watermark at once, so batches and shards cannot change it.

mod state;
mod tell;

use crate::window::grow::grow;
use crate::window::keys::KeyIndex;

/// A key's rhythm is known from so many gaps on.
const GAPS_MIN: u16 = 10;
/// Gaps that are remembered: an older one fades.
const GAPS_MEMORY: f32 = 16.0;
/// A row is due after so many gaps, each as long as a long one of this key.
const GAPS_MISSED: f64 = 5.0;
/// How many mean deviations make a long gap of a mean one. At 3, a key that sends at random times
/// (exponential gaps) is called silent wrongly once in ten million gaps.
const DEVIATIONS: f64 = 3.0;
/// Nobody is told of a shorter silence: networks and devices restart.
const PATIENCE_NS: f64 = 30e9;

/// So many silences that ended by themselves are a habit, and then twice the longest of them is waited for ...
const HABIT: u8 = 3;
const HABIT_WAITS: f64 = 2.0;
/// ... until so many gaps in a row were none.
const HABIT_FADES: u16 = 1_000;

/// When a key that says nothing is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Never.
    Endless,
    /// After so many ns.
    Fixed(i64),
    /// As its own rhythm says.
    Learnt,
}

/// How often a key sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rhythm {
    /// Newest final row, ns; `i64::MIN` before the first one.
    last: i64,
    /// Gap between two cells with rows, ns: mean and mean deviation, older ones fading.
    gap: f32,
    deviation: f32,
    /// Longest silence that ended since the last habit faded, ns.
    pause: f32,
    /// Gaps seen, up to what matters.
    gaps: u16,
    /// Gaps since the last silence.
    calm: u16,
    /// Silences that ended, up to what matters.
    pauses: u8,
    /// Somebody was told that it is silent, and it has been since.
    silent: bool,
}

/// What somebody was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent {
    pub key: KeyIndex,
    pub last_seen: i64,
    pub every_ns: i64,
    pub due: i64,
}

#[derive(Debug)]
pub(crate) struct Silence {
    patience: Patience,
    /// A key each; none if patience is endless.
    rhythms: Vec<Rhythm>,
    silent: Vec<Silent>,
    /// Silent keys that sent again (ns), and nobody was told yet.
    returned: Vec<(KeyIndex, i64)>,
    /// No key that is not silent yet is due before.
    next_due: i64,
    /// Key and cell of the newest row: what else it has in that cell is no gap. No state: a cell is
    /// released as a whole.
    latest: Option<(KeyIndex, i64)>,
}

impl Rhythm {
    const NEW: Rhythm = Rhythm {
        last: i64::MIN,
        gap: 0.0,
        deviation: 0.0,
        pause: 0.0,
        gaps: 0,
        calm: 0,
        pauses: 0,
        silent: false,
    };

    /// Learns from a row in another cell than the last one. A gap that was too long for the rhythm is no part
    /// of it: after an outage, the next one is noticed as soon. If it keeps happening it is the key's way.
    fn observe(&mut self, time: i64) {
        if self.last == i64::MIN {
            return;
        }
        let gap = (time - self.last) as f32;
        if self.wait().is_some_and(|wait| f64::from(gap) > wait) {
            self.pause = self.pause.max(gap);
            (self.pauses, self.calm) = ((self.pauses + 1).min(HABIT), 0);
            return;
        }
        self.calm = self.calm.saturating_add(1).min(HABIT_FADES);
        if self.calm == HABIT_FADES {
            (self.pauses, self.pause) = (0, 0.0);
        }
        self.gaps = self.gaps.saturating_add(1).min(GAPS_MEMORY as u16);
        let weight = 1.0 / f32::from(self.gaps);
        if self.gaps > 1 {
            self.deviation += weight * ((gap - self.gap).abs() - self.deviation);
        }
        self.gap += weight * (gap - self.gap);
    }

    /// How long a row may take by the rhythm alone, ns; `None` for a key that never had one.
    fn wait(&self) -> Option<f64> {
        let (gap, deviation) = (f64::from(self.gap), f64::from(self.deviation));
        let regular = self.gaps >= GAPS_MIN && deviation <= gap;
        regular.then(|| (GAPS_MISSED * (gap + DEVIATIONS * deviation)).max(PATIENCE_NS))
    }

    /// From one row to the next, and from the last one to the time by which another is due, ns.
    fn expects(&self, patience: Patience) -> Option<(i64, i64)> {
        if self.last == i64::MIN {
            return None;
        }
        match patience {
            Patience::Endless => None,
            Patience::Fixed(ns) => Some((ns, ns)),
            Patience::Learnt => {
                let habit = if self.pauses < HABIT { 0.0 } else { HABIT_WAITS * f64::from(self.pause) };
                Some((self.gap as i64, self.wait()?.max(habit) as i64))
            }
        }
    }

    /// When another row is due if it is not silent already.
    fn due(&self, patience: Patience) -> Option<i64> {
        let (_, wait) = self.expects(patience).filter(|_| !self.silent)?;
        Some(self.last.saturating_add(wait))
    }
}

impl Silence {
    pub fn new(patience: Patience) -> Self {
        Silence {
            patience,
            rhythms: Vec::new(),
            silent: Vec::new(),
            returned: Vec::new(),
            next_due: i64::MAX,
            latest: None,
        }
    }

    /// What a key costs, bytes.
    pub const KEY_BYTES: usize = size_of::<Rhythm>();

    /// Keys that are silent.
    pub fn count(&self) -> u64 {
        self.silent.len() as u64
    }

    /// Nothing can be told before this; `i64::MAX` if there is nothing to wait for.
    pub fn next(&self) -> i64 {
        if self.returned.is_empty() { self.next_due } else { i64::MIN }
    }

    pub fn add_key(&mut self) {
        if self.patience != Patience::Endless {
            grow(&mut self.rhythms, 1);
            self.rhythms.push(Rhythm::NEW);
        }
    }

    /// Takes a final row of `cell`; rows of a key in a cell come one after the other, in order of time.
    #[inline]
    pub fn row(&mut self, key: KeyIndex, cell: i64, time: i64) {
        let Some(rhythm) = self.rhythms.get_mut(key as usize) else { return };
        if self.latest == Some((key, cell)) {
            rhythm.last = rhythm.last.max(time);
            return;
        }
        self.latest = Some((key, cell));
        rhythm.observe(time);
        self.seen(key, time);
    }

    /// Takes a row behind the watermark. It teaches nothing, but the key was not silent.
    pub fn late_row(&mut self, key: KeyIndex, time: i64) {
        if self.rhythms.get(key as usize).is_some_and(|rhythm| time > rhythm.last) {
            self.seen(key, time);
        }
    }

    fn seen(&mut self, key: KeyIndex, time: i64) {
        let rhythm = &mut self.rhythms[key as usize];
        rhythm.last = time;
        if std::mem::take(&mut rhythm.silent) {
            self.returned.push((key, time));
        }
        self.next_due = self.next_due.min(rhythm.due(self.patience).unwrap_or(i64::MAX));
    }

    /// Gives the silences that have ended, with the row that ended each.
    fn ended(&mut self) -> Vec<(Silent, i64)> {
        if self.returned.is_empty() {
            return Vec::new();
        }
        let mut returned = std::mem::take(&mut self.returned);
        returned.sort_unstable();
        let mut ended = Vec::with_capacity(returned.len());
        self.silent.retain(|silent| {
            let found = returned.binary_search_by_key(&silent.key, |(key, _)| *key);
            ended.extend(found.ok().map(|at| (*silent, returned[at].1)));
            found.is_err()
        });
        ended
    }

    /// Gives the keys of which a row was due by `now`.
    fn begun(&mut self, now: i64) -> Vec<Silent> {
        let mut begun = Vec::new();
        if now < self.next_due {
            return begun;
        }
        self.next_due = i64::MAX;
        for (key, rhythm) in self.rhythms.iter_mut().enumerate() {
            let Some(due) = rhythm.due(self.patience) else { continue };
            if due > now {
                self.next_due = self.next_due.min(due);
                continue;
            }
            rhythm.silent = true;
            let every_ns = rhythm.expects(self.patience).map_or(0, |(every, _)| every);
            begun.push(Silent { key: key as KeyIndex, last_seen: rhythm.last, every_ns, due });
        }
        self.silent.extend_from_slice(&begun);
        begun
    }
}

#[cfg(test)]
mod tests;
