//! Telling of a key what is not about a scored window.

use crate::backend::Phases;
use crate::engine::output::Raised;
use crate::engine::partition::{Closing, Partition};
use crate::types::{About, AlertState, Arrival, Decision, EventTime};
use crate::window::keys::KeyIndex;

/// A turn of an alert.
pub(super) struct Told {
    pub rule: &'static str,
    pub onset: EventTime,
    pub revision: u32,
    pub state: AlertState,
    pub about: About,
}

impl Partition {
    /// Tells it at once: nothing was gathered or scored for it.
    pub(super) fn tell_at_once(&self, key: KeyIndex, told: Told, closing: &mut Closing<'_, '_>) {
        let Told { rule, onset, revision, state, about } = told;
        let (setup, name) = (closing.setup, self.keys.bytes(key));
        let decision = Decision {
            id: setup.alert_id(self.id, name, rule, onset),
            revision,
            state,
            stream: setup.name.clone(),
            key: String::from_utf8_lossy(name).into_owned(),
            rule: rule.to_owned(),
            onset,
            about,
        };
        let now = (closing.env.now)();
        closing.out.raised.push(Raised {
            decision,
            last_row: Arrival(self.grid.newest_arrival(key)),
            trigger: Arrival(closing.trigger),
            closing_ns: now,
            gathered_ns: now,
            scored_ns: now,
            device: Phases::default(),
            judged_ns: now,
        });
    }
}
