//! Verdicts and epochs that late rows may still need, as bytes.

use std::sync::Arc;

use super::{Past, PastEpoch, PastEpochs, PastVerdict};
use crate::alert::lifecycle::Episode;
use crate::engine::feedback::state::{decode_tolerances, encode_tolerances};
use crate::engine::partition::scoring::{decode_scoring, encode_scoring};
use crate::engine::partition::state::{decode_scales, encode_scales};
use crate::model::Model;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::types::{HeldBack, Verdict};

const VERDICT_BYTES: usize = 8 + 8 + 4; // At least.

impl Past {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Past { before, verdicts, odd: _ } = self;
        before.encode(to);
        to.len(verdicts.len());
        for PastVerdict { last_cell, verdict, rows } in verdicts {
            let Verdict { p_value, anomalous, held_back, calm, confident } = *verdict;
            to.number(*last_cell);
            to.number(p_value);
            to.flag(anomalous);
            to.number(held_back.map_or(0, |why| why as u8));
            to.flag(calm);
            to.flag(confident);
            to.number(*rows);
        }
    }

    /// # Errors
    /// If the bytes end early.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut past = Past { before: Episode::decode(from)?, ..Past::default() };
        for _ in 0..from.len(VERDICT_BYTES)? {
            let last_cell = from.number()?;
            let (p_value, anomalous, held_back) = (from.number()?, from.flag()?, decode_held_back(from)?);
            let (calm, confident) = (from.flag()?, from.flag()?);
            let rows = from.number()?;
            let verdict = Verdict { p_value, anomalous, held_back, calm, confident };
            past.odd += usize::from(anomalous);
            past.verdicts.push_back(PastVerdict { last_cell, verdict, rows });
        }
        Ok(past)
    }
}

fn decode_held_back(from: &mut StateReader<'_>) -> Result<Option<HeldBack>, NotUnderstood> {
    match from.number::<u8>()? {
        0 => Ok(None),
        1 => Ok(Some(HeldBack::Rule)),
        2 => Ok(Some(HeldBack::Expected)),
        _ => Err(NotUnderstood("another reason to hold a window back")),
    }
}

impl PastEpochs {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        to.len(self.0.len());
        for PastEpoch { epoch, scoring, scales, warm, tolerances } in &self.0 {
            to.number(*epoch);
            encode_scoring(scoring.as_ref(), to);
            to.len(warm.len());
            encode_scales(scales, to);
            warm.iter().for_each(|warm| to.flag(*warm));
            encode_tolerances(tolerances, to);
        }
    }

    /// # Errors
    /// If the bytes end early, or name a model that is not among `models`.
    pub fn decode(
        keys: usize,
        columns: usize,
        models: &[Arc<Model>],
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let mut epochs = PastEpochs::default();
        for _ in 0..from.len(1)? {
            let epoch = from.number()?;
            let scoring = decode_scoring(models, from)?;
            let known = from.len(9)?;
            expect(known <= keys * columns, "an epoch of more keys than there are")?;
            let scales = decode_scales(known, from)?;
            let warm = (0..known).map(|_| from.flag()).collect::<Result<_, _>>()?;
            let tolerances = decode_tolerances(keys, from)?;
            epochs.0.push_back(PastEpoch { epoch, scoring, scales, warm, tolerances });
        }
        Ok(epochs)
    }
}
