//! The demo: a simulated plant over real MQTT into the real pipeline, and an honest count at the end.
//!
//! ```text
//! plant (+ faults) ─► delivery ─► publish ─► broker ─► … the product … ─► receiver ─► report
//! ```
pub mod delivery;
pub mod faults;
pub mod history;
pub mod load;
pub mod noise;
pub mod plant;

#[cfg(test)]
mod difficulty;
