//! Alerts one config tells of and another does not.

use serde::Serialize;

use super::account::{self, Alert};

#[derive(Debug, PartialEq, Serialize)]
pub struct Comparison {
    pub kept: usize,
    pub gained: Vec<Alert>,
    pub lost: Vec<Alert>,
}

impl Comparison {
    /// An alert is kept if the other config has one of the same key and rule that overlaps it in time: where
    /// exactly an episode begins depends on the config.
    pub fn of(before: &[Alert], now: &[Alert]) -> Self {
        let without = |alerts: &[Alert], others: &[Alert]| -> Vec<Alert> {
            alerts.iter().filter(|alert| !others.iter().any(|other| overlap(alert, other))).cloned().collect()
        };
        let gained = without(now, before);
        Comparison { kept: now.len() - gained.len(), gained, lost: without(before, now) }
    }

    pub fn print(&self, config: &str, against: &str) {
        let Comparison { kept, gained, lost } = self;
        println!(
            "{config} against {against}: {kept} alerts kept, {} gained (+), {} lost (-)",
            gained.len(),
            lost.len()
        );
        account::print(&self.gained, "+");
        account::print(&self.lost, "-");
    }
}

fn overlap(a: &Alert, b: &Alert) -> bool {
    let end = |alert: &Alert| alert.closed_ns.unwrap_or(i64::MAX);
    (&a.key, &a.rule) == (&b.key, &b.rule) && a.onset_ns <= end(b) && b.onset_ns <= end(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(key: &str, onset: i64, closed: Option<i64>) -> Alert {
        Alert {
            id: format!("{key}{onset}"),
            key: key.to_owned(),
            rule: "window".to_owned(),
            onset_ns: onset,
            opened_ns: onset + 1,
            closed_ns: closed,
            resolution: None,
            revisions: 1,
            p_value_min: None,
            score: None,
            column: None,
        }
    }

    #[test]
    fn alerts_of_one_key_that_overlap_are_the_same_trouble() {
        let before = [alert("a", 10, Some(20)), alert("a", 50, Some(60)), alert("b", 10, None)];
        let now = [alert("a", 18, Some(30)), alert("b", 90, Some(95)), alert("c", 10, Some(20))];
        let comparison = Comparison::of(&before, &now);
        assert_eq!(comparison.kept, 2);
        assert_eq!(comparison.gained, now[2..]);
        assert_eq!(comparison.lost, before[1..2]);
    }
}
