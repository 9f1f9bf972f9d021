//! Models of a stream that loads one.

use std::fmt::Write;

use super::size;
use crate::config::plan::{ModelPlan, StreamPlan};
use crate::model::{Model, Pyramid, cohorts_max};

/// Densities of a stream's loaded model.
pub struct Densities {
    /// The file is there; else they are what training may come to at most.
    known: bool,
    pub cohorts: usize,
    keys: usize,
    /// Of everyone's density, and of the cohorts'.
    pub bytes: [f64; 2],
    /// Of everyone's, a window; 0: not known.
    flop: f64,
    memory_bytes: u64,
}

impl Densities {
    /// `None` for a stream that fits its models: they have no cohorts.
    pub fn of(stream: &StreamPlan, model: Option<&Model>) -> Option<Densities> {
        let ModelPlan::Load { memory_bytes, .. } = stream.model else { return None };
        let (cells, columns) = (stream.window.cells(), stream.columns.len());
        let of = match model {
            Some(model) => Densities {
                known: true,
                cohorts: model.cohorts.len(),
                keys: model.card().cohorts.iter().map(|cohort| cohort.keys).sum(),
                bytes: model.heap_bytes().map(|bytes| bytes as f64),
                flop: model.pyramid.flop() as f64,
                memory_bytes,
            },
            None => {
                let cohorts = cohorts_max(cells, columns, memory_bytes);
                let bytes = [
                    Pyramid::heap_bytes(cells, columns),
                    if cohorts > 0 { memory_bytes as f64 } else { 0.0 },
                ];
                Densities { known: false, cohorts, keys: 0, bytes, flop: 0.0, memory_bytes }
            }
        };
        Some(of)
    }

    pub fn describe(&self, text: &mut String) -> std::fmt::Result {
        let [everyone, cohorts] = self.bytes.map(size);
        let (number, keys, memory) = (self.cohorts, self.keys, size(self.memory_bytes as f64));
        if self.known {
            writeln!(text, "  arithmetic: {:.2} MFLOP a window without gaps", self.flop / 1e6)?;
        }
        if number == 0 {
            writeln!(text, "  models: one for all keys, {everyone}")
        } else if self.known {
            writeln!(
                text,
                "  models: one for all keys, {everyone}; {number} of cohorts, for {keys} of the keys it was trained on, \
                 {cohorts} of the {memory} that `memory` allows"
            )
        } else {
            writeln!(
                text,
                "  models: one for all keys, {everyone}; at most {number} of cohorts, as `memory` allows {memory}: training \
                 finds how many there are"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arithmetic_of_a_model_that_is_there_is_told() {
        let of = |known| Densities {
            known,
            cohorts: 0,
            keys: 0,
            bytes: [1e6, 0.0],
            flop: 3_557_888.0,
            memory_bytes: 0,
        };
        let said = |known| {
            let mut text = String::new();
            of(known).describe(&mut text).unwrap();
            text
        };
        assert!(said(true).contains("arithmetic: 3.56 MFLOP a window"), "{}", said(true));
        assert!(!said(false).contains("MFLOP"), "nobody knows yet");
    }
}
