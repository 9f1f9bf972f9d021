//! Alerts: what receivers are sent, and the outbox that keeps it until they have it.
pub mod body;
pub mod outbox;
