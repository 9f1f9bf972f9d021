//! What happens, as it happens: one line a fault and one an alert.

use super::faults::Fault;
use super::plant::pump_name;
use super::receiver::Received;
use super::report::matches;
use super::table::time_of_day;
use crate::types::{AlertState, EventTime};

/// Remembers what has been told.
#[derive(Debug, Default)]
pub struct Live {
    faults_told: usize,
}

impl Live {
    /// Lines about everything new: faults (in order of start) that began by `now`, and `alerts` since
    /// the last call.
    pub fn lines(
        &mut self,
        now: EventTime,
        real_s: f64,
        faults: &[Fault],
        alerts: &[Received],
    ) -> Vec<String> {
        let begun = faults[self.faults_told..].iter().take_while(|f| f.start <= now);
        let mut lines: Vec<String> = begun.map(|fault| began(fault, real_s)).collect();
        self.faults_told += lines.len();
        lines.extend(alerts.iter().map(|alert| told(alert, faults)));
        lines
    }
}

fn began(fault: &Fault, real_s: f64) -> String {
    let columns: Vec<&str> = fault.columns.iter().map(|c| c.as_str()).collect();
    format!(
        "{real_s:6.1} s  {}  {}  fault     {} begins (in {})",
        time_of_day(fault.start),
        pump_name(fault.pump),
        fault.kind.as_str(),
        columns.join(", ")
    )
}

fn told(alert: &Received, faults: &[Fault]) -> String {
    let decision = &alert.decision;
    let place = format!("{:6.1} s  {}  {}", alert.at_s, time_of_day(alert.end), decision.key);
    match decision.state {
        AlertState::Resolved => return format!("{place}  resolved"),
        AlertState::Retracted => return format!("{place}  retracted"),
        AlertState::Raised | AlertState::Revised => {}
    }
    let cause = match faults.iter().find(|f| matches(alert, f)) {
        Some(fault) => {
            let delay_s = (alert.end.0 - fault.start.0) as f64 / 1e9;
            format!("{}, {delay_s:.0} s of event time after its start", fault.kind.as_str())
        }
        None => "no fault here: a false alert".to_owned(),
    };
    let column = decision.top_column().unwrap_or("no column");
    let why = match decision.window() {
        Some(window) => format!("stands out, p = {:.1e}", window.p_value),
        None => "goes further than ever".to_owned(),
    };
    format!("{place}  ALERT     {column} {why} ({cause})")
}

#[cfg(test)]
mod tests {
    use super::super::faults::Schedule;
    use super::super::history::DEMO_START;
    use super::super::plant::SECOND_NS;
    use super::super::report::fixtures::alert;
    use super::*;

    #[test]
    fn each_fault_and_alert_is_told_once_and_named_for_what_it_is() {
        let faults = Schedule::new(1, DEMO_START, 5_400).faults;
        let mut live = Live::default();
        assert!(live.lines(DEMO_START, 0.0, &faults, &[]).is_empty());
        let first = faults[0].start;
        assert_eq!(live.lines(first, 3.0, &faults, &[]).len(), 1);
        let pump = pump_name(faults[0].pump);
        let start_s = first.0 / SECOND_NS;
        let alerts = [alert(&pump, "a", start_s - 24, start_s + 40), alert(&pump, "b", 0, 64)];
        let lines = live.lines(first, 3.5, &faults, &alerts);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("40 s of event time after"), "{}", lines[0]);
        assert!(lines[1].contains("a false alert"), "{}", lines[1]);
        assert_eq!(live.lines(EventTime(i64::MAX), 90.0, &faults, &[]).len(), faults.len() - 1);
    }
}
