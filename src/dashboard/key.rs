//! The chosen key: its windows and the charts of them.

use std::sync::Arc;

use super::AppState;
use super::chart::{self, Chart, ChartError, Panel, Scale};
use super::history::Window;
use super::reduce::Sample;
use super::series::{HeldWindow, Series, SeriesPoint, Spread};
use super::snapshot::ColumnView;
use crate::config::plan::{Plan, Shape, StreamPlan};
use crate::types::{NoDataEvidence, StreamId};

/// Time ranges offered, seconds; 0 = all there is.
pub const RANGES: [(&str, i64); 4] = [("5m", 300), ("1h", 3_600), ("6h", 21_600), ("all", 0)];
pub const DEFAULT_RANGE: &str = "1h";

/// A key and its windows of a stretch of time.
pub struct KeyView {
    plan: Arc<Plan>,
    stream: StreamId,
    key: String,
    windows: Vec<Window>,
    /// Ends of the time axis, ns: what was asked for, cut to what there is.
    pub from: i64,
    pub to: i64,
}

impl KeyView {
    /// Follows the key from now on and reads what there is of it in `from..=to`.
    pub fn of(state: &AppState, stream: StreamId, key: &str, from: i64, to: i64) -> Self {
        state.parts.watch.request(stream, key.as_bytes());
        let windows = state.parts.history.series(stream, key.as_bytes(), from, to).unwrap_or_default();
        let first = windows.first().map_or(from, |window| window.time_ns);
        let last = windows.last().map_or(to, |window| window.time_ns);
        KeyView {
            plan: state.parts.plan.clone(),
            stream,
            key: key.to_owned(),
            windows,
            from: first,
            to: last,
        }
    }

    fn plan(&self) -> &StreamPlan {
        &self.plan.streams[self.stream.0 as usize]
    }

    /// p-value: that of the newest window; NaN if there is none, and a budget finds it.
    fn threshold(&self) -> f64 {
        let newest = self.windows.last().map(|window| window.threshold);
        newest.or(self.plan().alarm.p_value()).unwrap_or(f64::NAN)
    }

    /// `None` where events make the windows.
    fn every_ns(&self) -> Option<i64> {
        let window = &self.plan().window;
        (window.shape == Shape::Grid).then_some(window.every.as_nanos() as i64)
    }

    pub fn columns(&self) -> Vec<ColumnView> {
        let columns = self.plan().columns.iter();
        columns.map(|c| ColumnView { name: c.name.clone(), unit: c.unit.clone() }).collect()
    }

    /// With the newest `limit` points.
    pub fn series(&self, limit: usize) -> Series {
        let (held_back_count, held_back) = HeldWindow::of(&self.windows);
        let skipped = self.windows.len().saturating_sub(limit);
        Series {
            stream: self.plan().name.clone(),
            key: self.key.clone(),
            columns: self.columns(),
            every_ns: self.every_ns(),
            threshold: self.threshold(),
            count: self.windows.len(),
            anomalous_count: self.windows.iter().filter(|window| window.anomalous).count(),
            held_back_count,
            held_back,
            from_ns: self.windows.first().map(|window| window.time_ns),
            to_ns: self.windows.last().map(|window| window.time_ns),
            spread: (0..self.plan().columns.len()).map(|column| self.spread(column)).collect(),
            latest: self.windows.last().map(SeriesPoint::from),
            points: self.windows[skipped..].iter().map(SeriesPoint::from).collect(),
        }
    }

    fn spread(&self, column: usize) -> Spread {
        Spread::of(self.windows.iter().filter_map(|window| window.values.get(column).copied()))
    }

    /// The chart of column `column`.
    pub fn chart(&self, column: usize) -> Result<Chart, ChartError> {
        let samples = self.samples(|window| {
            let at = |numbers: &[f32]| numbers.get(column).map_or(f64::NAN, |&x| f64::from(x));
            (at(&window.values), at(&window.low), at(&window.high))
        });
        self.draw(&samples, Scale::Linear)
    }

    /// How odd each window was: -log10 of its p-value, with the threshold. Cut at 1 in 10¹², beyond which
    /// no calibration reaches, so that one broken sensor does not flatten all the rest.
    pub fn surprise(&self) -> Result<Chart, ChartError> {
        let samples = self.samples(|window| (-window.p_value.max(1e-12).log10(), f64::NAN, f64::NAN));
        self.draw(&samples, Scale::Surprise { threshold: self.threshold() })
    }

    fn samples(&self, read: impl Fn(&Window) -> (f64, f64, f64)) -> Vec<Sample> {
        let sample = |window: &Window| {
            let (value, low, high) = read(window);
            let anomalous = window.anomalous;
            // Where nothing was expected (the p-value), the verdict alone speaks.
            let odd = anomalous && !(low..=high).contains(&value);
            Sample { time: window.time_ns, value, low, high, anomalous, odd }
        };
        self.windows.iter().map(sample).collect()
    }

    fn draw(&self, samples: &[Sample], scale: Scale) -> Result<Chart, ChartError> {
        chart::draw(&Panel { samples, every_ns: self.every_ns(), from: self.from, to: self.to, scale })
    }
}

/// What a visitor chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub stream: StreamId,
    pub key: String,
    /// One of [`RANGES`].
    pub range: &'static str,
    /// Columns in the order of their charts: the key's open alert's culprits first, else as configured.
    /// It stays the same as long as the alert does, so charts do not jump about.
    pub order: Vec<usize>,
    /// The key's open alert that nothing comes from it.
    pub silence: Option<NoDataEvidence>,
}

/// Every column once, those that carry most of `shares` (column name, share) first.
pub fn worst_first(stream: &StreamPlan, shares: &[(&str, f64)]) -> Vec<usize> {
    let share = |&c: &usize| {
        let name = stream.columns[c].name.as_str();
        shares.iter().find(|(column, _)| *column == name).map_or(0.0, |(_, share)| *share)
    };
    let mut order: Vec<usize> = (0..stream.columns.len()).collect();
    order.sort_by(|a, b| share(b).total_cmp(&share(a)));
    order
}

/// A name of [`RANGES`]. Of events that come a few times a day an hour would show none.
pub fn range(name: Option<&str>, shape: Shape) -> &'static str {
    let found = RANGES.iter().find(|(range, _)| Some(*range) == name);
    let otherwise = if shape == Shape::Grid { DEFAULT_RANGE } else { "all" };
    found.map_or(otherwise, |(range, _)| range)
}

/// `STREAM/KEY`; the longest stream name that fits wins, since either may hold a slash.
pub fn split<'a>(plan: &Plan, text: &'a str) -> Option<(StreamId, &'a str)> {
    let fits = |(i, stream): (usize, &StreamPlan)| {
        let key = text.strip_prefix(stream.name.as_str())?.strip_prefix('/')?;
        (!key.is_empty()).then_some((StreamId(i as u16), key))
    };
    plan.streams.iter().enumerate().filter_map(fits).min_by_key(|(_, key)| key.len())
}

/// `name=value&…`, percent-encoded.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        let byte = |b: u8| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        };
        text.bytes().map(byte).collect::<String>()
    };
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    #[test]
    fn a_key_may_hold_slashes_and_the_longest_stream_wins() {
        let mut plan = testing::plan();
        let mut longer = plan.streams[0].clone();
        longer.name = format!("{}/hall", plan.streams[0].name);
        plan.streams.push(longer);
        assert_eq!(split(&plan, "pumps/a/b"), Some((StreamId(0), "a/b")));
        assert_eq!(split(&plan, "pumps/hall/b"), Some((StreamId(1), "b")));
        assert_eq!(split(&plan, "pumps/"), None);
        assert_eq!(split(&plan, "fans/a"), None);
    }

    #[test]
    fn of_windows_that_events_make_all_is_shown_unless_less_is_asked_for() {
        assert_eq!([range(None, Shape::Grid), range(None, Shape::Sliding)], [DEFAULT_RANGE, "all"]);
        assert_eq!(range(Some("6h"), Shape::Sliding), "6h");
    }

    #[test]
    fn a_query_survives_any_key() {
        assert_eq!(form(&[("key", "a&b=c d/é")]), "key=a%26b%3Dc%20d%2F%C3%A9");
    }
}
