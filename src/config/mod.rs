//! Config: raw text to a validated [`plan::Plan`], every problem collected.
pub mod plan;
