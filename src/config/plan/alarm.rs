//! What makes a window anomalous.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AlarmPlan {
    /// A p-value below this.
    PValue(f64),
    /// Whatever opens about so many alerts a day, over all keys of the stream.
    Budget { per_day: f64 },
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
