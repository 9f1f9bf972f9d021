//! `no_data` and `idle_after`: when a key that sends nothing is told of, and how time goes on without rows.

use std::time::Duration;

use super::super::field::Field;
use super::super::plan::NoDataPlan;
use super::super::units::parse_duration;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// A sensor that died is the most common fault of all, and the one that windows of values cannot show.
pub const DEFAULT: NoDataPlan = NoDataPlan::Learn;

/// Longer than a device or a network takes to restart.
pub const IDLE_DEFAULT: Option<Duration> = Some(Duration::from_secs(60));

/// `"learn"`, `"off"`, or a duration.
pub fn parse(field: &Field<'_>) -> Option<NoDataPlan> {
    match field.is_text().then(|| field.text()).flatten() {
        Some("off") => Some(NoDataPlan::Off),
        Some("learn") => Some(NoDataPlan::Learn),
        Some(text) if parse_duration(text).is_none() => {
            field.problem(
                format!("{text:?} is neither \"learn\", \"off\" nor a duration"),
                "Write \"learn\", \"off\", or how long a key may be silent, such as \"5m\".",
            );
            None
        }
        _ => field.duration(SHORTEST..=LONGEST).map(NoDataPlan::After),
    }
}

/// `"off"`: a partition without rows waits for ever.
pub fn idle_after(field: &Field<'_>) -> Option<Option<Duration>> {
    if field.is_text() && field.text() == Some("off") {
        return Some(None);
    }
    field.duration(SHORTEST..=LONGEST).map(Some)
}
