//! What a training run made, to be read by whoever will trust it: in the terminal, and as one HTML page that needs
//! nothing but itself.
//!
//! [`Facts::of`] looks at the model and the windows it was fitted on; [`page`] and [`text`] write down what it found.

mod columns;
mod facts;
mod page;
mod remarks;
mod surprise;
mod svg;
mod text;
mod windows;
mod words;

pub use facts::{Data, Facts, Key, Run, Windows};
pub use page::page;
pub use text::text;

#[cfg(test)]
mod tests;
