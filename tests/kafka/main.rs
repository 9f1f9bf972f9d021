//! The release binary beside a real Apache Kafka, alone and as one of several.

mod alone;
#[path = "../support/e2e/mod.rs"]
mod e2e;
mod group;
mod letters;
#[path = "../plant/mod.rs"]
mod plant;
mod registry;
mod tokens;
