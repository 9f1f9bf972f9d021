//! What others watch Eddy with: the alert rules and the dashboard in `configs/`.

use std::collections::BTreeSet;
use std::process::Command;

use crate::documents::{first_cells, read, section};
use crate::source::root;

const RULES: &str = "configs/prometheus-rules.yaml";
const RULES_TEST: &str = "tests/api/rules-test.yaml";
const DASHBOARD: &str = "configs/grafana-dashboard.json";

/// The names of metrics in a text, without what a histogram adds to them.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named = words.filter(|word| word.starts_with("eddy_"));
    named
        .map(|word| {
            let word =
                ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            word.to_owned()
        })
        .collect()
}

#[test]
fn rules_and_dashboard_name_metrics_that_there_are() {
    let known = first_cells(section(&read("README.md"), "Metrics"));
    for file in [RULES, RULES_TEST, DASHBOARD] {
        let named = metrics(&read(file));
        assert!(named.len() > 10, "{file} names only {named:?}");
        let unknown: Vec<&String> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which the README's table has not");
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "two panels share an id");
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert_eq!(
            panel["datasource"]["uid"], "${datasource}",
            "{title} is bound to one machine's data source"
        );
        for target in panel["targets"].as_array().expect("targets") {
            assert!(target["expr"].as_str().is_some_and(|expr| expr.contains("eddy_")), "{title}");
        }
    }
}

#[test]
fn every_rule_is_seen_to_fire_and_to_stay_quiet() {
    let (rules, tests) = (read(RULES), read(RULES_TEST));
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10);
    for name in names {
        let fires = tests.contains(&format!("        alertname: {name}\n        exp_alerts:\n          - "));
        assert!(fires, "{RULES_TEST} never sees {name} fire");
        assert!(
            tests.contains(&format!("eval_time: 9h, alertname: {name}, exp_alerts: [] }}")),
            "{RULES_TEST} does not see {name} stay quiet"
        );
    }
}

#[test]
fn prometheus_takes_the_rules_and_they_do_what_they_say() {
    for arguments in [["check", "rules", RULES], ["test", "rules", RULES_TEST]] {
        let done = Command::new("promtool").args(arguments).current_dir(root()).output();
        let done = done.expect("promtool is installed by scripts/setup");
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "promtool {arguments:?}: {said}");
    }
}
