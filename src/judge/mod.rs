//! What is learnt of each key and partition while running, constant inside an epoch.
//!
//! [`moments`]: the level and spread of a key's columns. [`calibrate`]: from surprise to p-value;
//! [`calibration`]: of the two surprises that a window has. [`budget`]: the p-value that keeps a stream to a number of
//! alerts a day. [`drift`]: what many keys do together. [`onset`]: when something sets in. [`spending`] and [`risk`]:
//! the causes of a transaction's surprise. [`tolerance`]: what people called expected of a key.

pub mod budget;
pub mod calibrate;
pub mod calibration;
pub mod drift;
pub mod habits;
pub mod moments;
pub mod onset;
pub mod risk;
pub mod spending;
pub mod tolerance;
