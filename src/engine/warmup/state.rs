//! The windows kept for a fit, as bytes.

use super::{Sample, Standing, Warmup};
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};

const SAMPLE_BYTES: usize = 21;

impl Warmup {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Warmup { room: _, samples, windows, thinning, start_ns, seen, due } = self;
        to.len(samples.len());
        for Sample { key, end_ns, lot, standing } in samples {
            to.number(*key);
            to.number(*end_ns);
            to.number(*lot);
            to.number(*standing as u8);
        }
        to.numbers(windows);
        to.number(*thinning);
        to.flag(start_ns.is_some());
        to.number(start_ns.unwrap_or_default());
        to.number(*seen);
        to.number(*due);
    }

    pub fn bytes(&self) -> usize {
        self.samples.len() * SAMPLE_BYTES + self.windows.len() * size_of::<f32>()
    }

    /// # Errors
    /// If the bytes are those of other windows, or name keys beyond `keys`.
    pub fn decode(width: usize, keys: usize, from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let len = from.len(SAMPLE_BYTES)?;
        let mut samples = Vec::with_capacity(len);
        for _ in 0..len {
            let (key, end_ns, lot) = (from.number()?, from.number()?, from.number()?);
            samples.push(Sample { key, end_ns, lot, standing: standing(from.number()?)? });
        }
        let windows: Vec<f32> = from.numbers()?;
        expect(windows.len() == len * width, "windows of another width")?;
        expect(samples.iter().all(|s| (s.key as usize) < keys), "a window of no key")?;
        let thinning = from.number()?;
        let started = from.flag()?;
        let start_ns = from.number()?;
        let start_ns = started.then_some(start_ns);
        let (seen, due) = (from.number()?, from.number()?);
        let empty = Warmup::with(super::room(width), thinning);
        Ok(Warmup { samples, windows, start_ns, seen, due, ..empty })
    }
}

fn standing(number: u8) -> Result<Standing, NotUnderstood> {
    // Between two steps none waits for its verdict.
    let all = [Standing::Unjudged, Standing::Calm, Standing::Odd];
    let found = all.into_iter().find(|standing| *standing as u8 == number);
    found.ok_or(NotUnderstood("a window of no standing"))
}
