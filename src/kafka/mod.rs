//! Kafka as sources, sinks and the wiring need it alike: how a cluster is reached, tokens for it, why it is not reached,
//! how a message is written, and what stands beside an alert in a topic.

pub(crate) mod alert;
pub(crate) mod client;
pub(crate) mod quiet;
pub(crate) mod reasons;
pub(crate) mod token;
pub(crate) mod words;
pub(crate) mod writing;
