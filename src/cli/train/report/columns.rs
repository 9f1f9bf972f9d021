//! What each column is like in the training windows.

use super::facts::{Run, Windows};

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnFacts {
    pub name: String,
    pub unit: Option<String>,
    /// Of all observed cells, raw units; NaN where there is none.
    pub mean: f64,
    pub sd: f64,
    /// Median over the keys of the sd that values are measured in, raw units.
    pub key_sd: f64,
    /// Share of the cells without a value.
    pub missing: f64,
    pub role: Role,
    /// Root mean square of steps from cell to cell below which the column is too quiet, raw units of a usual key.
    pub still_below: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Scored,
    /// 0/1: carried and not scored.
    Flag,
}

pub(super) fn of(run: &Run<'_>) -> Vec<ColumnFacts> {
    let layout = &run.pyramid.columns;
    let still = |column: usize| {
        let at = layout.scored.iter().position(|scored| *scored == column)?;
        run.pyramid.still.get(at).map(|still| f64::from(still.threshold)).filter(|h| *h > 0.0)
    };
    let column = |(column, plan): (usize, &crate::config::plan::ColumnPlan)| {
        let Moments { n, missing, mean, square } = moments(&run.windows, column, layout.columns);
        let key_sd = median(run.windows.keys.iter().map(|key| f64::from(key.sd[column])).collect());
        ColumnFacts {
            name: plan.name.clone(),
            unit: plan.unit.clone(),
            mean: if n > 0.0 { mean } else { f64::NAN },
            sd: (square / n).sqrt(),
            key_sd,
            missing: missing / (n + missing),
            role: if layout.scored.contains(&column) { Role::Scored } else { Role::Flag },
            still_below: still(column).map(|threshold| threshold.sqrt() * key_sd),
        }
    };
    run.stream.columns.iter().enumerate().map(column).collect()
}

#[derive(Default)]
struct Moments {
    n: f64,
    missing: f64,
    mean: f64,
    /// Sum of squared deviations from `mean` (Welford 1962).
    square: f64,
}

fn moments(windows: &Windows<'_>, column: usize, columns: usize) -> Moments {
    let mut all = Moments::default();
    let width = windows.z.len() / windows.origins.len().max(1);
    for (window, (key, _)) in windows.z.chunks_exact(width.max(1)).zip(windows.origins) {
        let key = &windows.keys[*key];
        let (mean, sd) = (f64::from(key.mean[column]), f64::from(key.sd[column]));
        for z in window[column..].iter().step_by(columns) {
            if !z.is_finite() {
                all.missing += 1.0;
                continue;
            }
            let value = mean + f64::from(*z) * sd;
            all.n += 1.0;
            let off = value - all.mean;
            all.mean += off / all.n;
            all.square += off * (value - all.mean);
        }
    }
    all
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
