//! Event-time windows per key on a grid, with missing cells.
//!
//! Nothing here depends on the order of arrival within the allowed lateness: rows wait in [`pending`]
//! until the watermark has passed their cell, are then sorted, freed of duplicates and folded into the
//! key's [`grid`] ring; windows close in order of their end, keys in order of their hash.
//! Windows that events make keep the [`rows`] themselves instead.

pub mod cell;
pub mod grid;
pub mod grow;
pub mod keys;
pub mod pending;
pub mod rows;
