//! The part of the page that shows the chosen key: charts, ranges, table.

use std::sync::atomic::Ordering::Relaxed;

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::chart::{self, Chart, ChartError, Tick};
use super::doc::Doc;
use super::format::{Format, clock, grouped};
use super::key::{Choice, KeyView, RANGES, form};
use super::series::{Series, SeriesCell, SeriesPoint};
use super::snapshot::ColumnView;
use super::{AppState, Parts};
use crate::config::plan::{ColumnPlan, StreamPlan};
use crate::types::StreamId;

/// Windows in the table below the charts.
const RECENT: usize = 12;
/// Keys offered in the list.
const CHOICES: usize = 100;

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
    /// Keys that are not offered: of each stream with too many, how many there are and its name.
    unlisted: Vec<(String, String)>,
    columns: Vec<ColumnView>,
    charts: Vec<ChartPart>,
    view_box: String,
    times: Vec<Tick>,
    /// A sample of normal: columns, and the addresses of their pictures.
    sampled: Vec<(String, String)>,
    rows: Vec<Row>,
    anomalous: bool,
    /// Since when nothing comes, and how often something did.
    silent: Option<(String, String)>,
    /// What gives this again.
    again: String,
    /// On a page of its own: the page's address.
    own: Option<String>,
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
    held_back: bool,
}

/// Everything a [`KeyPart`] borrows.
pub struct KeyData {
    view: KeyView,
    choice: Choice,
    choices: Vec<(String, bool)>,
    unlisted: Vec<(String, String)>,
    sampled: Vec<(String, String)>,
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
            unlisted: unlisted(state),
            sampled: sampled(state, choice.stream),
            now_url: url(0),
            recent_url: url(RECENT),
            // Plain structs of numbers and texts: this cannot fail.
            series: serde_json::to_value(&series).unwrap_or_default(),
            recent: serde_json::to_value(&recent).unwrap_or_default(),
            view,
            choice,
        }
    }

    /// What is known of the columns over all windows shown, where the API has it.
    pub fn spread(&self) -> (String, Series) {
        let series = self.view.series(0);
        (format!("{}&limit=0", self.windows_url(&series.stream)), series)
    }

    /// Where the API has all windows of the stretch shown.
    pub fn windows_url(&self, stream: &str) -> String {
        let [from, to] = [self.view.from, self.view.to].map(|ns| ns.to_string());
        let query = [("stream", stream), ("key", &self.choice.key), ("from", &from), ("to", &to)];
        format!("/api/v1/series?{}", form(&query))
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
        own: Option<String>,
    ) -> KeyPart<'a> {
        let view = &self.view;
        let series = view.series(RECENT);
        let row = |(i, point): (usize, &SeriesPoint)| Row {
            at: format!("points[{i}]"),
            clock: clock(point.time_ns, now_ns, zone),
            anomalous: point.anomalous,
            held_back: point.held_back.is_some(),
        };
        let name = format!("{}/{}", series.stream, self.choice.key);
        KeyPart {
            now,
            recent,
            again: match &own {
                Some(own) => format!("{own}?{}", form(&[("range", self.choice.range)])),
                None => {
                    format!("/fragment/key?{}", form(&[("key", &name), ("range", self.choice.range)]))
                }
            },
            own,
            key: self.choice.key.clone(),
            range: self.choice.range,
            ranges: RANGES.iter().map(|(name, _)| *name).collect(),
            choices: self.choices.clone(),
            unlisted: self.unlisted.clone(),
            sampled: self.sampled.clone(),
            columns: series.columns.clone(),
            charts: if series.count == 0 { Vec::new() } else { self.charts(&series, now_ns, zone) },
            view_box: chart::view_box(),
            times: chart::time_ticks(view.from, view.to, zone),
            rows: series.points.iter().enumerate().rev().map(row).collect(),
            anomalous: series.latest.as_ref().is_some_and(|point| point.anomalous),
            silent: self.choice.silence.as_ref().map(|silence| {
                let every = Format::Duration.write(silence.expected_every_ns as f64);
                (clock(silence.last_seen.0, now_ns, zone), every)
            }),
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

fn outside(cell: &SeriesCell) -> bool {
    let (Some(value), Some(low), Some(high)) = (cell.value, cell.low, cell.high) else { return false };
    !(low..=high).contains(&value)
}

/// Columns of the sample of what the stream's model takes for normal; none where there is none.
pub fn sampled(state: &AppState, stream: StreamId) -> Vec<(String, String)> {
    let plan = &state.parts.plan.streams[stream.0 as usize];
    let sample = state.parts.status.models(stream).sample();
    let drawn = sample.iter().flat_map(|sample| plan.columns.iter().zip(&sample.columns));
    let picture = |(column, _): (&ColumnPlan, _)| {
        let query = form(&[("stream", &plan.name), ("column", &column.name)]);
        (column.name.clone(), format!("/api/v1/models/sample.svg?{query}"))
    };
    drawn.filter(|(_, cells)| cells.is_some()).map(picture).collect()
}

/// Streams of which more keys are watched than are offered.
fn unlisted(state: &AppState) -> Vec<(String, String)> {
    let Parts { plan, status, history, .. } = &*state.parts;
    let of = |(id, stream): (StreamId, &StreamPlan)| {
        let keys: u64 = status.stream(id).iter().map(|partition| partition.keys.load(Relaxed)).sum();
        let offered = history.count(id).min(CHOICES);
        let more = keys.saturating_sub(offered as u64);
        (more > 0).then(|| (grouped(more), stream.name.clone()))
    };
    (0..).map(StreamId).zip(&plan.streams).filter_map(of).collect()
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
