//! The report as a reader sees it at the end of the run.

use std::fmt;

use super::plant::pump_name;
use super::report::{KindOutcome, Outcome, Report};
use crate::types::EventTime;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        let scored = &facts.scored;
        writeln!(
            f,
            "Seed {}: {:.0} s of real time, {} min of event time ({} times as fast as the clock)",
            facts.seed,
            facts.real_s,
            facts.event_s / 60,
            facts.speed
        )?;
        writeln!(f, "  published {}, acknowledged {}", facts.published, facts.acked)?;
        writeln!(
            f,
            "  events {}, duplicates {}, late {}; windows scored {}, not scored {}, anomalous {}",
            scored.events,
            scored.events_duplicate,
            scored.events_late,
            scored.windows,
            scored.windows_unscored,
            scored.windows_anomalous
        )?;
        self.kinds(f)?;
        self.faults(f)?;
        self.summary(f)
    }
}

impl Report {
    fn kinds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["fault", "injected", "found", "missed", "median delay", "right column"];
        let [kind, injected, found, missed, delay, column] = heads;
        writeln!(f, "\n  {kind:<14} {injected:>8} {found:>6} {missed:>7} {delay:>13} {column:>13}")?;
        for KindOutcome { kind, injected, found, missed, delay_s_median, top_column_right } in &self.kinds {
            let delay = delay_s_median.map_or("-".into(), |s| format!("{s:.0} s"));
            let name = kind.as_str();
            writeln!(
                f,
                "  {name:<14} {injected:>8} {found:>6} {missed:>7} {delay:>13} {top_column_right:>13}"
            )?;
        }
        writeln!(f)
    }

    fn faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.faults {
            let fault = &outcome.fault;
            let (start, end) = (time_of_day(fault.start), time_of_day(fault.end));
            let pump = pump_name(fault.pump);
            writeln!(f, "  {pump}  {start} to {end}  {:<14} {}", fault.kind.as_str(), verdict(outcome))?;
        }
        for alert in &self.false_alerts {
            let (start, end) = (time_of_day(alert.window_start), time_of_day(alert.window_end));
            let why = alert.p_value.map_or("an onset".to_owned(), |p| format!("p = {p:.1e}"));
            writeln!(f, "  {}  {start} to {end}  FALSE ALERT    {why}", alert.pump)?;
        }
        Ok(())
    }

    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.alerts_false == 1 { "" } else { "s" };
        writeln!(
            f,
            "\n  {} of {} faults found, {} missed, {} false alert{plural} of {} raised",
            self.found, self.injected, self.missed, self.alerts_false, self.alerts_raised
        )?;
        if self.cut_short > 0 {
            writeln!(f, "  {} more had only just begun when the run ended", self.cut_short)?;
        }
        match self.first_true_alert_s {
            Some(s) => writeln!(f, "  first true alert received {s:.1} s after the start")?,
            None => writeln!(f, "  no true alert")?,
        }
        if let Some(ns) = self.receipt_ns_median {
            let share = |s: &super::report::StageShare| format!("{} {:.0} %", s.stage, 100.0 * s.share);
            let stages: Vec<String> = self.receipt_stages.iter().map(share).collect();
            writeln!(f, "  median alert took {:.1} ms: {}", ns as f64 / 1e6, stages.join(", "))?;
        }
        let (repeated, refused) = (self.facts.webhook_duplicates, self.facts.webhook_refused);
        writeln!(f, "  webhooks received twice {repeated}, refused {refused}")
    }
}

fn verdict(outcome: &Outcome) -> String {
    let columns: Vec<&str> = outcome.fault.columns.iter().map(|c| c.as_str()).collect();
    match (outcome.delay_s, &outcome.top_column) {
        (Some(delay_s), top) => {
            let top = top.as_deref().unwrap_or("nothing");
            format!("found after {delay_s:.0} s, pointing at {top} (in {})", columns.join(", "))
        }
        (None, _) => format!("MISSED (in {})", columns.join(", ")),
    }
}

/// `HH:MM:SS` UTC.
pub fn time_of_day(time: EventTime) -> String {
    let second = time.0.div_euclid(1_000_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}
