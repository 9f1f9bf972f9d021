//! Are the faults what they claim to be: hidden from every single column, plain to all of them together?
//!
//! The judge here knows nothing of the product: minutes of readings, thresholds on one column against
//! residuals of a linear regression of one column on the others, both learnt from the training history.

use super::faults::{Fault, Kind, Schedule};
use super::history::DEMO_START;
use super::plant::{COLUMNS, Column, PUMPS, Plant, SECOND_NS};
use crate::types::EventTime;

const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const RUN_S: i64 = 5_400;
const HISTORY_S: i64 = 86_400;
/// A single column gets at least this many false minutes in 5,000: one a run, if the rest needs fewer.
const FALSE_ALARMS_GRANTED: usize = 5;
const MINUTE_NS: i64 = 60 * SECOND_NS;

type Row = [f64; 4];

/// Complete rows of one pump in one minute.
struct Minute {
    pump: usize,
    start: EventTime,
    rows: Vec<Row>,
}

fn minutes(mut plant: Plant, steps: i64) -> Vec<Minute> {
    let mut minutes: Vec<Minute> = Vec::new();
    for step in 0..steps {
        if step % 60 == 0 {
            let start = plant.now();
            minutes.extend((0..PUMPS).map(|pump| Minute { pump, start, rows: Vec::new() }));
        }
        let open = minutes.len() - PUMPS;
        for sample in plant.step() {
            if sample.values.iter().all(|v| v.is_finite()) {
                minutes[open + sample.pump].rows.push(sample.values.map(f64::from));
            }
        }
    }
    minutes
}

fn history() -> Vec<Minute> {
    minutes(Plant::new(977, EventTime(DEMO_START.0 - HISTORY_S * SECOND_NS)), HISTORY_S)
}

struct Run {
    faults: Vec<Fault>,
    minutes: Vec<Minute>,
}

fn runs() -> Vec<Run> {
    let run = |seed| {
        let schedule = Schedule::new(seed, DEMO_START, RUN_S);
        let faults = schedule.faults.clone();
        Run { faults, minutes: minutes(Plant::with_faults(seed, DEMO_START, schedule), RUN_S) }
    };
    SEEDS.into_iter().map(run).collect()
}

fn overlaps(minute: &Minute, fault: &Fault) -> bool {
    minute.pump == fault.pump && minute.start < fault.end && minute.start.0 + MINUTE_NS > fault.start.0
}

fn at_full_strength(minute: &Minute, fault: &Fault) -> bool {
    minute.pump == fault.pump
        && minute.start.0 >= fault.start.0 + fault.ramp_s * SECOND_NS
        && minute.start.0 + MINUTE_NS <= fault.end.0 - 30 * SECOND_NS
}

/// How far out in its pump's history a value of one column lies: the log of its tail share, and beyond
/// the range seen, the distance in deviations on top.
struct OneColumn {
    sorted: Vec<Vec<f64>>,
    sd: Vec<f64>,
    column: usize,
}

impl OneColumn {
    fn learn(history: &[Minute], column: usize) -> Self {
        let mut sorted = vec![Vec::new(); PUMPS];
        for minute in history {
            sorted[minute.pump].extend(minute.rows.iter().map(|r| r[column]));
        }
        let sd = sorted.iter().map(|v| deviation(v)).collect();
        sorted.iter_mut().for_each(|v| v.sort_by(f64::total_cmp));
        OneColumn { sorted, sd, column }
    }

    fn oddity(&self, pump: usize, value: f64) -> f64 {
        let (seen, sd) = (&self.sorted[pump], self.sd[pump]);
        let below = seen.partition_point(|s| *s <= value);
        let tail = below.min(seen.len() - below).max(1) as f64 / seen.len() as f64;
        let beyond = (seen[0] - value).max(value - seen[seen.len() - 1]).max(0.0);
        -tail.ln() + beyond / sd
    }

    fn of_samples(&self, minute: &Minute) -> f64 {
        minute.rows.iter().map(|r| self.oddity(minute.pump, r[self.column])).fold(0.0, f64::max)
    }

    fn of_mean(&self, minute: &Minute) -> f64 {
        let values: Vec<f64> = minute.rows.iter().map(|r| r[self.column]).collect();
        self.oddity(minute.pump, mean(&values))
    }
}

/// Regression of one column on the other three, a pump: what the rest says this column should be.
struct Residuals {
    /// `[pump][column]`: intercept, then one weight a column (its own is 0).
    weights: Vec<[[f64; 5]; 4]>,
    /// Deviation over the history of a minute's mean residual, and of the residual within a minute.
    level_sd: Vec<Row>,
    noise: Vec<Row>,
}

impl Residuals {
    fn learn(history: &[Minute]) -> Self {
        let mut learnt = Residuals { weights: Vec::new(), level_sd: Vec::new(), noise: Vec::new() };
        for pump in 0..PUMPS {
            let own: Vec<&Minute> = history.iter().filter(|m| m.pump == pump).collect();
            learnt.weights.push([0, 1, 2, 3].map(|column| regress(&own, column)));
            let stats = |column: usize| -> Vec<(f64, f64)> {
                own.iter().map(|m| learnt.level_and_noise(m, column)).collect()
            };
            let all = [0, 1, 2, 3].map(stats);
            let level_sd = all.each_ref().map(|s| deviation(&s.iter().map(|x| x.0).collect::<Vec<_>>()));
            let noise = all.each_ref().map(|s| mean(&s.iter().map(|x| x.1).collect::<Vec<_>>()));
            learnt.level_sd.push(level_sd);
            learnt.noise.push(noise);
        }
        learnt
    }

    fn level_and_noise(&self, minute: &Minute, column: usize) -> (f64, f64) {
        let w = &self.weights[minute.pump][column];
        let residual = |r: &Row| r[column] - w[0] - (0..4).map(|c| w[c + 1] * r[c]).sum::<f64>();
        let residuals: Vec<f64> = minute.rows.iter().map(residual).collect();
        (mean(&residuals), deviation(&residuals))
    }

    /// The larger of: mean residual in its deviations, noise against its usual size.
    fn oddity(&self, minute: &Minute, column: usize) -> f64 {
        let (level, noise) = self.level_and_noise(minute, column);
        (level / self.level_sd[minute.pump][column]).abs().max(noise / self.noise[minute.pump][column])
    }

    fn of_any(&self, minute: &Minute) -> f64 {
        (0..4).map(|column| self.oddity(minute, column)).fold(0.0, f64::max)
    }
}

/// Least squares by the normal equations on centred columns.
fn regress(minutes: &[&Minute], target: usize) -> [f64; 5] {
    let rows = || minutes.iter().flat_map(|m| m.rows.iter());
    let count = rows().count() as f64;
    let mut means = [0.0; 4];
    rows().for_each(|r| (0..4).for_each(|c| means[c] += r[c] / count));
    let others: Vec<usize> = (0..4).filter(|c| *c != target).collect();
    let covariance = |a: usize, b: usize| rows().map(|r| (r[a] - means[a]) * (r[b] - means[b])).sum::<f64>();
    let mut system = [[0.0; 4]; 3];
    for (i, a) in others.iter().enumerate() {
        others.iter().enumerate().for_each(|(j, b)| system[i][j] = covariance(*a, *b));
        system[i][3] = covariance(*a, target);
    }
    let solution = solve(system);
    let mut weights = [0.0; 5];
    weights[0] = means[target];
    for (i, column) in others.iter().enumerate() {
        weights[column + 1] = solution[i];
        weights[0] -= solution[i] * means[*column];
    }
    weights
}

/// Gauss and Jordan on a positive definite system.
fn solve(mut m: [[f64; 4]; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        let row = m[pivot].map(|x| x / m[pivot][pivot]);
        for (other, line) in m.iter_mut().enumerate() {
            if other == pivot {
                *line = row;
            } else {
                let factor = line[pivot];
                line.iter_mut().zip(row).for_each(|(x, r)| *x -= factor * r);
            }
        }
    }
    m.map(|row| row[3])
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    (values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// What a detector makes of all runs: the best minute of each fault, and every normal minute.
struct Judged {
    faults: Vec<f64>,
    normal: Vec<f64>,
}

fn judge(runs: &[Run], oddity: impl Fn(&Minute) -> f64) -> Judged {
    let mut judged = Judged { faults: Vec::new(), normal: Vec::new() };
    for run in runs {
        for fault in &run.faults {
            let of_fault = run.minutes.iter().filter(|m| overlaps(m, fault)).map(&oddity);
            judged.faults.push(of_fault.fold(0.0, f64::max));
        }
        let normal = run.minutes.iter().filter(|m| !run.faults.iter().any(|f| overlaps(m, f)));
        judged.normal.extend(normal.map(&oddity));
    }
    judged.normal.sort_by(f64::total_cmp);
    judged
}

impl Judged {
    /// Faults found at the lowest threshold with at most this many false alarms.
    fn found_at(&self, false_alarms: usize) -> usize {
        let threshold = self.normal[self.normal.len() - 1 - false_alarms];
        self.faults.iter().filter(|f| **f > threshold).count()
    }

    /// The fewest false alarms with which `wanted` faults are found.
    fn false_alarms_for(&self, wanted: usize) -> usize {
        (0..self.normal.len())
            .find(|n| self.found_at(*n) >= wanted)
            .expect("some threshold finds every fault")
    }
}

/// Area under the ROC curve: chance that a faulty minute scores above a normal one.
fn auc(faulty: &[f64], normal_sorted: &[f64]) -> f64 {
    let below = |f: &f64| normal_sorted.partition_point(|n| n < f) as f64 / normal_sorted.len() as f64;
    faulty.iter().map(below).sum::<f64>() / faulty.len() as f64
}

#[test]
fn no_threshold_on_one_column_finds_what_the_columns_say_together() {
    let (history, runs) = (history(), runs());
    let residuals = Residuals::learn(&history);
    let together = judge(&runs, |m| residuals.of_any(m));
    let total = together.faults.len();
    let false_alarms = together.false_alarms_for(total * 9 / 10);
    println!(
        "together: {} of {total} at {false_alarms} of {} minutes",
        total * 9 / 10,
        together.normal.len()
    );
    assert!(false_alarms <= FALSE_ALARMS_GRANTED, "jointly plain: {false_alarms} false minutes");
    let granted = false_alarms.max(FALSE_ALARMS_GRANTED);
    for column in COLUMNS {
        let alone = OneColumn::learn(&history, column as usize);
        let by_sample = judge(&runs, |m| alone.of_samples(m)).found_at(granted);
        let by_mean = judge(&runs, |m| alone.of_mean(m)).found_at(granted);
        println!("{}: {by_sample} by sample, {by_mean} by mean of the minute", column.as_str());
        assert!(by_sample.max(by_mean) * 3 < total, "{} alone: {by_sample}, {by_mean}", column.as_str());
    }
}

#[test]
fn all_single_column_thresholds_together_do_not_find_them_either() {
    let (history, runs) = (history(), runs());
    let residuals = Residuals::learn(&history);
    let alone: Vec<OneColumn> = (0..4).map(|column| OneColumn::learn(&history, column)).collect();
    let together = judge(&runs, |m| residuals.of_any(m));
    let total = together.faults.len();
    let false_alarms = together.false_alarms_for(total * 9 / 10);
    let any = judge(&runs, |m| alone.iter().map(|a| a.of_samples(m)).fold(0.0, f64::max));
    let found = any.found_at(false_alarms.max(FALSE_ALARMS_GRANTED));
    println!("any column's threshold: {found} of {total}");
    assert!(found * 3 < total, "{found} of {total}");
}

#[test]
fn every_kind_stands_out_in_its_columns_residual() {
    let (history, runs) = (history(), runs());
    let residuals = Residuals::learn(&history);
    for kind in Kind::ALL {
        let mut faulty = Vec::new();
        let mut normal = Vec::new();
        for run in &runs {
            for fault in run.faults.iter().filter(|f| f.kind == kind) {
                let oddity = |m: &Minute| residuals.oddity(m, fault.columns[0] as usize);
                faulty.extend(run.minutes.iter().filter(|m| at_full_strength(m, fault)).map(oddity));
                let sound = run.minutes.iter().filter(|m| !run.faults.iter().any(|f| overlaps(m, f)));
                normal.extend(sound.map(oddity));
            }
        }
        normal.sort_by(f64::total_cmp);
        let auc = auc(&faulty, &normal);
        println!("{}: AUC {auc:.3} over {} faulty minutes", kind.as_str(), faulty.len());
        assert!(auc > 0.9, "{}: {auc}", kind.as_str());
    }
}

#[test]
fn faulty_columns_stay_inside_the_range_of_a_normal_day() {
    let (history, runs) = (history(), runs());
    for column in COLUMNS {
        let normal = OneColumn::learn(&history, column as usize);
        let sorted = &normal.sorted;
        let (mut outside, mut outside_sound, mut rows, mut rows_sound) = (0, 0, 0, 0);
        for minute in runs.iter().flat_map(|r| r.minutes.iter().map(move |m| (r, m))) {
            let (run, minute) = minute;
            let seen = &sorted[minute.pump];
            let out = |r: &&Row| {
                let value = r[column as usize];
                value < seen[0] || value > seen[seen.len() - 1]
            };
            let out_count = minute.rows.iter().filter(out).count();
            let faulty = run.faults.iter().any(|f| overlaps(minute, f) && f.columns.contains(&column));
            if faulty {
                outside += out_count;
                rows += minute.rows.len();
            } else {
                outside_sound += out_count;
                rows_sound += minute.rows.len();
            }
        }
        println!("{}: {outside}/{rows} faulty, {outside_sound}/{rows_sound} sound", column.as_str());
        assert!(rows > 1_000, "{} is faulty somewhere", column.as_str());
        // Cavitation's jitter may touch the edge of the range as sound readings do; nothing lives outside.
        assert!(outside * 500 < rows, "{}: {outside} of {rows} outside", column.as_str());
    }
    assert_eq!(COLUMNS[Column::Flow as usize], Column::Flow);
}
