//! A key's recent windows as the API gives them and as the charts need them.

use serde::Serialize;

use super::history::Window;
use super::snapshot::ColumnView;
use crate::types::HeldBack;

/// `/api/v1/series`. Missing numbers are `null`. Times are ns.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    pub stream: String,
    pub key: String,
    pub columns: Vec<ColumnView>,
    /// Time between two windows; `null` where events make them.
    pub every_ns: Option<i64>,
    /// The threshold on the p-value, as of the newest window; `null` before the first under an alert budget.
    pub threshold: f64,
    /// Windows in `points`, and how many of them are anomalous.
    pub count: usize,
    pub anomalous_count: usize,
    /// Those below the threshold that were not told.
    pub held_back_count: usize,
    /// The newest of them.
    pub held_back: Vec<HeldWindow>,
    pub from_ns: Option<i64>,
    pub to_ns: Option<i64>,
    /// Over all windows in `from_ns..=to_ns`, by column.
    pub spread: Vec<Spread>,
    /// The last one of `points`.
    pub latest: Option<SeriesPoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<SeriesPoint>,
}

/// Level and spread of a column, in its unit; `null` where nothing came, and of one value it has no `sd`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Windows with a value.
    pub count: usize,
    pub mean: Option<f64>,
    pub sd: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
}

impl Spread {
    /// Over what is there of `values`. The sums are of distances to the first value: they lose nothing where a small
    /// spread lies on a high level.
    pub fn of(values: impl Iterator<Item = f32>) -> Self {
        let mut spread = Spread::default();
        let (mut first, mut sum, mut squares) = (0.0, 0.0, 0.0);
        let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            if spread.count == 0 {
                first = f64::from(value);
            }
            let distance = f64::from(value) - first;
            (sum, squares) = (sum + distance, squares + distance * distance);
            (min, max) = (min.min(value), max.max(value));
            spread.count += 1;
        }
        let n = spread.count as f64;
        if spread.count > 0 {
            spread.mean = Some(first + sum / n);
            (spread.min, spread.max) = (number(min), number(max));
        }
        if spread.count > 1 {
            spread.sd = Some(((squares - sum * sum / n).max(0.0) / (n - 1.0)).sqrt());
        }
        spread
    }
}

/// A window that was not told though it was below the threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldWindow {
    pub time_ns: i64,
    pub p_value: f64,
    pub why: HeldBack,
}

impl HeldWindow {
    /// Of how many of a key's windows it is said why.
    const LISTED_MAX: usize = 10;

    /// How many of `windows`, oldest first, were held back, and the newest of them, newest first.
    pub fn of(windows: &[Window]) -> (usize, Vec<HeldWindow>) {
        let held = |window: &Window| {
            let (time_ns, p_value) = (window.time_ns, window.p_value);
            window.held_back.map(|why| HeldWindow { time_ns, p_value, why })
        };
        let newest_first = || windows.iter().rev().filter_map(held);
        (newest_first().count(), newest_first().take(Self::LISTED_MAX).collect())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesPoint {
    pub time_ns: i64,
    pub p_value: Option<f64>,
    pub anomalous: bool,
    /// Why it is not told though it is below the threshold; `null` of any other.
    pub held_back: Option<HeldBack>,
    pub confident: bool,
    pub columns: Vec<SeriesCell>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesCell {
    pub value: Option<f64>,
    pub expected: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}

impl From<&Window> for SeriesPoint {
    fn from(window: &Window) -> Self {
        let cell = |c: usize| SeriesCell {
            value: number(window.values[c]),
            expected: number(window.expected[c]),
            low: number(window.low[c]),
            high: number(window.high[c]),
        };
        SeriesPoint {
            time_ns: window.time_ns,
            p_value: window.p_value.is_finite().then_some(window.p_value),
            anomalous: window.anomalous,
            held_back: window.held_back,
            confident: window.confident,
            columns: (0..window.values.len()).map(cell).collect(),
        }
    }
}

/// Through the shortest decimal text of the `f32`: 0.1 stays 0.1, not 0.10000000149.
fn number(x: f32) -> Option<f64> {
    x.is_finite().then(|| x.to_string().parse().unwrap_or(f64::from(x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_and_spread_are_those_of_the_values_that_came() {
        let spread = Spread::of([1e6, f32::NAN, 1e6 + 1.0, 1e6 + 2.0].into_iter());
        let known =
            Spread { count: 3, mean: Some(1e6 + 1.0), sd: Some(1.0), min: Some(1e6), max: Some(1e6 + 2.0) };
        assert_eq!(spread, known);
        assert_eq!(Spread::of([f32::NAN].into_iter()), Spread::default());
        let one = Spread::of([2.5].into_iter());
        assert_eq!((one.count, one.mean, one.sd), (1, Some(2.5), None));
    }
}
