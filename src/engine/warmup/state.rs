//! The windows kept for a fit, as bytes.

use super::{Sample, Warmup};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

impl Warmup {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Warmup { room: _, samples, windows, thinning, start_ns } = self;
        to.len(samples.len());
        for Sample { key, end_ns, lot } in samples {
            to.number(*key);
            to.number(*end_ns);
            to.number(*lot);
        }
        to.numbers(windows);
        to.number(*thinning);
        to.flag(start_ns.is_some());
        to.number(start_ns.unwrap_or_default());
    }

    /// # Errors
    /// If the bytes are those of other windows, or name keys beyond `keys`.
    pub fn decode(width: usize, keys: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let len = from.len(20)?;
        let mut samples = Vec::with_capacity(len);
        for _ in 0..len {
            samples.push(Sample { key: from.number()?, end_ns: from.number()?, lot: from.number()? });
        }
        let windows: Vec<f32> = from.numbers()?;
        expect(windows.len() == len * width, "windows of another width")?;
        expect(samples.iter().all(|s| (s.key as usize) < keys), "a window of no key")?;
        let thinning = from.number()?;
        let started = from.flag()?;
        let start_ns = from.number()?;
        let start_ns = started.then_some(start_ns);
        Ok(Warmup { samples, windows, start_ns, ..Warmup::with(super::room(width), thinning) })
    }
}
