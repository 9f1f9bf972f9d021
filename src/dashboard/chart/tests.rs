use super::*;

const S: i64 = 1_000_000_000;

fn samples() -> Vec<Sample> {
    (0..60)
        .map(|i| {
            let wave = (i as f64 * 0.3).sin();
            let value = if i == 20 { f64::NAN } else { 10.0 + wave + if i > 40 { 6.0 } else { 0.0 } };
            Sample {
                time: i * S,
                value,
                low: 8.5,
                high: 11.5,
                anomalous: (42..50).contains(&i),
                odd: (42..50).contains(&i),
            }
        })
        .collect()
}

fn panel(samples: &[Sample], scale: Scale) -> Panel<'_> {
    Panel { samples, every_ns: Some(S), from: 0, to: 59 * S, scale }
}

#[test]
fn golden_chart() {
    let samples = samples();
    let chart = draw(&panel(&samples, Scale::Linear)).unwrap();
    insta::assert_snapshot!(standalone(&chart, &time_ticks(0, 59 * S, &TimeZone::UTC), 360));
}

#[test]
fn noise_inside_the_band_never_fills_the_chart() {
    let calm: Vec<Sample> = (0..50)
        .map(|i| Sample {
            time: i * S,
            value: 5.0 + 0.01 * (i % 3) as f64,
            low: 4.0,
            high: 6.0,
            anomalous: false,
            odd: false,
        })
        .collect();
    let span = linear_span(&calm);
    assert!(span.high - span.low >= 3.0 * 2.0 - 1e-9, "{span:?}");
}

#[test]
fn a_gap_breaks_the_line_and_an_anomaly_is_marked_at_its_event_time() {
    let samples = samples();
    let chart = draw(&panel(&samples, Scale::Linear)).unwrap();
    let lines = chart.geometry.matches(r##"stroke="#010203""##).count();
    assert_eq!(lines, 2, "the missing value splits the line");
    assert_eq!(chart.onsets, [100.0 * 42.0 / 59.0]);
}

#[test]
fn windows_of_events_are_points_and_no_line() {
    let samples: Vec<Sample> =
        samples().into_iter().step_by(9).map(|s| Sample { low: f64::NAN, high: f64::NAN, ..s }).collect();
    let seen = samples.iter().filter(|sample| sample.value.is_finite()).count();
    let odd = samples.iter().filter(|sample| sample.odd).count();
    let chart = draw(&Panel { every_ns: None, ..panel(&samples, Scale::Linear) }).unwrap();
    let points = |color: &str| {
        let circles = chart.geometry.lines().filter(|line| line.starts_with("<circle"));
        circles.filter(|line| line.contains(color)).count()
    };
    assert_eq!((points("#010203"), points("#010204")), (seen, odd), "{}", chart.geometry);
    let mut lines = chart.geometry.lines().filter(|line| line.starts_with("<polyline"));
    assert!(odd > 0 && lines.all(|line| line.contains("#010205")), "ticks alone: {}", chart.geometry);
}

#[test]
fn a_constant_or_empty_series_still_has_an_axis() {
    let flat = [Sample { time: 0, value: 3.0, low: 3.0, high: 3.0, anomalous: false, odd: false }];
    let chart = draw(&panel(&flat, Scale::Linear)).unwrap();
    assert!(!chart.y_ticks.is_empty());
    assert!(chart.y_ticks.iter().all(|tick| (0.0..=f64::from(HEIGHT)).contains(&tick.at)));
    assert!(!draw(&panel(&[], Scale::Linear)).unwrap().y_ticks.is_empty());
}

#[test]
fn surprise_shows_the_threshold_inside() {
    let calm = [Sample { time: 0, value: 0.3, low: f64::NAN, high: f64::NAN, anomalous: false, odd: false }];
    let chart = draw(&panel(&calm, Scale::Surprise { threshold: 1e-4 })).unwrap();
    assert_eq!(chart.y_ticks[0].label, "1 in 10,000");
    assert!(chart.y_ticks[0].at > 0.0);
}

#[test]
fn times_are_round_in_the_zone_of_the_box() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let ticks = time_ticks(50 * 60 * S, 110 * 60 * S, &zone);
    let labels: Vec<&str> = ticks.iter().map(|tick| tick.label.as_str()).collect();
    assert_eq!(labels, ["03:00", "03:10", "03:20", "03:30", "03:40", "03:50"]);
    assert!((ticks[0].at - 100.0 / 6.0).abs() < 1e-9);
}

#[test]
fn a_flapping_verdict_is_marked_once() {
    let mut samples = samples();
    let odd = [3, 5, 6, 8, 40, 41];
    samples.iter_mut().enumerate().for_each(|(i, s)| s.anomalous = odd.contains(&i));
    let panel = Panel { samples: &samples, every_ns: Some(S), from: 0, to: 100 * S, scale: Scale::Linear };
    let chart = draw(&panel).unwrap();
    assert_eq!(chart.onsets, [3.0, 40.0]);
    assert_eq!(chart.geometry.matches("<rect").count(), 4, "every anomalous stretch is drawn");
}
