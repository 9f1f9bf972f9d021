//! What is learnt of each key and partition while running, constant inside an epoch.
//!
//! [`moments`]: the level and spread of a key's columns. [`calibrate`]: from surprise to p-value.

pub mod calibrate;
pub mod habits;
pub mod moments;
