//! A key's recent windows as the API gives them and as the charts need them.

use serde::Serialize;

use super::history::Window;
use super::snapshot::ColumnView;

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
    pub from_ns: Option<i64>,
    pub to_ns: Option<i64>,
    /// The last one of `points`.
    pub latest: Option<SeriesPoint>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<SeriesPoint>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesPoint {
    pub time_ns: i64,
    pub p_value: Option<f64>,
    pub anomalous: bool,
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
            confident: window.confident,
            columns: (0..window.values.len()).map(cell).collect(),
        }
    }
}

/// Through the shortest decimal text of the `f32`: 0.1 stays 0.1, not 0.10000000149.
fn number(x: f32) -> Option<f64> {
    x.is_finite().then(|| x.to_string().parse().unwrap_or(f64::from(x)))
}
