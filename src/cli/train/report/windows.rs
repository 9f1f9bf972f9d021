//! Single training windows worth looking at: the most ordinary and the oddest.

use super::facts::Run;
use crate::judge::calibrate::Calibrator;
use crate::model::pyramid::{Explained, Scores, Work};

const TYPICAL: usize = 3;
const ODDEST: usize = 6;
/// Columns of a window that are drawn.
const TRACES: usize = 6;

#[derive(Clone, Debug, PartialEq)]
pub struct WindowFacts {
    pub key: String,
    /// Event time, ns.
    pub end_ns: i64,
    /// Nats.
    pub surprise: f64,
    /// Chance of a normal window at least as odd.
    pub p_value: f64,
    pub traces: Vec<Trace>,
    /// Columns that are not drawn.
    pub more: usize,
}

/// One column over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub column: String,
    pub unit: Option<String>,
    /// By cell, raw units, NaN = missing.
    pub values: Vec<f64>,
    /// Where the last cell was expected, raw units, and the column's share of the surprise; none of a flag.
    pub expected: Option<Expected>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    pub low: f64,
    pub high: f64,
    pub share: f64,
}

impl Trace {
    /// The last cell, where it has a value.
    pub fn last(&self) -> f64 {
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    pub fn is_off(&self) -> bool {
        self.expected.is_some_and(|e| self.last() < e.low || self.last() > e.high)
    }
}

/// The most ordinary windows, then the oddest.
pub(super) fn chosen(
    run: &Run<'_>,
    scores: &Scores,
    calibrator: &Calibrator,
) -> (Vec<WindowFacts>, Vec<WindowFacts>) {
    let full = scores.observed.iter().max().copied().unwrap_or(0);
    let mut calm: Vec<usize> =
        (0..scores.state.len()).filter(|row| scores.observed[*row] == full && full > 0).collect();
    calm.sort_by(|a, b| scores.state[*a].total_cmp(&scores.state[*b]));
    let mut odd: Vec<usize> = (0..scores.state.len()).collect();
    let oddness = |row: usize| (scores.surprise[row], scores.state[row]);
    odd.sort_by(|a, b| {
        let ((s, t), (u, v)) = (oddness(*b), oddness(*a));
        s.total_cmp(&u).then(t.total_cmp(&v))
    });
    let mut work = Work::new();
    let mut shown = |rows: Vec<usize>, blame: bool| -> Vec<WindowFacts> {
        rows.into_iter().map(|row| window(run, scores, calibrator, row, blame, &mut work)).collect()
    };
    (shown(apart(run, calm, TYPICAL), false), shown(apart(run, odd, ODDEST), true))
}

/// The first of these rows, without such as overlap with one of the same key that is already chosen: windows slide, and
/// one event would take every place.
fn apart(run: &Run<'_>, rows: Vec<usize>, most: usize) -> Vec<usize> {
    let (origins, size_ns) = (run.windows.origins, run.stream.window.size.as_nanos() as i64);
    let mut chosen: Vec<usize> = Vec::new();
    for row in rows {
        let (key, end_ns) = origins[row];
        let overlaps = |other: &usize| {
            let (other_key, other_end) = origins[*other];
            key == other_key && end_ns.abs_diff(other_end) < size_ns.max(1) as u64
        };
        if !chosen.iter().any(overlaps) {
            chosen.push(row);
        }
        if chosen.len() == most {
            break;
        }
    }
    chosen
}

/// With `blame` the columns come by their share of the surprise, else as in the config.
fn window(
    run: &Run<'_>,
    scores: &Scores,
    calibrator: &Calibrator,
    row: usize,
    blame: bool,
    work: &mut Work,
) -> WindowFacts {
    let width = run.pyramid.dimension();
    let z = &run.windows.z[row * width..][..width];
    let explained = run.pyramid.explain(z, work);
    let mut order: Vec<usize> = (0..explained.len()).collect();
    if blame {
        let share = |column: usize| explained[column].map_or(-1.0, |of| of.share);
        order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    }
    let (key, end_ns) = run.windows.origins[row];
    let trace = |column: usize| trace(run, z, key, column, explained[column]);
    WindowFacts {
        key: run.windows.keys[key].name.clone(),
        end_ns,
        surprise: f64::from(scores.surprise[row]),
        p_value: calibrator.p_value(scores.surprise[row]),
        traces: order.iter().take(TRACES).map(|column| trace(*column)).collect(),
        more: order.len().saturating_sub(TRACES),
    }
}

fn trace(run: &Run<'_>, z: &[f32], key: usize, column: usize, explained: Option<Explained>) -> Trace {
    let (plan, key) = (&run.stream.columns[column], &run.windows.keys[key]);
    let (mean, sd) = (f64::from(key.mean[column]), f64::from(key.sd[column]));
    let raw = |z: f64| mean + sd * z;
    Trace {
        column: plan.name.clone(),
        unit: plan.unit.clone(),
        values: z[column..].iter().step_by(run.stream.columns.len()).map(|z| raw(f64::from(*z))).collect(),
        expected: explained.map(|of| {
            let (expected, half) = (f64::from(of.expected), f64::from(of.half_width));
            Expected { low: raw(expected - half), high: raw(expected + half), share: f64::from(of.share) }
        }),
    }
}
