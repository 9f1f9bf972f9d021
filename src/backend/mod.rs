//! Where windows are scored. Outputs belong to the caller and are reused: the steady state
//! allocates nothing.

mod ahead;
mod cohorts;
mod cpu;
pub mod cuda;
mod explain;
mod resident;
mod select;

pub use cpu::CpuBackend;
pub use cuda::Phases;
pub use explain::Explanation;
pub use resident::{Place, Rings, Scale};
pub use select::{Backend, Choice};

pub use crate::model::pyramid::Scores;
