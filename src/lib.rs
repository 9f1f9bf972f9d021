//! Eddy: a streaming anomaly-detection appliance. The modules are the stations a message passes:
//!
//! ```text
//! source ─► log ─► decode ─► ring ─► window ─► score ─► judge ─► alert ─► outbox ─► sink
//! ```
pub mod config;
pub mod demo;
pub mod latency;
pub mod ring;
pub mod stage;
pub mod status;
pub mod types;
