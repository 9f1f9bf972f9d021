//! Episodes and what was said of them, as bytes.

use super::{Detector, Episode, Episodes, Extent, InForce, Reach, Said};
use crate::state::{NotUnderstood, StateReader, StateWriter};

const REACH_BYTES: usize = 12;
const EPISODE_BYTES: usize = 1 + 8 + 8 + 8 + 1;

impl Extent {
    fn encode(&self, to: &mut StateWriter<'_>) {
        to.len(self.0.len());
        for Reach { side, from: begins, to: ends } in &self.0 {
            to.number(*side);
            to.number(*begins);
            to.number(*ends);
        }
    }

    fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let reach = |from: &mut StateReader<'_>| {
            Ok(Reach { side: from.number()?, from: from.number()?, to: from.number()? })
        };
        Ok(Extent((0..from.len(REACH_BYTES)?).map(|_| reach(from)).collect::<Result<_, _>>()?))
    }
}

impl Said {
    fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        Ok(Said {
            number: from.number()?,
            expected: from.flag()?,
            epoch: from.number()?,
            alert: text(from)?.into(),
        })
    }
}

impl Episodes {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        to.len(self.0.len());
        for Episode { detector, onset, p_value, extent, said } in &self.0 {
            to.flag(*detector == Detector::Onset);
            to.number(*onset);
            to.number(*p_value);
            extent.encode(to);
            to.flag(said.is_some());
            if let Some(Said { number, expected, epoch, alert }) = said {
                to.number(*number);
                to.flag(*expected);
                to.number(*epoch);
                to.bytes(alert.as_bytes());
            }
        }
    }

    /// # Errors
    /// If the bytes end early, or an alert's id is no text.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let mut episodes = Vec::new();
        for _ in 0..from.len(EPISODE_BYTES)? {
            let detector = if from.flag()? { Detector::Onset } else { Detector::Window };
            let (onset, p_value, extent) = (from.number()?, from.number()?, Extent::decode(from)?);
            let said = if from.flag()? { Some(Said::decode(from)?) } else { None };
            episodes.push(Episode { detector, onset, p_value, extent, said });
        }
        Ok(Episodes(episodes))
    }
}

impl InForce {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let InForce { window, onset, alerts } = self;
        window.encode(to);
        onset.encode(to);
        to.len(alerts.len());
        alerts.iter().for_each(|alert| to.bytes(alert.as_bytes()));
    }

    /// # Errors
    /// If the bytes end early, or an alert's id is no text.
    pub fn decode(from: &mut StateReader<'_>) -> Result<Self, NotUnderstood> {
        let (window, onset) = (Extent::decode(from)?, Extent::decode(from)?);
        let alerts = (0..from.len(8)?).map(|_| Ok(text(from)?.into())).collect::<Result<_, _>>()?;
        Ok(InForce { window, onset, alerts })
    }
}

fn text<'a>(from: &mut StateReader<'a>) -> Result<&'a str, NotUnderstood> {
    std::str::from_utf8(from.bytes()?).map_err(|_| NotUnderstood("an alert's id is no text"))
}
