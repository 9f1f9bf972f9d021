//! Rhythms and silences as bytes.

use super::{Rhythm, Silence, Silent};
use crate::engine::setup::StreamSetup;
use crate::state::{NotUnderstood, StateReader, StateWriter, expect};
use crate::window::keys::KeyIndex;

const RHYTHM_BYTES: usize = 8 + 3 * 4 + 2 * 2 + 2;
const SILENT_BYTES: usize = 4 + 3 * 8;
const RETURNED_BYTES: usize = 4 + 8;

impl Silence {
    pub fn encode(&self, to: &mut StateWriter<'_>) {
        let Silence { patience: _, rhythms, silent, returned, next_due, latest: _ } = self;
        to.len(rhythms.len());
        for Rhythm { last, gap, deviation, pause, gaps, calm, pauses, silent } in rhythms {
            to.number(*last);
            to.number(*gap);
            to.number(*deviation);
            to.number(*pause);
            to.number(*gaps);
            to.number(*calm);
            to.number(*pauses);
            to.flag(*silent);
        }
        to.len(silent.len());
        for Silent { key, last_seen, every_ns, due } in silent {
            to.number(*key);
            to.number(*last_seen);
            to.number(*every_ns);
            to.number(*due);
        }
        to.len(returned.len());
        for (key, time) in returned {
            to.number(*key);
            to.number(*time);
        }
        to.number(*next_due);
    }

    /// # Errors
    /// If the bytes end early or are of other keys.
    pub fn decode(
        keys: usize,
        setup: &StreamSetup,
        from: &mut StateReader<'_>,
    ) -> Result<Self, NotUnderstood> {
        let mut silence = Silence::new(setup.patience);
        for _ in 0..from.len(RHYTHM_BYTES)? {
            silence.rhythms.push(Rhythm {
                last: from.number()?,
                gap: from.number()?,
                deviation: from.number()?,
                pause: from.number()?,
                gaps: from.number()?,
                calm: from.number()?,
                pauses: from.number()?,
                silent: from.flag()?,
            });
        }
        expect(silence.rhythms.is_empty() || silence.rhythms.len() == keys, "rhythms of other keys")?;
        for _ in 0..from.len(SILENT_BYTES)? {
            let key: KeyIndex = from.number()?;
            let (last_seen, every_ns, due) = (from.number()?, from.number()?, from.number()?);
            silence.silent.push(Silent { key, last_seen, every_ns, due });
        }
        for _ in 0..from.len(RETURNED_BYTES)? {
            silence.returned.push((from.number()?, from.number()?));
        }
        let known = |key: KeyIndex| (key as usize) < silence.rhythms.len();
        let silent = silence.silent.iter().all(|silent| known(silent.key));
        expect(silent && silence.returned.iter().all(|(key, _)| known(*key)), "a silence of no key")?;
        silence.next_due = from.number()?;
        Ok(silence)
    }
}
