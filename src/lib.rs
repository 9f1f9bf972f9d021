//! Eddy: a streaming anomaly-detection appliance. The modules are the stations a message passes:
//!
//! ```text
//! source ─► durable ─► decode ─► ring ─► window ─► backend ─► judge ─► alert ─► sink
//!           log,fsync                    └────── engine: a pure step ──────┘ └─ outbox
//!           then ack
//! ```
//!
//! [`pipeline`] wires them, sink first; [`types`] holds what flows between them, [`stage`] the hand-off
//! from sources to the log, [`schemas`] what payloads are read by, `kafka` and `mqtt` how source and sink reach a cluster or a broker,
//! [`state`] how state becomes bytes. Beside the flow: [`status`], [`latency`], [`metrics`], [`telemetry`], [`watch`], [`access`],
//! [`connections`] and the [`dashboard`]. [`cli`] has one file a subcommand.

// The fixtures under tests/ serve unit tests too: to both, the library is `eddy`.
#[cfg(test)]
extern crate self as eddy;

pub mod access;
pub mod alert;
pub mod backend;
pub mod cli;
pub mod config;
pub mod connections;
pub mod dashboard;
pub mod decode;
pub mod demo;
pub mod durable;
pub mod engine;
pub mod judge;
pub mod kafka;
pub mod latency;
pub mod metrics;
pub mod model;
mod mqtt;
pub mod pipeline;
pub mod ring;
pub mod schemas;
pub mod sink;
pub mod source;
pub mod stage;
pub mod state;
pub mod status;
pub mod telemetry;
pub mod types;
pub mod watch;
pub mod window;
