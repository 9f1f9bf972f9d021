//! What the end-to-end tests share: the release binary over real sockets, and what it must come to.
#![allow(dead_code)] // each test binary uses a part

pub mod eddy;
pub mod expect;
pub mod group;
pub mod http;
#[path = "../kafka.rs"]
pub mod kafka;
#[path = "../mosquitto.rs"]
pub mod mosquitto;
#[path = "../otlp.rs"]
pub mod otlp;
pub mod publisher;
#[path = "../receiver.rs"]
pub mod receiver;
#[path = "../registry.rs"]
pub mod registry;
pub mod topic;

use std::time::{Duration, Instant};

/// JSON with every number to its last bit; serde_json reads some a bit off.
pub fn json(bytes: &[u8]) -> serde_json::Value {
    sonic_rs::from_slice(bytes).unwrap_or_else(|e| panic!("{e} in {}", String::from_utf8_lossy(bytes)))
}

/// No wait of a test is longer. Generous: the machine may be busy with other things.
pub const WAIT_MAX: Duration = Duration::from_secs(90);

/// Asks until there is an answer; `None` after [`WAIT_MAX`].
pub fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + WAIT_MAX;
    while Instant::now() < deadline {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}
