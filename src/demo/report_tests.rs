use super::super::faults::{Kind, Schedule};
use super::super::plant::Column;
use super::fixtures::{alert, at};
use super::*;
use crate::types::{About, OnsetEvidence, Watched};

const WINDOW_S: i64 = 64;

/// A fault on pump-03 over `[1000 s, 1400 s)`.
fn fault(kind: Kind, columns: &[Column]) -> Fault {
    let mut fault = Schedule::new(1, at(0), 5_400).faults[0].clone();
    (fault.pump, fault.kind, fault.columns) = (2, kind, columns.to_vec());
    (fault.start, fault.end) = (at(1_000), at(1_400));
    fault
}

fn wear() -> Fault {
    fault(Kind::BearingWear, &[Column::Vibration, Column::Temperature])
}

fn report(faults: &[Fault], alerts: &[Received]) -> Report {
    Report::new(Facts::default(), faults, at(5_400), WINDOW_S, alerts)
}

#[test]
fn an_alert_on_the_fault_finds_it_with_the_delay_to_its_windows_end() {
    let report = report(&[wear()], &[alert("pump-03", "a", 1_008, 1_072)]);
    assert_eq!((report.injected, report.found, report.missed, report.alerts_false), (1, 1, 0, 0));
    assert_eq!(report.faults[0].delay_s, Some(72.0));
    assert_eq!(report.faults[0].top_column.as_deref(), Some("vibration"));
    assert_eq!(report.faults[0].top_column_right, Some(true));
    assert_eq!(report.first_true_alert_s, Some(10.0));
}

#[test]
fn windows_that_only_touch_the_fault_do_not_find_it() {
    let touching = [alert("pump-03", "a", 936, 1_000), alert("pump-03", "b", 1_400, 1_464)];
    let outside = report(&[wear()], &touching);
    assert_eq!((outside.found, outside.missed, outside.alerts_false), (0, 1, 2));
    let holding = [alert("pump-03", "a", 937, 1_001), alert("pump-03", "b", 1_399, 1_463)];
    let inside = report(&[wear()], &holding);
    assert_eq!((inside.found, inside.alerts_false), (1, 0));
    assert_eq!(inside.faults[0].delay_s, Some(1.0), "the first of two");
}

/// An onset has a cell, no window and no p-value.
#[test]
fn an_onset_in_the_fault_finds_it_and_elsewhere_is_false() {
    let onset = |pump: &str, id: &str, second: i64| {
        let mut alert = alert(pump, id, second, second + 2);
        alert.decision.rule = "onset".into();
        alert.decision.about = About::Onset(OnsetEvidence {
            cell_start: at(second),
            cell_end: at(second + 2),
            epoch: 0,
            column: "vibration".into(),
            unit: None,
            watched: Watched::Value,
            value: 9.0,
            range_low: 1.0,
            range_high: 4.0,
            score: 1.0,
            score_threshold: 0.05,
            ended: None,
        });
        alert
    };
    let report = report(&[wear()], &[onset("pump-03", "a", 1_020), onset("pump-04", "b", 1_020)]);
    assert_eq!((report.found, report.alerts_false, report.faults[0].delay_s), (1, 1, Some(22.0)));
    assert_eq!(report.faults[0].top_column_right, Some(true));
    assert!(report.to_string().contains("FALSE ALERT    an onset"), "{report}");
}

#[test]
fn an_alert_on_another_pump_is_false_and_leaves_the_fault_missed() {
    let report = report(&[wear()], &[alert("pump-04", "a", 1_100, 1_164)]);
    assert_eq!((report.found, report.missed, report.alerts_false), (0, 1, 1));
    assert_eq!(report.false_alerts[0].pump, "pump-04");
    assert_eq!(report.first_true_alert_s, None);
}

#[test]
fn revisions_of_one_alert_count_once_and_resolving_ones_not_at_all() {
    let first = alert("pump-09", "a", 100, 164);
    let mut revised = alert("pump-09", "a", 108, 172);
    revised.decision.revision = 2;
    let mut revised_again = alert("pump-09", "a", 116, 180);
    revised_again.decision.revision = 3;
    let mut resolved = alert("pump-09", "a", 300, 364);
    (resolved.decision.revision, resolved.decision.state) = (4, AlertState::Resolved);
    let mut only_resolved = alert("pump-03", "b", 1_100, 1_164);
    only_resolved.decision.state = AlertState::Resolved;
    let report = report(&[wear()], &[revised, first, revised_again, resolved, only_resolved]);
    assert_eq!((report.alerts_raised, report.alerts_false, report.found), (1, 1, 0));
    assert_eq!(report.false_alerts[0].window_end, at(164), "the first revision, whatever came first");
}

#[test]
fn the_top_column_is_wrong_when_the_fault_does_not_show_there() {
    let stuck = fault(Kind::StuckSensor, &[Column::Pressure]);
    let report = report(&[stuck], &[alert("pump-03", "a", 1_008, 1_072)]);
    assert_eq!(report.faults[0].top_column_right, Some(false));
    let of_kind = report.kinds.iter().find(|k| k.kind == Kind::StuckSensor).unwrap();
    assert_eq!((of_kind.injected, of_kind.found, of_kind.top_column_right), (1, 1, 0));
}

#[test]
fn kinds_hold_the_median_delay_of_what_was_found() {
    let mut faults = vec![wear(), wear(), wear(), wear()];
    for (index, fault) in faults.iter_mut().enumerate() {
        fault.pump = index;
    }
    let alerts = [
        alert("pump-01", "a", 956, 1_020),
        alert("pump-02", "b", 976, 1_040),
        alert("pump-03", "c", 1_336, 1_400),
    ];
    let report = report(&faults, &alerts);
    let wear = &report.kinds[0];
    assert_eq!((wear.injected, wear.found, wear.missed, wear.delay_s_median), (4, 3, 1, Some(40.0)));
}

#[test]
fn faults_that_hardly_began_are_not_judged_and_those_to_come_not_mentioned() {
    let mut late = wear();
    (late.pump, late.start, late.end) = (5, at(1_200), at(1_500));
    let mut later = wear();
    (later.pump, later.start, later.end) = (6, at(3_000), at(3_500));
    let faults = [wear(), late, later];
    let alerts = [alert("pump-06", "a", 1_150, 1_214)];
    let report = Report::new(Facts::default(), &faults, at(1_220), WINDOW_S, &alerts);
    assert_eq!((report.injected, report.found, report.missed, report.cut_short), (1, 0, 1, 1));
    assert_eq!(report.alerts_false, 0, "an alert on a fault that is not judged is still true");
}

#[test]
fn receipts_give_the_median_total_and_shares_that_add_up() {
    let mut slow = alert("pump-03", "b", 1_008, 1_072);
    slow.receipt.segments[1].ns = 1_300;
    slow.receipt.total_ns = 1_600;
    let report = report(&[wear()], &[alert("pump-03", "a", 1_000, 1_064), slow]);
    assert_eq!(report.receipt_ns_median, Some(1_000));
    let shares: Vec<f64> = report.receipt_stages.iter().map(|s| s.share).collect();
    assert_eq!(shares, [0.3, 0.7]);
}

#[test]
fn the_table_shows_misses_and_false_alerts() {
    let table = report(&[wear()], &[alert("pump-04", "a", 1_100, 1_164)]).to_string();
    assert!(table.contains("0 of 1 faults found, 1 missed, 1 false alert"), "{table}");
    assert!(table.contains("MISSED"), "{table}");
    assert!(table.contains("pump-04"), "{table}");
}

#[test]
fn the_json_names_pump_and_outcome_of_every_fault() {
    let report = report(&[wear()], &[alert("pump-03", "a", 1_008, 1_072)]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["faults"][0]["pump"], "pump-03");
    assert_eq!(json["faults"][0]["kind"], "bearing_wear");
    assert_eq!(json["faults"][0]["delay_s"], 72.0);
    assert_eq!(json["missed"], 0);
}
