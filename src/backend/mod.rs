//! Where windows are scored. Outputs belong to the caller and are reused: the steady state
//! allocates nothing.

mod cohorts;
mod cpu;
mod explain;

pub use cpu::CpuBackend;
pub use explain::Explanation;

pub use crate::model::pyramid::Scores;
