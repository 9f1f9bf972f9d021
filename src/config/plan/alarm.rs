//! What makes a window anomalous, and what a cell an onset.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AlarmPlan {
    /// A p-value below this.
    PValue(f64),
    /// Whatever opens about so many alerts a day, over all keys of the stream.
    Budget { per_day: f64 },
}

/// From when on a key's ranges mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnsetPlan {
    /// Grid cells with data at least ...
    pub cells: u32,
    /// ... and event time since the first of them.
    pub span: Duration,
}

impl AlarmPlan {
    pub fn p_value(self) -> Option<f64> {
        match self {
            AlarmPlan::PValue(p_value) => Some(p_value),
            AlarmPlan::Budget { .. } => None,
        }
    }

    pub fn budget_per_day(self) -> Option<f64> {
        match self {
            AlarmPlan::PValue(_) => None,
            AlarmPlan::Budget { per_day } => Some(per_day),
        }
    }
}

impl fmt::Display for AlarmPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AlarmPlan::PValue(p_value) => write!(f, "p < {p_value}"),
            AlarmPlan::Budget { per_day } => write!(f, "budget {per_day} alert(s) a day"),
        }
    }
}
