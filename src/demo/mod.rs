//! The demo: a simulated plant, and a simulated bank's cards, over real MQTT into the real pipeline, and an honest count
//! at the end.
//!
//! ```text
//! plant (+ faults) ─► delivery ─► publish ─┐
//!                                          ├► broker ─► … the product … ─► receiver ─► report
//! cards (+ frauds) ───────────► publish ───┘
//! ```
pub mod cards;
pub mod delivery;
pub mod faults;
pub mod history;
pub mod link;
pub mod live;
pub mod load;
pub mod noise;
pub mod plant;
pub mod publish;
pub mod pump;
pub mod receiver;
pub mod report;
pub mod settings;
pub mod table;

#[cfg(test)]
mod difficulty;
#[cfg(test)]
mod plant_tests;
