//! Challengers against champions on the engine's own windows: a lasting change of what is normal is learnt, an
//! unchanged normal and a fault that is going on are not.

use std::ops::Range;
use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS};
use eddy::config::plan::{ModelPlan, Plan};
use eddy::engine::refit::{Contest, refit};
use eddy::engine::reservoir::Windows;
use eddy::engine::{Engine, Env, Outputs};
use eddy::model::Model;
use eddy::ring::Slot;
use eddy::types::{Decision, StreamId, key_hash};

const KEYS: usize = 20;
/// From refit to refit; windows go back four of these.
const EVERY: Duration = Duration::from_secs(120);
const SPAN_S: i64 = 480;
const SIZE_NS: i64 = 16 * SECOND_NS;
/// More noise than in training, in sd of the load; there it is 0.15.
const AGED: f32 = 0.15;

fn plan() -> Plan {
    let mut plan = plant::plan(1);
    plan.streams[0].model = ModelPlan::Load { path: "unused".into(), refit: Some(EVERY), memory_bytes: 0 };
    plan
}

struct Run {
    engine: Engine,
    position: u64,
    decisions: Vec<Decision>,
}

impl Run {
    fn new() -> Self {
        Run { engine: plant::engine(&plan()), position: 0, decisions: Vec::new() }
    }

    fn push(&mut self, rows: &[Row]) {
        let (mut slot, mut out) = (Slot::default(), Outputs::default());
        for row in rows {
            slot.push(row.record(self.position));
            self.position += 1;
        }
        self.engine.step(&slot, &Env::SIMULATED, &mut out);
        self.decisions.extend(out.raised.into_iter().map(|raised| raised.decision));
    }

    fn windows(&self) -> Windows {
        let mut windows = Windows::default();
        self.engine.reservoir(StreamId(0), &mut windows);
        windows
    }

    fn refit(&self, champion: &Model) -> (Contest, Option<Model>) {
        let (contest, better) =
            refit(champion, self.windows(), SPAN_S * SECOND_NS, SIZE_NS).expect("enough windows");
        println!("{contest:?}: {:?}", contest.decide());
        (contest, better)
    }

    fn alerts(&self, seconds: Range<i64>) -> usize {
        let seconds = START_NS + seconds.start * SECOND_NS..START_NS + seconds.end * SECOND_NS;
        self.decisions.iter().filter(|d| d.revision == 1 && seconds.contains(&d.onset.0)).count()
    }
}

fn of(rows: &[Row], seconds: Range<i64>) -> &[Row] {
    &rows[seconds.start as usize * KEYS..seconds.end as usize * KEYS]
}

#[test]
fn a_lasting_change_is_learnt_and_false_alerts_end() {
    let mut rows = plant::rows(KEYS, 2400, 5, 0..0);
    plant::aged(&mut rows, 0, AGED, 6);
    let mut run = Run::new();
    run.push(of(&rows, 0..900));
    let (contest, better) = run.refit(&plant::model());
    let better = better.expect("the challenger knows the noise");
    assert!(contest.challenger.odd < 0.02 && contest.champion.odd > 0.03, "{contest:?}");
    let before = run.alerts(0..900);
    assert!(before >= 5, "{before} false alerts are nothing to be rid of");
    run.engine.activate(StreamId(0), better.into()).expect("made for this stream");
    run.push(of(&rows, 900..2400));
    let after = run.alerts(1000..2400);
    println!("false alerts: {before} in 900 s before, {after} in 1400 s after");
    assert!(after <= 1, "{after}");
}

#[test]
fn an_unchanged_normal_keeps_its_model() {
    for seed in 1..=3 {
        let mut run = Run::new();
        run.push(&plant::rows(KEYS, 900, seed, 0..0));
        assert!(run.refit(&plant::model()).1.is_none(), "seed {seed}");
    }
}

/// Half of the pumps go wrong in one way, and stay so.
#[test]
fn a_fault_that_is_going_on_is_not_learnt() {
    let mut rows = plant::rows(KEYS, 900, 9, 0..0);
    let broken = START_NS + 400 * SECOND_NS;
    let is_broken = |key: &str| key[5..].parse::<usize>().expect("a number") < KEYS / 2;
    for row in rows.iter_mut().filter(|row| row.time_ns >= broken && is_broken(&row.key)) {
        row.values[3] = 5.0 - row.values[3];
    }
    let mut run = Run::new();
    run.push(&rows);
    assert!(run.alerts(380..500) >= KEYS / 2, "they are told of: {}", run.alerts(380..500));
    assert!(run.refit(&plant::model()).1.is_none());
    // A window is known by its lot, the hash of its key and end.
    let held = run.windows();
    let lot = |key: usize, end: i64| {
        let hash = key_hash(format!("pump-{key}").as_bytes());
        xxhash_rust::xxh3::xxh3_64_with_seed(&end.to_le_bytes(), hash)
    };
    let of_broken = |from: i64, until: i64| {
        let ends = (from..until).step_by(2).map(|second| START_NS + second * SECOND_NS);
        let lots: Vec<u64> = ends.flat_map(|end| (0..KEYS / 2).map(move |key| lot(key, end))).collect();
        held.drawn.iter().filter(|drawn| lots.contains(&drawn.lot)).count()
    };
    let (before, during) = (of_broken(200, 400), of_broken(440, 892));
    println!("{before} windows of the broken pumps from before, {during} from within");
    assert!(before > 200 && during == 0);
}
