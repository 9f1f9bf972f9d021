//! Eddy: a streaming anomaly-detection appliance. The modules are the stations a message passes:
//!
//! ```text
//! source ─► log ─► decode ─► ring ─► window ─► score ─► judge ─► alert ─► outbox ─► sink
//! ```
#[cfg(test)]
extern crate self as eddy; // The fixtures under tests/ serve unit tests too.

pub mod config;
pub mod dashboard;
pub mod latency;
pub mod metrics;
pub mod ring;
pub mod stage;
pub mod status;
pub mod types;
pub mod watch;
