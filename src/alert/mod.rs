//! Alerts: the life of an episode, what receivers are sent, and the outbox that keeps it until they have it.

pub mod body;
pub mod incident;
pub mod lifecycle;
pub mod outbox;
pub mod told;
