//! The chosen key: its windows, its charts, and the part of the page that shows them.

use std::sync::Arc;

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::AppState;
use super::chart::{self, Chart, ChartError, Panel, Scale, Tick};
use super::doc::Doc;
use super::format::{Format, clock};
use super::history::Window;
use super::reduce::Sample;
use super::series::{Series, SeriesPoint};
use super::snapshot::ColumnView;
use crate::config::plan::{Plan, StreamPlan};
use crate::types::StreamId;

/// Windows in the table below the charts.
const RECENT: usize = 12;
/// Keys offered in the list.
const CHOICES: usize = 100;
/// Time ranges offered, seconds; 0 = all there is.
const RANGES: [(&str, i64); 4] = [("5m", 300), ("1h", 3_600), ("6h", 21_600), ("all", 0)];
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

    fn every_ns(&self) -> i64 {
        self.plan().window.every.as_nanos() as i64
    }

    pub fn columns(&self) -> Vec<ColumnView> {
        let columns = self.plan().columns.iter();
        columns.map(|c| ColumnView { name: c.name.clone(), unit: c.unit.clone() }).collect()
    }

    /// With the newest `limit` points.
    pub fn series(&self, limit: usize) -> Series {
        let skipped = self.windows.len().saturating_sub(limit);
        Series {
            stream: self.plan().name.clone(),
            key: self.key.clone(),
            columns: self.columns(),
            every_ns: self.every_ns(),
            threshold: self.plan().p_value,
            count: self.windows.len(),
            anomalous_count: self.windows.iter().filter(|window| window.anomalous).count(),
            from_ns: self.windows.first().map(|window| window.time_ns),
            to_ns: self.windows.last().map(|window| window.time_ns),
            latest: self.windows.last().map(SeriesPoint::from),
            points: self.windows[skipped..].iter().map(SeriesPoint::from).collect(),
        }
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
    fn surprise(&self) -> Result<Chart, ChartError> {
        let samples = self.samples(|window| (-window.p_value.max(1e-12).log10(), f64::NAN, f64::NAN));
        self.draw(&samples, Scale::Surprise { threshold: self.plan().p_value })
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

/// A name of [`RANGES`].
pub fn range(name: Option<&str>) -> &'static str {
    let found = RANGES.iter().find(|(range, _)| Some(*range) == name);
    found.map_or(DEFAULT_RANGE, |(range, _)| range)
}

/// `STREAM/KEY`; the longest stream name that fits wins, since either may hold a slash.
pub fn split<'a>(plan: &Plan, text: &'a str) -> Option<(StreamId, &'a str)> {
    let fits = |(i, stream): (usize, &StreamPlan)| {
        let key = text.strip_prefix(stream.name.as_str())?.strip_prefix('/')?;
        (!key.is_empty()).then_some((StreamId(i as u16), key))
    };
    plan.streams.iter().enumerate().filter_map(fits).min_by_key(|(_, key)| key.len())
}

/// The charts of one key.
#[derive(Template)]
#[template(path = "key.html")]
pub struct KeyPart<'a> {
    now: &'a Doc<'a>,
    recent: &'a Doc<'a>,
    stream: String,
    key: String,
    range: &'static str,
    ranges: Vec<&'static str>,
    choices: Vec<(String, bool)>,
    columns: Vec<ColumnView>,
    charts: Vec<ChartPart>,
    view_box: String,
    times: Vec<Tick>,
    rows: Vec<Row>,
    anomalous: bool,
    /// What makes `/fragment/key` give this again.
    query: String,
}

impl HtmlSafe for KeyPart<'_> {}

struct ChartPart {
    name: String,
    unit: String,
    /// Path of the newest cell; empty for the p-value.
    at: String,
    label: String,
    odd: bool,
    drawn: Result<Chart, ChartError>,
}

struct Row {
    at: String,
    clock: String,
    anomalous: bool,
}

/// Everything a [`KeyPart`] borrows.
pub struct KeyData {
    view: KeyView,
    choice: Choice,
    choices: Vec<(String, bool)>,
    series: Value,
    recent: Value,
    now_url: String,
    recent_url: String,
}

impl KeyData {
    pub fn read(state: &AppState, choice: Choice) -> Self {
        let key = choice.key.as_bytes();
        let newest = state.parts.history.latest(choice.stream, key).map_or(i64::MAX, |window| window.time_ns);
        let seconds =
            RANGES.iter().find(|(name, _)| *name == choice.range).map_or(0, |(_, seconds)| *seconds);
        let from = if seconds == 0 { i64::MIN } else { newest.saturating_sub(seconds * 1_000_000_000) };
        let view = KeyView::of(state, choice.stream, &choice.key, from, newest);
        let (series, recent) = (view.series(0), view.series(RECENT));
        let query = form(&[("stream", &series.stream), ("key", &choice.key)]);
        let url = |limit: usize| format!("/api/v1/series?{query}&to={}&limit={limit}", view.to);
        KeyData {
            choices: choices(state, &choice),
            now_url: url(0),
            recent_url: url(RECENT),
            // Plain structs of numbers and texts: this cannot fail.
            series: serde_json::to_value(&series).unwrap_or_default(),
            recent: serde_json::to_value(&recent).unwrap_or_default(),
            view,
            choice,
        }
    }

    pub fn docs(&self) -> (Doc<'_>, Doc<'_>) {
        (
            Doc { root: "series", url: self.now_url.clone(), json: &self.series },
            Doc { root: "recent", url: self.recent_url.clone(), json: &self.recent },
        )
    }

    pub fn part<'a>(
        &self,
        now: &'a Doc<'a>,
        recent: &'a Doc<'a>,
        now_ns: i64,
        zone: &TimeZone,
    ) -> KeyPart<'a> {
        let view = &self.view;
        let series = view.series(RECENT);
        let row = |(i, point): (usize, &SeriesPoint)| Row {
            at: format!("points[{i}]"),
            clock: clock(point.time_ns, now_ns, zone),
            anomalous: point.anomalous,
        };
        let name = format!("{}/{}", series.stream, self.choice.key);
        KeyPart {
            now,
            recent,
            query: form(&[("key", &name), ("range", self.choice.range)]),
            key: self.choice.key.clone(),
            range: self.choice.range,
            ranges: RANGES.iter().map(|(name, _)| *name).collect(),
            choices: self.choices.clone(),
            columns: series.columns.clone(),
            charts: if series.count == 0 { Vec::new() } else { self.charts(&series, now_ns, zone) },
            view_box: chart::view_box(),
            times: chart::time_ticks(view.from, view.to, zone),
            rows: series.points.iter().enumerate().rev().map(row).collect(),
            anomalous: series.latest.as_ref().is_some_and(|point| point.anomalous),
            stream: series.stream,
        }
    }

    fn charts(&self, series: &Series, now_ns: i64, zone: &TimeZone) -> Vec<ChartPart> {
        let span = format!(
            "of {} from {} to {}",
            self.choice.key,
            clock(self.view.from, now_ns, zone),
            clock(self.view.to, now_ns, zone)
        );
        let column = |(c, column): (usize, &ColumnView)| {
            let cell = series.latest.as_ref().map(|point| &point.columns[c]);
            let unit = column.unit.clone().unwrap_or_default();
            let read = |number: Option<f64>| Format::Value.write(number.unwrap_or(f64::NAN));
            let newest = cell.map_or(String::new(), |cell| {
                format!("now {} {unit}, normal {} to {}; ", read(cell.value), read(cell.low), read(cell.high))
            });
            ChartPart {
                label: format!(
                    "{} {span}: {newest}{} anomalous windows.",
                    column.name, series.anomalous_count
                ),
                name: column.name.clone(),
                unit,
                at: format!("latest.columns[{c}]"),
                odd: cell.is_some_and(outside),
                drawn: self.view.chart(c),
            }
        };
        let order = self.choice.order.iter();
        let mut charts: Vec<ChartPart> = order.map(|&c| column((c, &series.columns[c]))).collect();
        let threshold = Format::Odds.write(series.threshold);
        charts.push(ChartPart {
            name: "How odd".to_owned(),
            unit: String::new(),
            at: String::new(),
            label: format!("How odd the windows {span} are; the alarm is at {threshold}."),
            odd: series.latest.as_ref().is_some_and(|point| point.anomalous),
            drawn: self.view.surprise(),
        });
        charts
    }
}

fn outside(cell: &super::series::SeriesCell) -> bool {
    let (Some(value), Some(low), Some(high)) = (cell.value, cell.low, cell.high) else { return false };
    !(low..=high).contains(&value)
}

/// `STREAM/KEY` of keys with charts, and whether it is the chosen one (which is always among them).
fn choices(state: &AppState, choice: &Choice) -> Vec<(String, bool)> {
    let plan = &state.parts.plan;
    let mut names = Vec::new();
    for (i, stream) in plan.streams.iter().enumerate() {
        let id = StreamId(i as u16);
        let mut keys = state.parts.history.keys(id, "", CHOICES);
        if id == choice.stream && !keys.contains(&choice.key) {
            keys.insert(0, choice.key.clone());
        }
        let chosen = |key: &String| id == choice.stream && *key == choice.key;
        names.extend(keys.iter().map(|key| (format!("{}/{key}", stream.name), chosen(key))));
    }
    names
}

/// `name=value&…`, percent-encoded.
fn form(pairs: &[(&str, &str)]) -> String {
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
    fn a_query_survives_any_key() {
        assert_eq!(form(&[("key", "a&b=c d/é")]), "key=a%26b%3Dc%20d%2F%C3%A9");
    }
}
