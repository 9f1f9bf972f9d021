//! Each source against a real sender: brokers, clients and files, and a log that a test holds in its hand.

mod http;
mod kafka;
mod kafka_access;
mod mqtt;
mod mqtt_tls;
mod mqtt_v5;
mod mqtt_wire;
mod replay;
#[path = "../support/mod.rs"]
mod support;
