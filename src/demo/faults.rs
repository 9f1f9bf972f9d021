//! The faults of a run: which pump, what, when; and what each does to the readings.
//!
//! None of them moves a column out of the range its pump shows on a normal day, so that only what the
//! columns say together gives them away. Every effect lies inside `[start, end)`.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::load::LOAD_MAX;
use super::noise::stream;
use super::plant::{Column, PUMPS, SECOND_NS, pump_name};
use crate::types::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Vibration rises above what the load explains, temperature follows.
    BearingWear,
    /// Pressure drops off the pump's curve, flow and pressure jitter, vibration rises a little.
    Cavitation,
    /// One column freezes at its last value while the pump goes on.
    StuckSensor,
    /// One transmitter falls to its live zero for a few seconds at a time.
    DropOut,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::BearingWear, Kind::Cavitation, Kind::StuckSensor, Kind::DropOut];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::BearingWear => "bearing wear",
            Kind::Cavitation => "cavitation",
            Kind::StuckSensor => "stuck sensor",
            Kind::DropOut => "drop-out",
        }
    }

    /// Seconds until the fault has its full strength.
    fn ramp_s(self) -> i64 {
        match self {
            Kind::BearingWear => 120,
            Kind::Cavitation => 60,
            Kind::StuckSensor | Kind::DropOut => 0,
        }
    }
}

/// One injected fault.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Fault {
    #[serde(serialize_with = "serialize_pump")]
    pub pump: usize,
    pub kind: Kind,
    /// The columns the fault shows in, the first one most.
    pub columns: Vec<Column>,
    pub start: EventTime,
    pub end: EventTime,
    /// Seconds from `start` to full strength.
    pub ramp_s: i64,
    /// Starts of a drop-out's bursts and their ends, seconds after `start`; empty for other kinds.
    #[serde(skip)]
    bursts_s: Vec<(i64, i64)>,
    /// A stuck sensor shows only when the pump's duty changes: the change that comes, a load fraction.
    #[serde(skip)]
    load_shift: f64,
}

fn serialize_pump<S: serde::Serializer>(pump: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&pump_name(*pump))
}

/// Every effect on one pump in one second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effects {
    /// Extra vibration, as the load fraction that would cause it.
    pub wear: f64,
    /// Extra temperature, as the load fraction that would cause it.
    pub heat: f64,
    /// Strength of cavitation, 0 to 1.
    pub cavitation: f64,
    pub stuck: Option<Column>,
    pub dropped: Option<Column>,
    pub load_shift: f64,
}

const WEAR_LOAD: f64 = 0.26;
const HEAT_LOAD: f64 = 0.16;
const HEAT_DELAY_S: i64 = 90;
/// Share of the shut-off pressure that full cavitation takes.
pub const HEAD_LOSS: f64 = 0.07;
/// Room below full load that full cavitation needs: there its pressure is a sound pump's at full load.
const CAVITATION_ROOM: f64 = 0.14;
const FADE_S: i64 = 30;

impl Effects {
    /// Wear and cavitation at this fraction of the rated flow. Towards full load both give way: a worn
    /// pump never shakes more than a sound one at full load, nor is its pressure lower.
    pub fn limited(&self, fraction: f64) -> (f64, f64) {
        let room = (LOAD_MAX - 0.06 - fraction).max(0.0);
        (self.wear.min(room), self.cavitation.min(room / CAVITATION_ROOM))
    }
}

impl Fault {
    fn new(pump: usize, kind: Kind, start: EventTime, length_s: i64, rng: &mut ChaCha8Rng) -> Self {
        let columns = match kind {
            Kind::BearingWear => vec![Column::Vibration, Column::Temperature],
            Kind::Cavitation => vec![Column::Pressure, Column::Flow, Column::Vibration],
            // A frozen temperature is what a steady one looks like for minutes: not told apart by anyone.
            Kind::StuckSensor => vec![pick(rng, &[Column::Vibration, Column::Pressure, Column::Flow])],
            Kind::DropOut => {
                vec![pick(rng, &[Column::Vibration, Column::Temperature, Column::Pressure, Column::Flow])]
            }
        };
        let bursts_s = if kind == Kind::DropOut { bursts(length_s, rng) } else { Vec::new() };
        let up = rng.random_bool(0.5);
        let load_shift = match kind {
            Kind::StuckSensor => rng.random_range(0.12..0.20) * if up { 1.0 } else { -1.0 },
            _ => 0.0,
        };
        let end = EventTime(start.0 + length_s * SECOND_NS);
        Fault { pump, kind, columns, start, end, ramp_s: kind.ramp_s(), bursts_s, load_shift }
    }

    /// 0 outside, rising to 1 within the ramp, back to 0 over the last half minute.
    fn severity(&self, now: EventTime) -> f64 {
        let since_s = (now.0 - self.start.0).div_euclid(SECOND_NS);
        let left_s = (self.end.0 - now.0).div_euclid(SECOND_NS);
        let up = since_s as f64 / self.ramp_s.max(1) as f64;
        let down = left_s as f64 / FADE_S as f64;
        up.min(down).clamp(0.0, 1.0)
    }

    fn apply(&self, now: EventTime, effects: &mut Effects) {
        let since_s = (now.0 - self.start.0).div_euclid(SECOND_NS);
        match self.kind {
            Kind::BearingWear => {
                effects.wear = WEAR_LOAD * self.severity(now);
                let delayed = EventTime(now.0 - HEAT_DELAY_S * SECOND_NS);
                effects.heat = HEAT_LOAD * self.severity(delayed).min(self.severity(now));
            }
            Kind::Cavitation => effects.cavitation = self.severity(now),
            Kind::StuckSensor => {
                effects.stuck = Some(self.columns[0]);
                let shifted = since_s >= 20 && now.0 < self.end.0 - FADE_S * SECOND_NS;
                effects.load_shift = if shifted { self.load_shift } else { 0.0 };
            }
            Kind::DropOut => {
                let dropped = self.bursts_s.iter().any(|(from, to)| (*from..*to).contains(&since_s));
                effects.dropped = dropped.then_some(self.columns[0]);
            }
        }
    }
}

fn pick(rng: &mut ChaCha8Rng, columns: &[Column]) -> Column {
    columns[rng.random_range(0..columns.len())]
}

/// 3 to 7 s down, 8 to 25 s up, for the length of the fault. The first burst opens it.
fn bursts(length_s: i64, rng: &mut ChaCha8Rng) -> Vec<(i64, i64)> {
    let mut bursts = Vec::new();
    let mut from = 0;
    while from < length_s {
        let to = (from + rng.random_range(3..=7)).min(length_s);
        bursts.push((from, to));
        from = to + rng.random_range(8..=25);
    }
    bursts
}

/// The faults of one run, in order of start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    pub faults: Vec<Fault>,
}

/// One fault every 11 min of event time: eight in the 90 min of the default run.
const FAULT_EVERY_S: i64 = 675;
const LENGTH_S: std::ops::Range<i64> = 300..900;
/// A pump has peace for this long between two of its faults.
const REST_S: i64 = 600;
/// The last fault ends this long before the run, so that it can still be told.
const TAIL_S: i64 = 120;

impl Schedule {
    /// Faults over `duration_s` seconds of event time from `start`, every kind equally often (as far as
    /// the number divides), none within the first 90 s. Runs under 15 min of event time get at most one.
    pub fn new(seed: u64, start: EventTime, duration_s: i64) -> Self {
        let mut rng = stream(seed, 1 << 34);
        let count = (duration_s / FAULT_EVERY_S).max(i64::from(duration_s > LENGTH_S.start + TAIL_S + 240));
        let first_s = rng.random_range(90..240);
        let mut faults: Vec<Fault> = Vec::new();
        let mut kinds = Vec::new();
        for index in 0..count {
            if kinds.is_empty() {
                kinds = Kind::ALL.to_vec();
                kinds.shuffle(&mut rng);
            }
            let Some(kind) = kinds.pop() else { break };
            let room_s = (duration_s - TAIL_S - LENGTH_S.start - first_s).max(0);
            let from_s = first_s + room_s * index / count.max(2).saturating_sub(1);
            let longest_s = (duration_s - TAIL_S - from_s).clamp(LENGTH_S.start + 1, LENGTH_S.end);
            let length_s = rng.random_range(LENGTH_S.start..longest_s);
            let begin = EventTime(start.0 + from_s * SECOND_NS);
            let Some(pump) = free_pump(&faults, begin, &mut rng) else { continue };
            faults.push(Fault::new(pump, kind, begin, length_s, &mut rng));
        }
        Schedule { faults }
    }

    /// What is wrong with `pump` now.
    pub fn effects(&self, pump: usize, now: EventTime) -> Effects {
        let mut effects = Effects::default();
        for fault in &self.faults {
            if fault.pump == pump && (fault.start..fault.end).contains(&now) {
                fault.apply(now, &mut effects);
            }
        }
        effects
    }
}

/// One of the pumps that had the fewest faults and none within the rest time.
fn free_pump(faults: &[Fault], begin: EventTime, rng: &mut ChaCha8Rng) -> Option<usize> {
    let rested = |pump: usize| {
        faults.iter().filter(|f| f.pump == pump).all(|f| f.end.0 + REST_S * SECOND_NS <= begin.0)
    };
    let count = |pump: usize| faults.iter().filter(|f| f.pump == pump).count();
    let free: Vec<usize> = (0..PUMPS).filter(|p| rested(*p)).collect();
    let fewest = free.iter().map(|p| count(*p)).min()?;
    let best: Vec<usize> = free.into_iter().filter(|p| count(*p) == fewest).collect();
    Some(best[rng.random_range(0..best.len())])
}
