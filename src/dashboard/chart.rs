//! One column's chart as SVG: band, line, anomalies, grid.
//!
//! The geometry is drawn by plotters in a fixed box and stretched by its `viewBox`, so that one drawing
//! fits a phone and a wall; whatever must not be stretched (texts, marks) is placed beside it in
//! percent. No name ever enters an SVG: names are hostile input and stay in escaped HTML.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use plotters::prelude::*;

use super::reduce::{Curve, Sample, reduce};

/// CSS pixels of the plot; the width is nominal.
pub const WIDTH: u32 = 720;
pub const HEIGHT: u32 = 104;
/// The backend rounds to integers: draw larger, shrink by `viewBox`.
const SCALE: u32 = 4;
/// Of the time axis: one bin is two nominal pixels.
const BINS: i64 = WIDTH as i64 / 2;

/// Marks stand at least this far behind the end of the stretch before, percent of the width.
const APART_PERCENT: f64 = 3.0;

/// Colours that no palette has; the stylesheet gives each its meaning in both themes.
const BAND: RGBColor = RGBColor(1, 2, 1);
const VALUE: RGBColor = RGBColor(1, 2, 3);
const FIRING: RGBColor = RGBColor(1, 2, 4);
const GRID: RGBColor = RGBColor(1, 2, 5);
const EDGE: RGBColor = RGBColor(1, 2, 6);

/// The same colours where no stylesheet reaches: the light palette.
const PRINTED: [(&str, &str); 5] = [
    ("#010201", "#CFE1F5"),
    ("#010203", "#0B5CAD"),
    ("#010204", "#A12600"),
    ("#010205", "#D8DEE4"),
    ("#010206", "#8C959F"),
];

#[derive(Debug, thiserror::Error)]
#[error("the chart could not be drawn: {0}; read the numbers in the table below it")]
pub struct ChartError(String);

/// What to draw.
pub struct Panel<'a> {
    /// In order of time.
    pub samples: &'a [Sample],
    /// Distance of two windows without a gap, ns; `None` where events make windows: a point each, and nothing is missing
    /// between two of them.
    pub every_ns: Option<i64>,
    /// Time axis, ns.
    pub from: i64,
    pub to: i64,
    pub scale: Scale,
}

/// The vertical axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// The column's own unit.
    Linear,
    /// Values are -log10(p); the line is the stream's threshold, as p.
    Surprise { threshold: f64 },
}

/// A label beside an axis, at `at` percent from the left or pixels from the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub at: f64,
    pub label: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// SVG elements for a `viewBox` of [`view_box`].
    pub geometry: String,
    pub y_ticks: Vec<Tick>,
    /// Percent from the left at which an anomalous stretch begins.
    pub onsets: Vec<f64>,
}

/// `viewBox` of [`Chart::geometry`].
pub fn view_box() -> String {
    format!("0 0 {} {}", WIDTH * SCALE, HEIGHT * SCALE)
}

/// Bottom and top of the vertical axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    low: f64,
    high: f64,
}

impl Panel<'_> {
    fn duration(&self) -> i64 {
        (self.to - self.from).max(1)
    }

    fn percent(&self, time: i64) -> f64 {
        100.0 * (time - self.from) as f64 / self.duration() as f64
    }

    fn span(&self) -> Span {
        match self.scale {
            Scale::Linear => linear_span(self.samples),
            Scale::Surprise { threshold } => {
                let top = self.samples.iter().map(|s| s.value).filter(|v| v.is_finite()).fold(0.0, f64::max);
                Span { low: 0.0, high: 1.15 * top.max(-threshold.log10()).max(1.0) }
            }
        }
    }
}

/// At least three (median) band widths high, so that ordinary noise never looks like a fault.
fn linear_span(samples: &[Sample]) -> Span {
    let finite = samples.iter().flat_map(|s| [s.value, s.low, s.high]).filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return Span { low: 0.0, high: 1.0 };
    }
    let mut widths: Vec<f64> = samples.iter().map(|s| s.high - s.low).filter(|w| w.is_finite()).collect();
    widths.sort_unstable_by(f64::total_cmp);
    let band = widths.get(widths.len() / 2).copied().unwrap_or(0.0);
    let smallest = (low.abs().max(high.abs()) * 1e-3).max(1e-9);
    let half = 0.5 * (1.08 * (high - low)).max(3.0 * band).max(smallest);
    let middle = 0.5 * (low + high);
    Span { low: middle - half, high: middle + half }
}

pub fn draw(panel: &Panel<'_>) -> Result<Chart, ChartError> {
    let span = panel.span();
    let every_ns = panel.every_ns.unwrap_or(i64::MAX / 4);
    let curve = reduce(panel.samples, every_ns, panel.duration() / BINS);
    let steps = match panel.scale {
        Scale::Linear => ticks(span),
        Scale::Surprise { threshold } => {
            vec![-threshold.log10()].into_iter().filter(|y| y.is_finite()).collect()
        }
    };
    let mut svg = String::new();
    paint(&mut svg, panel, span, &curve, &steps).map_err(|error| ChartError(error.to_string()))?;
    let y = |value: f64| f64::from(HEIGHT) * (span.high - value) / (span.high - span.low);
    let label = |value: f64| match panel.scale {
        Scale::Linear => super::format::Format::Value.write(value),
        Scale::Surprise { threshold } => super::format::odds(threshold),
    };
    Ok(Chart {
        geometry: inner(&svg).to_owned(),
        y_ticks: steps.iter().map(|&value| Tick { at: y(value), label: label(value) }).collect(),
        onsets: onsets(panel, &curve),
    })
}

/// A stretch that begins where another has just ended is no new beginning: marks would only pile up.
fn onsets(panel: &Panel<'_>, curve: &Curve) -> Vec<f64> {
    let mut ended = f64::NEG_INFINITY;
    let mut marks = Vec::new();
    for &(first, last) in &curve.odd_spans {
        if panel.percent(first) - ended >= APART_PERCENT {
            marks.push(panel.percent(first));
        }
        ended = panel.percent(last);
    }
    marks
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn paint(svg: &mut String, panel: &Panel<'_>, span: Span, curve: &Curve, steps: &[f64]) -> Drawn {
    let root = SVGBackend::with_string(svg, (WIDTH * SCALE, HEIGHT * SCALE)).into_drawing_area();
    let end = panel.duration() as f64;
    let chart = ChartBuilder::on(&root).build_cartesian_2d(0.0..end, span.low..span.high)?;
    let area = chart.plotting_area();
    let x = |time: i64| (time - panel.from) as f64;
    let thin = |color: RGBColor| color.stroke_width(SCALE);
    for stretch in &curve.band {
        let lows = stretch.iter().map(|&(t, low, _)| (x(t), low));
        let highs = stretch.iter().rev().map(|&(t, _, high)| (x(t), high));
        area.draw(&Polygon::new(lows.clone().chain(highs.clone()).collect::<Vec<_>>(), BAND.filled()))?;
        area.draw(&PathElement::new(lows.collect::<Vec<_>>(), thin(EDGE)))?;
        area.draw(&PathElement::new(highs.collect::<Vec<_>>(), thin(EDGE)))?;
    }
    for &step in steps {
        let color = if panel.scale == Scale::Linear { GRID } else { EDGE };
        area.draw(&PathElement::new(vec![(0.0, step), (end, step)], thin(color)))?;
    }
    let dots = |stretch: &[(i64, f64)]| stretch.iter().map(|&(t, v)| (x(t), v)).collect::<Vec<_>>();
    for (stretches, color, width) in [(&curve.line, VALUE, 6), (&curve.odd, FIRING, 8)] {
        for stretch in stretches {
            if panel.every_ns.is_some() {
                area.draw(&PathElement::new(visible(dots(stretch), end), color.stroke_width(width)))?;
                continue;
            }
            for point in dots(stretch) {
                area.draw(&Circle::new(point, 2 * width, color.filled()))?;
            }
        }
    }
    for &(first, last) in &curve.odd_spans {
        let top = span.high - (span.high - span.low) * 0.03;
        let right = x(last).max(x(first) + end / f64::from(WIDTH));
        area.draw(&Rectangle::new([(x(first), span.high), (right, top)], FIRING.filled()))?;
    }
    root.present()
}

/// A stretch of a single window would be a line of no length: it gets one pixel.
fn visible(mut dots: Vec<(f64, f64)>, end: f64) -> Vec<(f64, f64)> {
    if let [(x, y)] = dots[..] {
        dots.push((x + end / f64::from(WIDTH), y));
    }
    dots
}

/// What lies between `<svg …>` and `</svg>`.
fn inner(svg: &str) -> &str {
    let start = svg.find(">\n").map_or(0, |at| at + 2);
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    svg[start..end.max(start)].trim_end()
}

/// At most four round numbers inside the span.
fn ticks(span: Span) -> Vec<f64> {
    let rough = (span.high - span.low) / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= rough).unwrap_or(rough);
    let first = (span.low / step).ceil() as i64;
    let last = (span.high / step).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

const TIME_STEPS_S: [i64; 17] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200];

/// At most six labels of round times of the box's zone, percent from the left.
pub fn time_ticks(from: i64, to: i64, zone: &TimeZone) -> Vec<Tick> {
    let duration_s = ((to - from) / 1_000_000_000).max(1);
    let days = (duration_s / 6 / 86_400 + 1) * 86_400;
    let step_s = TIME_STEPS_S.into_iter().find(|&s| s * 6 >= duration_s).unwrap_or(days);
    let pattern = match step_s {
        ..60 => "%H:%M:%S",
        60..86_400 => "%H:%M",
        _ => "%m-%d",
    };
    let Ok(start) = Timestamp::from_nanosecond(i128::from(from)) else { return Vec::new() };
    let offset_s = i64::from(zone.to_offset(start).seconds());
    let first = (start.as_second() + offset_s).div_euclid(step_s) + 1;
    (first..)
        .map(|n| n * step_s - offset_s)
        .take_while(|&second| second.saturating_mul(1_000_000_000) <= to)
        .take(16)
        .filter_map(|second| {
            let at = Timestamp::from_second(second).ok()?.to_zoned(zone.clone());
            let passed = second as f64 * 1e9 - from as f64;
            Some(Tick {
                at: 100.0 * passed / (to - from).max(1) as f64,
                label: at.strftime(pattern).to_string(),
            })
        })
        .collect()
}

/// A document of its own, for chat, print and old panels: fixed width, light palette, no names.
pub fn standalone(chart: &Chart, times: &[Tick], width: u32) -> String {
    const LEFT: u32 = 56;
    let plot = width.saturating_sub(LEFT).max(1);
    let (height, scale) = (HEIGHT, f64::from(plot) / 100.0);
    let mut geometry = chart.geometry.clone();
    for (sentinel, color) in PRINTED {
        geometry = geometry.replace(sentinel, color);
    }
    let text = |x: f64, y: f64, anchor: &str, label: &str| {
        format!(
            r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" font-family="sans-serif" font-size="11" fill="#57606A">{label}</text>"##
        )
    };
    let y_labels =
        chart.y_ticks.iter().map(|tick| text(f64::from(LEFT) - 6.0, tick.at + 4.0, "end", &tick.label));
    let x_labels = times
        .iter()
        .map(|tick| text(f64::from(LEFT) + tick.at * scale, f64::from(height) + 15.0, "middle", &tick.label));
    let labels: String = y_labels.chain(x_labels).collect();
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{full}" viewBox="0 0 {width} {full}"><rect width="{width}" height="{full}" fill="#FFFFFF"/><svg x="{LEFT}" width="{plot}" height="{height}" viewBox="{view}" preserveAspectRatio="none">
{geometry}
</svg>{labels}</svg>
"##,
        full = height + 22,
        view = view_box(),
    )
}

#[cfg(test)]
mod tests;
