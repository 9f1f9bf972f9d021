//! The report's drawings: small SVGs with a title and a description, colours by class. No name ever enters one:
//! names are hostile input and stay in escaped HTML.

use std::fmt::{self, Write as _};

use askama::filters::HtmlSafe;

use super::facts::LevelFacts;
use super::surprise::Surprise;
use super::windows::Trace;
use super::words::{likelihood, number, percent, value};

/// A drawing, ready for the page.
pub(super) struct Svg(String);

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Svg {}

/// A drawing box with its words; shapes are added in its coordinates.
struct Canvas {
    width: f64,
    height: f64,
    shapes: String,
}

impl Canvas {
    fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, shapes: String::new() }
    }

    fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4]) {
        let _ = write!(
            self.shapes,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
        );
    }

    fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        let _ = write!(
            self.shapes,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    fn dot(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        let _ = write!(self.shapes, r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"/>"#);
    }

    fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = write!(self.shapes, r#"<polyline class="{class}" points="{}"/>"#, points.join(" "));
    }

    /// `anchor`: `start`, `middle` or `end`; `label` is made of numbers and words of ours.
    fn text(&mut self, anchor: &str, x: f64, y: f64, label: &str) {
        let _ = write!(self.shapes, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{label}</text>"#);
    }

    /// `id` is its own on the page.
    fn finish(self, id: &str, title: &str, description: &str) -> Svg {
        let Canvas { width, height, shapes } = self;
        Svg(format!(
            r#"<svg role="img" viewBox="0 0 {width} {height}" aria-labelledby="{id}-title {id}-desc"><title id="{id}-title">{title}</title><desc id="{id}-desc">{description}</desc>{shapes}</svg>"#
        ))
    }
}

/// A range of values on a vertical stretch, the low end below.
struct Scale {
    /// Of what is shown.
    least: f64,
    most: f64,
    low: f64,
    high: f64,
    top: f64,
    bottom: f64,
}

impl Scale {
    /// Of the finite values, a little room about them.
    fn of(values: impl Iterator<Item = f64>, top: f64, bottom: f64) -> Scale {
        let finite = values.filter(|v| v.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return Scale { least: f64::NAN, most: f64::NAN, low: 0.0, high: 1.0, top, bottom };
        }
        let room = (0.06 * (high - low)).max(1e-3 * low.abs().max(high.abs())).max(1e-9);
        Scale { least: low, most: high, low: low - room, high: high + room, top, bottom }
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (self.bottom - self.top) * (self.high - value) / (self.high - self.low)
    }
}

/// Log-likelihood by number of codes, the chosen one filled.
pub(super) fn candidates(at: usize, level: &LevelFacts) -> Svg {
    const STEP: f64 = 84.0;
    const MOST: usize = 4;
    let likelihoods = || level.candidates.iter().map(|c| c.held_back_log_likelihood);
    let mut canvas = Canvas::new(STEP * level.candidates.len().max(MOST) as f64, 100.0);
    let scale = Scale::of(likelihoods(), 22.0, 72.0);
    let x = |place: usize| STEP * (place as f64 + 0.5);
    let points: Vec<(f64, f64)> = likelihoods().enumerate().map(|(i, l)| (x(i), scale.y(l))).collect();
    canvas.path("thread", &points);
    for (place, candidate) in level.candidates.iter().enumerate() {
        let (x, y) = points[place];
        canvas.dot(if place == level.likeliest() { "chosen" } else { "tried" }, x, y, 4.5);
        canvas.text("middle", x, y - 9.0, &likelihood(candidate.held_back_log_likelihood));
        canvas.text("middle", x, 94.0, &number(candidate.codes, "code"));
    }
    let tried = level.candidates.iter();
    let tried = tried.map(|c| format!("{} with {}", likelihood(c.held_back_log_likelihood), c.codes));
    let description =
        format!("Nats a dimension: {}; kept: {}.", tried.collect::<Vec<_>>().join(", "), level.codes);
    canvas.finish(&format!("level-{}", at + 1), "Held-back log-likelihood by number of codes", &description)
}

const PLOT: [f64; 4] = [48.0, 26.0, 712.0, 196.0];

/// Histogram of the surprise on a logarithmic scale of shares, thresholds marked.
pub(super) fn histogram(surprise: &Surprise) -> Svg {
    let [left, top, right, bottom] = PLOT;
    let mut canvas = Canvas::new(720.0, 232.0);
    let end = surprise.bars.last().map_or(1.0, |bar| bar.to);
    let x = |nats: f64| left + (right - left) * nats / end;
    // Down to half of what one reference is.
    let least = (0.5 / surprise.references.max(1) as f64).log10();
    let y = |share: f64| top + (bottom - top) * share.log10().max(least) / least;
    for power in (least.ceil() as i32)..=0 {
        let share = 10f64.powi(power);
        canvas.line("grid", [left, y(share), right, y(share)]);
        canvas.text("end", left - 6.0, y(share) + 4.0, &percent(share));
    }
    for bar in surprise.bars.iter().filter(|bar| bar.share > 0.0) {
        let (from, to, height) = (x(bar.from), x(bar.to), y(bar.share));
        canvas.rect("bar", [from + 0.5, height, to - from - 1.0, bottom - height]);
    }
    canvas.line("axis", [left, bottom, right, bottom]);
    for nats in ticks(end) {
        canvas.text("middle", x(nats), bottom + 15.0, &value(nats));
    }
    canvas.text("middle", 0.5 * (left + right), bottom + 32.0, "surprise, nats");
    let mut marks = Vec::new();
    for mark in &surprise.thresholds {
        let class = if mark.configured { "mark own" } else { "mark" };
        canvas.line(class, [x(mark.surprise), top - 6.0, x(mark.surprise), bottom]);
        let anchor = if x(mark.surprise) > right - 40.0 { "end" } else { "middle" };
        canvas.text(anchor, x(mark.surprise).min(right), top - 10.0, &percent(mark.p));
        marks.push(format!("{} beyond {} nats", percent(mark.p), value(mark.surprise)));
    }
    let title = "Surprise of the training windows, by share";
    let description = format!(
        "Median {} nats, largest {}. Thresholds: {}.",
        value(surprise.median),
        value(surprise.largest),
        marks.join("; ")
    );
    canvas.finish("surprise", title, &description)
}

/// At most nine round numbers from 0 on.
fn ticks(end: f64) -> impl Iterator<Item = f64> {
    let rough = end / 8.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
    (0..=(end / step) as i32).map(move |n| f64::from(n) * step)
}

/// One column over its window, and where its last cell was expected.
pub(super) fn trace(id: &str, trace: &Trace) -> Svg {
    const WIDTH: f64 = 320.0;
    const BAND: f64 = 12.0;
    let (left, right, top, bottom) = (52.0, 304.0, 8.0, 76.0);
    let mut canvas = Canvas::new(WIDTH, 84.0);
    let band = trace.expected.map_or([f64::NAN; 2], |e| [e.low, e.high]);
    let scale = Scale::of(trace.values.iter().copied().chain(band), top, bottom);
    let step = (right - left) / (trace.values.len().max(2) - 1) as f64;
    canvas.line("axis", [left, top, left, bottom]);
    for end in [scale.least, scale.most] {
        canvas.text("end", left - 5.0, scale.y(end) + 4.0, &value(end));
    }
    if let Some(expected) = trace.expected {
        let (high, low) = (scale.y(expected.high), scale.y(expected.low));
        canvas.rect("band", [right - 0.5 * BAND, high, BAND, (low - high).max(1.0)]);
    }
    let points = trace.values.iter().enumerate().map(|(i, v)| (left + step * i as f64, *v));
    let points: Vec<(f64, f64)> = points.collect();
    for stretch in points.split(|(_, v)| !v.is_finite()).filter(|stretch| !stretch.is_empty()) {
        let drawn: Vec<(f64, f64)> = stretch.iter().map(|(x, v)| (*x, scale.y(*v))).collect();
        match drawn[..] {
            [(x, y)] => canvas.dot("value", x, y, 1.5),
            _ => canvas.path("value", &drawn),
        }
    }
    if trace.last().is_finite() {
        canvas.dot(if trace.is_off() { "off" } else { "last" }, right, scale.y(trace.last()), 3.0);
    }
    let finite = || trace.values.iter().copied().filter(|v| v.is_finite());
    let description = format!(
        "{} cells from {} to {}, the last {}{}.",
        trace.values.len(),
        value(finite().fold(f64::NAN, f64::min)),
        value(finite().fold(f64::NAN, f64::max)),
        value(trace.last()),
        trace.expected.map_or(String::new(), |e| format!(
            " where {} to {} was expected",
            value(e.low),
            value(e.high)
        ))
    );
    canvas.finish(id, "One column over the window", &description)
}
