//! How surprising training windows are, and where thresholds lie among them.

use crate::judge::calibrate::Calibrator;
use crate::model::pyramid::Pyramid;

/// Chances that are marked whatever the config says.
const CHANCES: [f64; 3] = [0.01, 0.001, 0.0001];
const BARS: usize = 40;
/// More than an f32 has bits.
const BISECTIONS: usize = 40;

#[derive(Clone, Debug, PartialEq)]
pub struct Surprise {
    /// Order statistics the p-values rest on.
    pub references: usize,
    pub median: f64,
    /// Largest of the references, nats.
    pub largest: f64,
    /// Of the references, each training window under a fit that had not seen it; shares sum to 1.
    pub bars: Vec<Bar>,
    /// Falling chance; the config's own among them.
    pub thresholds: Vec<Threshold>,
}

/// Share of the windows with a surprise in `[from, to)`, nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    pub from: f64,
    pub to: f64,
    pub share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    pub p: f64,
    /// Nats above which a window is rarer than `p`.
    pub surprise: f64,
    /// Training windows beyond.
    pub beyond: usize,
    /// Whether it is the stream's `p_value`.
    pub configured: bool,
}

pub(super) fn of(pyramid: &Pyramid, calibrator: &Calibrator, scored: &[f32], own: Option<f64>) -> Surprise {
    let references = pyramid.references();
    let mut chances: Vec<f64> = CHANCES.into_iter().filter(|p| Some(*p) != own).chain(own).collect();
    chances.sort_by(|a, b| b.total_cmp(a));
    let threshold = |p: f64| {
        // Its oddest column may speak for a window as well, so each of the two has half of the chance.
        let surprise = least_beyond(calibrator, p / 2.0);
        let beyond = scored.iter().filter(|s| f64::from(**s) > surprise).count();
        Threshold { p, surprise, beyond, configured: Some(p) == own }
    };
    let thresholds: Vec<Threshold> = chances.into_iter().map(threshold).collect();
    let largest = references.last().map_or(0.0, |s| f64::from(*s));
    let marked = thresholds.iter().map(|t| t.surprise).fold(largest, f64::max);
    Surprise {
        references: references.len(),
        median: references.get(references.len() / 2).map_or(0.0, |s| f64::from(*s)),
        largest,
        bars: bars(references, 1.02 * marked.max(1.0)),
        thresholds,
    }
}

/// The surprise above which the p-value is below `p`, nats.
fn least_beyond(calibrator: &Calibrator, p: f64) -> f64 {
    let (mut low, mut high) = (0.0f32, 1.0f32);
    while calibrator.p_value(high) >= p && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if calibrator.p_value(middle) >= p { low = middle } else { high = middle }
    }
    f64::from(high)
}

fn bars(references: &[f32], end: f64) -> Vec<Bar> {
    let width = end / BARS as f64;
    let mut counts = [0u32; BARS];
    for surprise in references {
        counts[((f64::from(*surprise) / width) as usize).min(BARS - 1)] += 1;
    }
    let n = references.len().max(1) as f64;
    let bar = |(at, count): (usize, &u32)| Bar {
        from: at as f64 * width,
        to: (at + 1) as f64 * width,
        share: f64::from(*count) / n,
    };
    counts.iter().enumerate().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_parts_what_is_rarer() {
        let references: Vec<f32> = (0..1024).map(|i| -((i as f32 + 0.5) / 1024.0).ln()).collect();
        let calibrator = Calibrator::new(&references);
        for p in [0.1, 0.01, 0.001, 0.0001, 1e-9] {
            let at = least_beyond(&calibrator, p) as f32;
            assert!(calibrator.p_value(at) < p || calibrator.p_value(at * 1.000_001) < p, "{p}");
            assert!(calibrator.p_value(at * 0.999_999) >= p, "{p}");
            // References are exponential; what so many cannot show is placed further out.
            let off = f64::from(at) + p.ln();
            assert!(off.abs() < 0.1 || (p < 0.001 && (0.0..2.0).contains(&off)), "{at} for {p}");
        }
    }

    #[test]
    fn bars_hold_every_reference_once() {
        let bars = bars(&[0.0, 0.1, 3.99, 4.0, 9.0], 4.0);
        assert_eq!((bars.len(), bars[0].from, bars[39].to), (40, 0.0, 4.0));
        assert_eq!((bars[0].share, bars[1].share, bars[39].share), (0.2, 0.2, 0.6));
    }
}
