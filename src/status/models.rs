//! What scores a stream, and what became of what might have.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64};

use super::{read, write};
use crate::types::Activation;

/// Of a stream's models.
#[derive(Debug)]
pub struct ModelStatus {
    /// Why partitions could not fit a model, as far as it was told.
    pub told_unfitted: Mutex<Vec<String>>,
    /// Challengers that took their champion's place.
    pub activated_total: AtomicU64,
    /// Challengers that were no better.
    pub rejected_total: AtomicU64,
    /// Refits that came to nothing.
    pub failed_total: AtomicU64,
    /// Watermark from which on the next is due, event time ns; `i64::MAX`: none is.
    pub due: AtomicI64,
    active: Mutex<Option<Activation>>,
    fate: Mutex<Option<String>>,
    sample: Mutex<Option<Sample>>,
}

/// A window drawn from a model's density.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of the model, as alerts have it.
    pub checksum: String,
    /// By column its last cells, oldest first, in the column's unit; `None` for one that is only on or off.
    pub columns: Vec<Option<Vec<f32>>>,
}

impl Default for ModelStatus {
    fn default() -> Self {
        ModelStatus {
            told_unfitted: Mutex::default(),
            activated_total: AtomicU64::new(0),
            rejected_total: AtomicU64::new(0),
            failed_total: AtomicU64::new(0),
            due: AtomicI64::new(i64::MAX),
            active: Mutex::new(None),
            fate: Mutex::new(None),
            sample: Mutex::new(None),
        }
    }
}

impl ModelStatus {
    /// What scores the stream; `None` if each partition fits its own.
    pub fn active(&self) -> Option<Activation> {
        read(&self.active)
    }

    pub fn set_active(&self, active: Option<&Activation>) {
        write(&self.active, active.cloned());
    }

    /// What became of the last challenger since the start.
    pub fn fate(&self) -> Option<String> {
        read(&self.fate)
    }

    /// Of the active one.
    pub fn sample(&self) -> Option<Sample> {
        read(&self.sample)
    }

    pub fn set_sample(&self, sample: Option<Sample>) {
        write(&self.sample, sample);
    }

    pub fn set_fate(&self, fate: String) {
        write(&self.fate, Some(fate));
    }
}
