//! What a partition has counted as bytes, and back.

use crate::engine::output::Counts;
use crate::state::{NotUnderstood, StateReader, StateWriter};

pub(super) fn encode_counts(counts: &Counts, to: &mut StateWriter<'_>) {
    let Counts {
        events,
        duplicates,
        late,
        reopening,
        windows,
        windows_again,
        windows_unscored,
        windows_unsure,
        windows_anomalous,
        windows_held_back,
        windows_provisional,
        alerts_open,
        keys_silent,
        keys,
        keys_warm,
        watermark,
        warm_milli,
        model_windows,
        fits,
        // Taken from the rest whenever counts are told.
        heard: _,
        idle_acts: _,
        alerts_opened_day: _,
        // Taken anew as an epoch ends.
        keys_alive: _,
        keys_alive_warm: _,
        digest,
        outcomes,
    } = *counts;
    to.number(watermark);
    to.numbers(&[events, duplicates, late, windows, windows_unscored, windows_unsure, windows_anomalous]);
    to.numbers(&[alerts_open, keys, keys_warm, warm_milli, digest, reopening, windows_again]);
    to.numbers(&[keys_silent, windows_provisional, windows_held_back, model_windows, fits, outcomes]);
}

pub(super) fn decode_counts(from: &mut StateReader<'_>) -> Result<Counts, NotUnderstood> {
    let watermark = from.number()?;
    let (first, then) = (from.numbers::<u64>()?, from.numbers::<u64>()?);
    let [events, duplicates, late, windows, windows_unscored, windows_unsure, windows_anomalous] = first[..]
    else {
        return Err(NotUnderstood("other counts"));
    };
    let [alerts_open, keys, keys_warm, warm_milli, digest, reopening, windows_again] = then[..] else {
        return Err(NotUnderstood("other counts"));
    };
    let [keys_silent, windows_provisional, windows_held_back, model_windows, fits, outcomes] =
        from.numbers::<u64>()?[..]
    else {
        return Err(NotUnderstood("other counts"));
    };
    Ok(Counts {
        events,
        duplicates,
        late,
        reopening,
        windows,
        windows_again,
        windows_unscored,
        windows_unsure,
        windows_anomalous,
        windows_held_back,
        windows_provisional,
        alerts_open,
        keys_silent,
        keys,
        keys_warm,
        watermark,
        warm_milli,
        model_windows,
        fits,
        heard: 0,
        idle_acts: i64::MAX,
        alerts_opened_day: 0,
        keys_alive: keys,
        keys_alive_warm: keys_warm,
        digest,
        outcomes,
    })
}
