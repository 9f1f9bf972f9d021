use super::*;

/// A plan with one stream of a name that must be escaped, and no numbers yet.
fn plan() -> Plan {
    let mut plan = crate::dashboard::testing::plan();
    plan.streams[0].name = "pu\"mps\\\n".to_owned();
    plan
}

fn text(format: Format) -> String {
    let (plan, latency) = (plan(), Latency::new());
    let status = Status::new(&plan, 0);
    status.log_messages_total.store(42, Relaxed);
    status.partition(StreamId(0), 1).events_total.store(3, Relaxed);
    status.partition(StreamId(0), 2).events_total.store(4, Relaxed);
    let mut recorder = latency.recorder(Stage::Score);
    recorder.record(900, 10);
    recorder.record(80_000, 5);
    recorder.record(3_000_000_000, 1);
    render(&plan, &status, &latency, 1_500_000_000, format)
}

fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().unwrap()
}

#[test]
fn counters_gauges_and_labels() {
    let text = text(Format::Prometheus);
    assert_eq!(value(&text, "eddy_log_messages_total"), 42.0);
    assert_eq!(value(&text, "eddy_uptime_seconds"), 1.5);
    assert_eq!(value(&text, r#"eddy_stream_events_total{stream="pu\"mps\\\n"}"#), 7.0);
    assert_eq!(value(&text, r#"eddy_dead_letters_total{reason="late"}"#), 0.0);
    assert!(!text.contains("eddy_stream_watermark_timestamp_seconds{"), "no watermark yet, no time to tell");
}

#[test]
fn drift_is_told_by_column_once_it_was_seen() {
    let (plan, latency) = (plan(), Latency::new());
    let status = Status::new(&plan, 0);
    let of = |status: &Status| render(&plan, status, &latency, 0, Format::Prometheus);
    assert!(!of(&status).contains("eddy_stream_drift_sd{"));
    let mut drift = crate::types::drift::Drift::new(4);
    (0..10).for_each(|_| drift.count(1, 1.5));
    (drift.windows, drift.low) = (40.0, 6.0);
    // Of two partitions alike, as of one.
    [3, 9].into_iter().for_each(|partition| status.partition(StreamId(0), partition).set_drift(&drift));
    let text = of(&status);
    let labels = r#"{stream="pu\"mps\\\n",column="pressure"}"#;
    assert_eq!(value(&text, &format!("eddy_stream_drift_sd{labels}")), 1.625);
    assert_eq!(value(&text, &format!("eddy_stream_drift_keys_ratio{labels}")), 1.0);
    assert_eq!(value(&text, r#"eddy_stream_low_p_ratio{stream="pu\"mps\\\n"}"#), 0.15);
    let mut drifts = text.lines().filter(|line| line.starts_with("eddy_stream_drift_sd{"));
    assert!(drifts.all(|line| !line.contains("column=\"flow\"")), "nothing was seen of it");
}

#[test]
fn rows_without_a_column_are_counted_where_a_row_holds_all() {
    let (mut plan, latency) = (plan(), Latency::new());
    let status = Status::new(&plan, 0);
    let of = |plan: &Plan, status: &Status| render(plan, status, &latency, 0, Format::Prometheus);
    let rows = status.rows(StreamId(0));
    rows.absent_total.iter().zip([2, 9]).for_each(|(absent, rows)| absent.store(rows, Relaxed));
    let absent = |column: &str| {
        format!(r#"eddy_stream_column_absent_total{{stream="pu\"mps\\\n",column="{column}"}}"#)
    };
    let text = of(&plan, &status);
    let names = [0, 1].map(|column| plan.streams[0].columns[column].name.clone());
    assert_eq!(names.map(|name| value(&text, &absent(&name))), [2.0, 9.0]);
    let path = crate::config::plan::FieldPath::Json(vec!["x".to_owned()]);
    plan.streams[0].layout =
        crate::config::plan::Layout::Long { column: path.clone(), value: path, points: None };
    assert!(!of(&plan, &Status::new(&plan, 0)).contains("eddy_stream_column_absent_total{"));
}

#[test]
fn each_format_keeps_its_own_rules() {
    let open = text(Format::OpenMetrics);
    assert!(open.ends_with("# EOF\n"));
    assert!(open.contains("# TYPE eddy_log_messages counter\n"));
    let plain = text(Format::Prometheus);
    assert!(!plain.contains("# EOF"));
    assert!(plain.contains("# TYPE eddy_log_messages_total counter\n"));
    assert!(plain.contains("# HELP eddy_log_messages_total "));
    let samples = |text: &str| {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(samples(&open), samples(&plain));
    assert_eq!(
        Format::negotiate("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
        Format::OpenMetrics
    );
    assert_eq!(Format::negotiate("*/*"), Format::Prometheus);
}

#[test]
fn the_histogram_is_cumulative_in_seconds_and_never_too_good() {
    let text = text(Format::Prometheus);
    let bucket =
        |le: &str| value(&text, &format!(r#"eddy_stage_latency_seconds_bucket{{le="{le}",stage="score"}}"#));
    assert_eq!((bucket("0.000001"), bucket("0.00005"), bucket("0.0001")), (10.0, 10.0, 15.0));
    assert_eq!((bucket("2.5"), bucket("5.0"), bucket("+Inf")), (15.0, 16.0, 16.0));
    assert_eq!(value(&text, r#"eddy_stage_latency_seconds_count{stage="score"}"#), 16.0);
    let sum = value(&text, r#"eddy_stage_latency_seconds_sum{stage="score"}"#);
    assert!((sum - 3.000_409).abs() < 0.02 * 3.0, "{sum}");
}

#[test]
fn a_value_at_the_edge_of_a_bucket_is_counted_above_it() {
    let latency = Latency::new();
    latency.recorder(Stage::Log).record(1_000_000, 1);
    // At two digits 1 ms and 1.003 ms are one: the bucket of 1 ms must not claim it.
    let buckets = latency.buckets(Stage::Log, &[1_000_000, 2_000_000]);
    assert_eq!((buckets.counts, buckets.count), (vec![0, 1, 0], 1));
}
