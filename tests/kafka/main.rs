//! The release binary beside a real Apache Kafka, alone and as one of several.

mod alone;
#[path = "../support/delivery.rs"]
#[allow(dead_code)] // the tests of webhooks use all of it
mod delivery;
#[path = "../support/e2e/mod.rs"]
mod e2e;
mod group;
mod letters;
#[path = "../plant/mod.rs"]
mod plant;
mod registry;
mod sink;
mod tokens;
mod words;
