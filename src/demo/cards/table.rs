//! The cards' part of the report as a reader sees it at the end of the run.

use std::fmt;

use super::days_since_start;
use super::holders::{CARDS, TERMINALS};
use super::report::{CardReport, KindOutcome, Outcome};
use crate::types::EventTime;

impl fmt::Display for CardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        writeln!(
            f,
            "Cards: {:.0} days of {} s each after {} days of history, {CARDS} cards, {TERMINALS} terminals",
            self.days, self.day_real_s, self.history_days
        )?;
        writeln!(
            f,
            "  published {}, acknowledged {}; payments since the start {}, charge-backs {}",
            facts.published, facts.acked, self.payments, self.charge_backs
        )?;
        for (stream, scored) in [("cards", &facts.cards), ("bursts", &facts.bursts)] {
            writeln!(
                f,
                "  {stream}: events {}, duplicates {}, late {}; windows scored {}, not scored {}, anomalous {}",
                scored.events,
                scored.events_duplicate,
                scored.events_late,
                scored.windows,
                scored.windows_unscored,
                scored.windows_anomalous
            )?;
        }
        self.kinds(f)?;
        self.frauds.iter().try_for_each(|outcome| writeln!(f, "  {}", line(outcome)))?;
        self.summary(f)
    }
}

impl CardReport {
    fn kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads =
            ["fraud", "injected", "found", "missed", "by cards", "by bursts", "median delay", "alerted"];
        let [kind, injected, found, missed, cards, bursts, delay, alerted] = heads;
        writeln!(
            f,
            "\n  {kind:<20} {injected:>8} {found:>6} {missed:>7} {cards:>9} {bursts:>10} {delay:>13} {alerted:>16}"
        )?;
        for kind in &self.kinds {
            let KindOutcome { injected, found, missed, found_by_cards, found_by_bursts, .. } = kind;
            let name = kind.kind.as_str();
            let delay = kind.delay_s_median.map_or("-".into(), duration);
            let alerted = format!("{} of {} paid", kind.payments_alerted, kind.payments);
            writeln!(
                f,
                "  {name:<20} {injected:>8} {found:>6} {missed:>7} {found_by_cards:>9} {found_by_bursts:>10} \
                 {delay:>13} {alerted:>16}"
            )?;
        }
        writeln!(f)
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {} of {} frauds found, {} missed; of {} alerts raised {} belong to no fraud, {} of them name a terminal",
            self.found,
            self.injected,
            self.missed,
            self.alerts_raised,
            self.alerts_false,
            self.alerts_false_terminal
        )?;
        writeln!(f, "  {} more alerts in the history, where nothing is fraud", self.alerts_history)?;
        if self.cut_short > 0 {
            writeln!(f, "  {} more frauds were not over when the run ended", self.cut_short)?;
        }
        self.rules(f)
    }

    /// What needs no outcomes and no model.
    fn rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = |of: fn(&KindOutcome) -> usize| -> String {
            let each =
                |kind: &KindOutcome| format!("{} {} of {}", kind.kind.as_str(), of(kind), kind.injected);
            self.kinds.iter().map(each).collect::<Vec<_>>().join(", ")
        };
        writeln!(f, "  At as many false alerts find")?;
        writeln!(
            f,
            "    a threshold on the amount {} of {} ({})",
            self.found_by_amount_alone,
            self.injected,
            kinds(|kind| kind.found_by_amount_alone)
        )?;
        writeln!(
            f,
            "    thresholds on amount and sum of 15 minutes by a card's own mean {} of {} ({})",
            self.found_by_own_mean,
            self.injected,
            kinds(|kind| kind.found_by_own_mean)
        )
    }
}

fn line(outcome: &Outcome) -> String {
    let fraud = &outcome.fraud;
    let (victim, kind) = (fraud.victim.to_string(), fraud.kind.as_str());
    let place = format!("{victim:<8} {:<8} to {:<4}  {kind:<20}", day(fraud.start), days(fraud.end));
    let (Some(delay_s), Some(until)) = (outcome.delay_s, outcome.payments_until_found) else {
        return format!("{place} MISSED ({} payments)", outcome.payments);
    };
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    format!(
        "{place} found after {}, by payment {until} of {} ({}: {})",
        duration(delay_s),
        outcome.payments,
        text(&outcome.stream),
        text(&outcome.top_column)
    )
}

fn days(time: EventTime) -> String {
    format!("{:.1}", days_since_start(time))
}

/// `day 12.4`, counted from the start.
pub fn day(time: EventTime) -> String {
    format!("day {}", days(time))
}

/// In the unit that a reader would take.
pub fn duration(s: f64) -> String {
    match s {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}
