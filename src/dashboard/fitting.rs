//! What a silence that was just said fits now: one that fits nothing may be for later, or a slip of the pen.

use serde::Serialize;

use super::AppState;
use super::alerts::AlertQuery;
use crate::config::plan::StreamPlan;
use crate::types::{Silence, StreamId};

#[derive(Debug, Serialize)]
pub struct Fits {
    /// Alerts that fire, towards one sink at least.
    alerts: usize,
    /// Known keys, by what it says of stream and key.
    keys: usize,
}

/// Reads every open alert and every name: blocks. `None` if the alerts cannot be read; the silence holds all the same.
pub fn fits(state: &AppState, silence: &Silence) -> Option<Fits> {
    let plan = &state.parts.plan;
    let open = (state.parts.alerts.page)(AlertQuery::Open).ok()?;
    let names = plan.names();
    let alerts = open.iter().filter(|row| silence.fits_alert(&row.alert.decision, &names)).count();
    let of_stream = |(id, stream): (StreamId, &StreamPlan)| {
        state.roster.count(id, |key| silence.fits_key(&stream.name, key))
    };
    let keys = (0..).map(StreamId).zip(&plan.streams).map(of_stream).sum();
    Some(Fits { alerts, keys })
}
