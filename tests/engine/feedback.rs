//! What people say of an alert changes what is told of its key: from the next epoch on, of this key alone, no more than
//! they saw, and not for good.

use std::time::Duration;

use crate::plant::{self, Row, SECOND_NS, START_NS, rows};
use eddy::config::plan::{AlarmPlan, Plan};
use eddy::engine::{Engine, Env, Outputs};
use eddy::ring::Slot;
use eddy::state::StateReader;
use eddy::types::{
    AlertState, Decision, Feedback, HeldBack, PartitionId, Position, StreamId, Word, key_hash,
};

const STREAM: StreamId = StreamId(0);
/// Of the fault, vibration's own units.
const FAULT: f32 = 3.0;
/// When a fault sets in, seconds; each lasts [`LASTS_S`]. The first is the one that is spoken of.
const FAULTS_S: [i64; 4] = [120, 300, 480, 660];
const LASTS_S: i64 = 30;
/// The first fault is over and told to be; a second before an epoch ends.
const SAID_S: i64 = 239;
const SECONDS: i64 = 840;

/// A word on the first alert of `pump-0`, and before the rows of which second it is said.
#[derive(Clone, Copy)]
struct Say(Word, i64);

/// At a threshold that nothing but a fault passes.
fn plan() -> Plan {
    let mut plan = plant::plan(1);
    plan.streams[0].alarm = AlarmPlan::PValue(1e-6);
    plan
}

/// Two pumps of which each has these faults, in parts of [`FAULT`].
fn faulty(parts: [f32; 4]) -> Vec<Row> {
    let mut rows = rows(2, SECONDS, 7, 0..0);
    for row in &mut rows {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        for (begins, part) in FAULTS_S.iter().zip(parts) {
            if (*begins..begins + LASTS_S).contains(&second) {
                row.values[3] += part * FAULT;
            }
        }
    }
    rows
}

fn feedback(number: u64, word: Word, of: &Decision) -> Feedback {
    Feedback {
        number,
        word,
        alert: of.id.clone(),
        key: of.key.clone(),
        rule: of.rule.clone(),
        onset_ns: of.onset.0,
        reason: "maintenance".into(),
        who: "ana".into(),
        at_ns: 5,
    }
}

struct Run {
    plan: Plan,
    batch: usize,
    /// Saved and restored before this row, having taken in everything before it.
    restart: Option<usize>,
}

impl Run {
    fn of(plan: Plan) -> Run {
        Run { plan, batch: 1, restart: None }
    }

    /// Every decision on these rows, with what was said before its second.
    fn decide(&self, rows: &[Row], said: &[Say]) -> Vec<Decision> {
        self.decide_on(rows, said, "window")
    }

    /// The same, where an alert of this rule is spoken of.
    fn decide_on(&self, rows: &[Row], said: &[Say], rule: &str) -> Vec<Decision> {
        self.outputs(rows, said, rule).raised.into_iter().map(|raised| raised.decision).collect()
    }

    fn outputs(&self, rows: &[Row], said: &[Say], rule: &str) -> Outputs {
        let mut engine = plant::engine(&self.plan);
        let mut out = Outputs::default();
        let mut cuts: Vec<usize> = said.iter().map(|say| place(rows, say.1)).collect();
        cuts.extend(self.restart);
        let mut from = 0;
        while from < rows.len() {
            if self.restart == Some(from) {
                engine = restarted(&self.plan, &engine, from);
            }
            let words = said.iter().enumerate().filter(|(_, say)| place(rows, say.1) == from);
            for (i, say) in words {
                let of = out.raised.iter().map(|raised| &raised.decision).find(|d| is_first(d, rule));
                let word = feedback(i as u64 + 1, say.0, of.expect("it was told before"));
                engine.feedback(STREAM, Position(from as u64), &word);
                // Read from the control log a second time, as after a restart.
                engine.feedback(STREAM, Position(from as u64), &word);
            }
            let next = cuts.iter().filter(|cut| **cut > from).min().copied().unwrap_or(rows.len());
            let until = next.min(from + self.batch);
            let mut slot = Slot::default();
            (from..until).for_each(|i| slot.push(rows[i].record(i as u64)));
            engine.step(&slot, &Env::SIMULATED, &mut out);
            from = until;
        }
        engine.end_of_input(STREAM, Position(u64::MAX), &Env::SIMULATED, &mut out);
        out
    }
}

/// An alert on the first fault of `pump-0`.
fn is_first(decision: &Decision, rule: &str) -> bool {
    let faulty = START_NS + (FAULTS_S[0] - 20) * SECOND_NS;
    decision.key == "pump-0" && decision.rule == rule && decision.onset.0 >= faulty
}

fn place(rows: &[Row], second: i64) -> usize {
    rows.partition_point(|row| row.time_ns < START_NS + second * SECOND_NS)
}

fn restarted(plan: &Plan, engine: &Engine, at: usize) -> Engine {
    let mut fresh = plant::engine(plan);
    for partition in 0..64 {
        let mut state = Vec::new();
        if engine.save(STREAM, PartitionId(partition), &mut state) {
            let model = plant::model();
            let known = |checksum: &str| (checksum == model.checksum()).then(|| model.clone());
            let from = StateReader::new(&state);
            let id = PartitionId(partition);
            fresh.restore(STREAM, id, Position(at as u64), from, &known, &Env::SIMULATED).unwrap();
        }
    }
    fresh
}

/// Which of the faults was told of a pump.
fn told(decisions: &[Decision], key: &str, rule: &str) -> [bool; 4] {
    let raised =
        |d: &&Decision| d.state == AlertState::Raised && (d.key.as_str(), d.rule.as_str()) == (key, rule);
    let onsets: Vec<i64> =
        decisions.iter().filter(raised).map(|d| (d.onset.0 - START_NS) / SECOND_NS).collect();
    FAULTS_S.map(|begins| onsets.iter().any(|onset| (begins - 20..begins + LASTS_S).contains(onset)))
}

fn windows(rows: &[Row], said: &[Say]) -> [bool; 4] {
    told(&Run::of(plan()).decide(rows, said), "pump-0", "window")
}

const SAME: [f32; 4] = [1.0; 4];

#[test]
fn what_was_called_expected_is_not_told_again_and_what_is_graver_is() {
    assert_eq!(windows(&faulty(SAME), &[]), [true; 4], "nobody has said anything");
    let said = [Say(Word::Expected, SAID_S)];
    let graver = faulty([1.0, 1.0, 1.5, 1.0]);
    let decisions = Run::of(plan()).decide(&graver, &said);
    assert_eq!(told(&decisions, "pump-0", "window"), [true, false, true, false]);
    let other = |decisions: &[Decision]| -> Vec<Decision> {
        decisions.iter().filter(|d| d.key == "pump-1").cloned().collect()
    };
    let unsaid = Run::of(plan()).decide(&graver, &[]);
    assert_eq!(other(&decisions), other(&unsaid), "another key");
    let below = faulty([1.0, -1.0, 1.0, 0.9]);
    assert_eq!(windows(&below, &said), [true, true, false, false], "to the other side");
}

#[test]
fn a_window_that_is_held_back_says_that_it_was_expected() {
    let (rows, run) = (faulty(SAME), Run::of(plan()));
    assert_eq!(run.outputs(&rows, &[], "window").held_back, []);
    let held = run.outputs(&rows, &[Say(Word::Expected, SAID_S)], "window").held_back;
    let seconds = held.iter().map(|(_, end, _)| (end.0 - START_NS) / SECOND_NS);
    assert!(held.len() >= 3 && seconds.min() > Some(FAULTS_S[1]), "{held:?}");
    assert!(held.iter().all(|(stream, _, why)| (*stream, *why) == (STREAM, HeldBack::Expected)), "{held:?}");
}

#[test]
fn taken_back_it_is_as_if_nothing_had_been_said() {
    let rows = faulty(SAME);
    let said = [Say(Word::Expected, SAID_S), Say(Word::Undone, 400)];
    assert_eq!(windows(&rows, &said), [true, false, true, true]);
    let real = [Say(Word::Expected, SAID_S), Say(Word::Real, 400)];
    assert_eq!(windows(&rows, &real), [true, false, true, true]);
    // Said and taken back in one epoch, nothing is left of it.
    let nothing = [Say(Word::Expected, SAID_S), Say(Word::Undone, SAID_S)];
    let run = Run::of(plan());
    assert_eq!(run.decide(&rows, &nothing), run.decide(&rows, &[]));
    assert_eq!(run.decide(&rows, &[Say(Word::Real, SAID_S)]), run.decide(&rows, &[]), "it hid nothing");
}

/// The watermark is eight seconds behind: the cell of second 240, and its epoch with it, becomes
/// final by the rows of second 249.
#[test]
fn it_acts_from_the_key_s_next_epoch_on() {
    // A fault from the middle of an epoch to that of the next one.
    let mut rows = faulty([1.0, 0.0, 0.0, 0.0]);
    for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        row.values[3] += if (250..290).contains(&second) { FAULT } else { 0.0 };
    }
    let raised = |said: i64| {
        let decisions = Run::of(plan()).decide(&rows, &[Say(Word::Expected, said)]);
        decisions.iter().filter(|d| d.key == "pump-0" && d.state == AlertState::Raised).count()
    };
    assert_eq!(raised(249), 1, "the last second before the epoch");
    assert_eq!(raised(250), 2, "the first of it: it acts from the one after on");
}

#[test]
fn batches_and_restarts_change_nothing() {
    let mut rows = faulty([1.0, 1.0, 1.5, 1.0]);
    // Late rows open windows of an epoch again in which less was told.
    let late: Vec<usize> = (0..rows.len()).filter(|i| i % 97 == 5).collect();
    for i in late {
        let row = rows.remove(i);
        rows.insert((i + 20).min(rows.len()), row);
    }
    let mut plan = plan();
    plan.streams[0].window.disorder = Duration::from_secs(4);
    plan.streams[0].window.lateness = Duration::from_secs(30);
    plan.streams[0].onsets = Some(plant::ONSETS);
    let said = [Say(Word::Expected, SAID_S), Say(Word::Undone, 590), Say(Word::Expected, 600)];
    let whole = Run::of(plan.clone()).decide(&rows, &said);
    assert_eq!(told(&whole, "pump-0", "window"), [true, false, true, false]);
    for batch in [7, 4096] {
        assert_eq!(Run { plan: plan.clone(), batch, restart: None }.decide(&rows, &said), whole, "{batch}");
    }
    let at = |second| Some(place(&rows, second));
    for restart in [at(130), at(SAID_S), at(SAID_S + 3), at(310), at(595), at(600), at(670)] {
        let run = Run { plan: plan.clone(), batch: 64, restart };
        assert_eq!(run.decide(&rows, &said), whole, "restarted at {restart:?}");
    }
    // What is not known yet changes nothing that was told before.
    let cut = place(&rows, 500);
    let before = Run::of(plan.clone()).decide(&rows[..cut], &said[..1]);
    let same = before.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    assert!(same + 6 >= before.len() && same > 4, "{same} of {}", before.len());
}

/// A fault that was told before the word acted is not taken back by a late row that comes after.
#[test]
fn a_late_row_is_judged_by_what_was_expected_in_its_epoch() {
    let mut plan = plan();
    plan.streams[0].window.disorder = Duration::from_secs(4);
    plan.streams[0].window.lateness = Duration::from_secs(60);
    let mut rows = faulty([1.0, 0.0, 0.0, 0.0]);
    for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        row.values[3] += if (260..290).contains(&second) { FAULT } else { 0.0 };
    }
    // In force from second 300 on. The windows that opened the alert hold a row that comes with those of second 320.
    let from = place(&rows, 259);
    let late = rows.remove(from);
    rows.insert(place(&rows, 320), late);
    let decisions = Run::of(plan).decide(&rows, &[Say(Word::Expected, 250)]);
    let second = |d: &Decision| (d.onset.0 - START_NS) / SECOND_NS;
    let of: Vec<AlertState> = decisions
        .iter()
        .filter(|d| d.key == "pump-0" && (240..290).contains(&second(d)))
        .map(|d| d.state)
        .collect();
    assert_eq!(of, [AlertState::Raised, AlertState::Resolved]);
}

#[test]
fn a_word_on_another_s_alert_or_of_no_alert_changes_nothing() {
    let rows = faulty(SAME);
    let plan = plan();
    let mut engine = plant::engine(&plan);
    let mut out = Outputs::default();
    let cut = place(&rows, SAID_S);
    let step = |engine: &mut Engine, range: std::ops::Range<usize>, out: &mut Outputs| {
        let mut slot = Slot::default();
        range.for_each(|i| slot.push(rows[i].record(i as u64)));
        engine.step(&slot, &Env::SIMULATED, out);
    };
    step(&mut engine, 0..cut, &mut out);
    let of = out.raised.iter().map(|raised| raised.decision.clone()).find(|d| d.key == "pump-0").unwrap();
    let right = feedback(1, Word::Expected, &of);
    let wrong = [
        Feedback { number: 1, alert: "f".repeat(32), ..right.clone() },
        Feedback { number: 2, key: "pump-1".into(), ..right.clone() },
        Feedback { number: 3, rule: "no_data".into(), ..right.clone() },
        Feedback { number: 4, onset_ns: right.onset_ns + 1, ..right.clone() },
        // Its number says that it was heard before.
        Feedback { number: 4, ..right.clone() },
    ];
    wrong.iter().for_each(|said| engine.feedback(STREAM, Position(cut as u64), said));
    step(&mut engine, cut..rows.len(), &mut out);
    let decisions: Vec<Decision> = out.raised.into_iter().map(|raised| raised.decision).collect();
    assert_eq!(told(&decisions, "pump-0", "window")[..3], [true; 3]);
}

#[test]
fn alerts_that_hide_something_are_named_while_they_do() {
    let rows = faulty(SAME);
    let mut engine = plant::engine(&plan());
    let mut out = Outputs::default();
    let mut named: Vec<(i64, usize)> = Vec::new();
    let home = PartitionId::of(key_hash(b"pump-0"));
    for (i, row) in rows.iter().enumerate() {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        let is_cut = |at| i == place(&rows, at);
        for (number, word, at) in [(1, Word::Expected, SAID_S), (2, Word::Undone, 400)] {
            if is_cut(at) {
                let of =
                    out.raised.iter().map(|raised| &raised.decision).find(|d| d.key == "pump-0").unwrap();
                engine.feedback(STREAM, Position(i as u64), &feedback(number, word, of));
            }
        }
        let mut slot = Slot::default();
        slot.push(row.record(i as u64));
        engine.step(&slot, &Env::SIMULATED, &mut out);
        engine.expected(|_, partition, alerts| {
            assert_eq!(partition, home);
            named.push((second, alerts.len()));
        });
        engine.changed(|_, _, _, _| {});
    }
    assert_eq!(named, [(249, 1), (429, 0)], "with the epochs, eight seconds of disorder later");
}

/// An onset widens its ranges, so that the same is none again in any case; a little more would be.
#[test]
fn an_onset_that_goes_little_further_than_an_expected_one_is_passed_over() {
    let mut plan = plan();
    plan.streams[0].onsets = Some(plant::ONSETS);
    let mut rows = faulty([0.0; 4]);
    for row in &mut rows {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        for (begins, level) in FAULTS_S.iter().zip([8.0, 8.8, 12.0, 0.0]) {
            if level > 0.0 && (*begins..begins + LASTS_S).contains(&second) {
                row.values[3] = level;
            }
        }
    }
    let onsets = |said: &[Say]| {
        let decisions = Run::of(plan.clone()).decide_on(&rows, said, "onset");
        told(&decisions, "pump-0", "onset")
    };
    assert_eq!(onsets(&[]), [true, true, true, false]);
    assert_eq!(onsets(&[Say(Word::Expected, SAID_S)]), [true, false, true, false]);
    let undone = [Say(Word::Expected, SAID_S), Say(Word::Undone, SAID_S)];
    assert_eq!(onsets(&undone), [true, true, true, false]);
    // What is passed over begins no quiet time: what goes further right after it is told.
    let mut growing = rows.clone();
    for row in &mut growing {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        row.values[3] = if (310..330).contains(&second) { 9.6 } else { row.values[3] };
    }
    let decisions = Run::of(plan.clone()).decide_on(&growing, &[Say(Word::Expected, SAID_S)], "onset");
    let grown = decisions.iter().find(|d| d.key == "pump-0" && d.onset.0 == START_NS + 310 * SECOND_NS);
    assert_eq!(grown.map(|d| d.state), Some(AlertState::Raised));
}

/// What one column's expected fault is worth says nothing of another's.
#[test]
fn another_column_s_weaker_fault_at_the_same_time_is_told() {
    let mut rows = faulty([1.0, 1.0, 1.0, 1.0]);
    for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        row.values[0] += if (480..510).contains(&second) { 4.0 } else { 0.0 };
    }
    let said = [Say(Word::Expected, SAID_S)];
    assert_eq!(windows(&rows, &said), [true, false, true, false]);
}

/// Both are further off than the model tells apart. (The first is over an epoch's end, so that it is not learnt.)
#[test]
fn a_graver_departure_in_a_few_cells_of_an_expected_one_is_told() {
    let with = |spike: f32, from: i64| {
        let mut rows = faulty([0.0; 4]);
        for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
            let second = (row.time_ns - START_NS) / SECOND_NS;
            let is_fault = [232..242, 480..490].iter().any(|of| of.contains(&second));
            row.values[3] += if is_fault { 14.0 } else { 0.0 };
            row.values[3] += if (from..from + 3).contains(&second) { spike } else { 0.0 };
        }
        windows(&rows, &[Say(Word::Expected, 300)])[2]
    };
    assert!(!with(0.0, 481), "the same as was expected");
    // Of cells that all are as odd as it gets any may come first.
    assert_eq!([481, 484, 487].map(|from| with(40.0, from)), [true; 3]);
    assert!(with(-45.0, 484));
}

/// Its values are where they are expected; they do not move.
#[test]
fn a_column_that_is_stuck_goes_nowhere_and_is_told() {
    let mut rows = faulty([1.0, 1.0, 0.0, 1.0]);
    let stuck = rows.iter().rposition(|row| row.key == "pump-0" && row.time_ns < START_NS + 480 * SECOND_NS);
    let stuck = rows[stuck.unwrap()].values;
    for row in rows.iter_mut().filter(|row| row.key == "pump-0") {
        let second = (row.time_ns - START_NS) / SECOND_NS;
        if (480..510).contains(&second) {
            row.values = stuck;
        }
    }
    assert_eq!(windows(&rows, &[]), [true; 4]);
    assert_eq!(windows(&rows, &[Say(Word::Expected, SAID_S)]), [true, false, true, false]);
}
