//! Where windows are scored. Outputs belong to the caller and are reused: the steady state
//! allocates nothing.

mod cohorts;
mod cpu;
pub mod cuda;
mod explain;
mod select;

pub use cpu::CpuBackend;
pub use explain::Explanation;
pub use select::{Backend, Choice};

pub use crate::model::pyramid::Scores;
