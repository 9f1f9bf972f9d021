//! From a key's windows to what a chart of some hundred pixels can show, without losing an extreme.
//!
//! M4 (Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014) keeps the
//! first, smallest, largest and last value of each bin, so that a line drawn through them covers the
//! same pixels as one through all. The band keeps its outermost edges. Gaps stay gaps.

/// One window of one column. `value`, `low` and `high` are NaN where missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// ns
    pub time: i64,
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// The verdict on the whole window.
    pub anomalous: bool,
    /// This column is not as expected in an anomalous window.
    pub odd: bool,
}

/// Time (ns) and value.
pub type Dot = (i64, f64);

/// What is drawn. Each inner vector is one unbroken stretch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    pub line: Vec<Vec<Dot>>,
    /// Time, low, high.
    pub band: Vec<Vec<(i64, f64, f64)>>,
    /// The part of the line that is odd.
    pub odd: Vec<Vec<Dot>>,
    /// First and last anomalous window of each stretch, ns; also where the value is missing.
    pub odd_spans: Vec<(i64, i64)>,
}

/// Reduces `samples` (in order of time) to bins of `bin_ns`. Two samples further apart than one and a
/// half times `every_ns` have a gap between them.
pub fn reduce(samples: &[Sample], every_ns: i64, bin_ns: i64) -> Curve {
    let present = |s: &Sample| s.value.is_finite();
    let banded = |s: &Sample| s.low.is_finite() && s.high.is_finite();
    let odd_present = |s: &Sample| s.odd && s.value.is_finite();
    let line = |runs: Vec<&[Sample]>| runs.into_iter().map(|run| m4(run, bin_ns)).collect();
    Curve {
        line: line(stretches(samples, every_ns, present)),
        band: stretches(samples, every_ns, banded).into_iter().map(|run| band(run, bin_ns)).collect(),
        odd: line(stretches(samples, every_ns, odd_present)),
        odd_spans: stretches(samples, every_ns, |s| s.anomalous)
            .into_iter()
            .map(|run| (run[0].time, run[run.len() - 1].time))
            .collect(),
    }
}

/// The unbroken stretches of samples that satisfy `keep`; none is empty.
fn stretches(samples: &[Sample], every_ns: i64, keep: impl Fn(&Sample) -> bool) -> Vec<&[Sample]> {
    samples
        .chunk_by(|a, b| keep(a) && keep(b) && 2 * (b.time - a.time) <= 3 * every_ns)
        .filter(|run| keep(&run[0]))
        .collect()
}

fn bins(run: &[Sample], bin_ns: i64) -> impl Iterator<Item = &[Sample]> {
    let bin_ns = bin_ns.max(1);
    run.chunk_by(move |a, b| a.time.div_euclid(bin_ns) == b.time.div_euclid(bin_ns))
}

fn m4(run: &[Sample], bin_ns: i64) -> Vec<Dot> {
    let mut dots = Vec::new();
    for bin in bins(run, bin_ns) {
        let by_value = |&i: &usize, &j: &usize| bin[i].value.total_cmp(&bin[j].value);
        let smallest = (0..bin.len()).min_by(by_value).unwrap_or(0);
        let largest = (0..bin.len()).max_by(by_value).unwrap_or(0);
        let mut kept = [0, smallest, largest, bin.len() - 1];
        kept.sort_unstable();
        for (n, &i) in kept.iter().enumerate() {
            if n == 0 || kept[n - 1] != i {
                dots.push((bin[i].time, bin[i].value));
            }
        }
    }
    dots
}

/// The outermost edges of a bin hold from its first to its last sample.
fn band(run: &[Sample], bin_ns: i64) -> Vec<(i64, f64, f64)> {
    let mut edges = Vec::new();
    for bin in bins(run, bin_ns) {
        let low = bin.iter().map(|s| s.low).fold(f64::INFINITY, f64::min);
        let high = bin.iter().map(|s| s.high).fold(f64::NEG_INFINITY, f64::max);
        edges.push((bin[0].time, low, high));
        if bin.len() > 1 {
            edges.push((bin[bin.len() - 1].time, low, high));
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(time: i64, value: f64) -> Sample {
        Sample {
            time,
            value,
            low: value - 1.0,
            high: value + 1.0,
            anomalous: value > 50.0,
            odd: value > 50.0,
        }
    }

    #[test]
    fn a_missing_value_and_a_missing_window_both_break_the_line() {
        let samples = [sample(0, 1.0), sample(1, 2.0), sample(2, f64::NAN), sample(3, 4.0), sample(7, 5.0)];
        let curve = reduce(&samples, 1, 1);
        assert_eq!(curve.line, [vec![(0, 1.0), (1, 2.0)], vec![(3, 4.0)], vec![(7, 5.0)]]);
        assert_eq!(curve.band.len(), 3);
    }

    #[test]
    fn an_anomaly_without_a_value_still_has_its_span() {
        let mut samples = [sample(0, 1.0), sample(1, 60.0), sample(2, f64::NAN), sample(3, 1.0)];
        samples[2].anomalous = true;
        let curve = reduce(&samples, 1, 1);
        assert_eq!(curve.odd_spans, [(1, 2)], "the verdict is the window's, whatever this column holds");
        assert_eq!(curve.odd, [vec![(1, 60.0)]]);
    }

    /// What a bin of the screen shows: first, last, smallest and largest value drawn in it.
    fn shown(dots: &[Dot], bin: i64, bin_ns: i64) -> Option<[f64; 4]> {
        let inside: Vec<f64> =
            dots.iter().filter(|(t, _)| t.div_euclid(bin_ns) == bin).map(|&(_, v)| v).collect();
        let extreme = |pick: fn(f64, f64) -> f64| inside.iter().copied().reduce(pick);
        Some([*inside.first()?, *inside.last()?, extreme(f64::min)?, extreme(f64::max)?])
    }

    proptest! {
        #[test]
        fn no_bin_looks_different_from_drawing_everything(
            values in proptest::collection::vec(-100.0..100.0f64, 1..400),
            bin_ns in 1i64..60,
        ) {
            let all: Vec<Dot> = values.iter().enumerate().map(|(t, &v)| (t as i64, v)).collect();
            let samples: Vec<Sample> = all.iter().map(|&(t, v)| sample(t, v)).collect();
            let curve = reduce(&samples, 1, bin_ns);
            prop_assert_eq!(curve.line.len(), 1);
            prop_assert!(curve.line[0].is_sorted_by_key(|dot| dot.0));
            let bins = (values.len() as i64 - 1) / bin_ns;
            prop_assert!(curve.line[0].len() as i64 <= 4 * (bins + 1));
            for bin in 0..=bins {
                prop_assert_eq!(shown(&curve.line[0], bin, bin_ns), shown(&all, bin, bin_ns));
            }
            for s in &samples {
                let (_, low, high) = curve.band[0].iter().rfind(|edge| edge.0 <= s.time).unwrap();
                prop_assert!(*low <= s.low && s.high <= *high);
            }
        }
    }
}
