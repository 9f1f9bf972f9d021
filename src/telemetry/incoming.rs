//! What senders said they were doing when they sent, so that an alert leads back to them.
//!
//! A message carries no context through the log and the engine: that would cost every event. Instead the door keeps
//! the newest contexts by the arrival of their message, and an alert, whose receipt starts with the arrival of its last
//! reading, looks there. A context that is gone by then, or that came before a restart, is not linked to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Parent;
use crate::types::Arrival;

/// Contexts kept.
const KEPT_MAX: usize = 65_536;

/// Shared by the sources and whoever makes traces; one that is off keeps nothing.
#[derive(Clone, Default)]
pub struct Incoming {
    kept: Option<Arc<Mutex<BTreeMap<i64, Parent>>>>,
}

impl Incoming {
    pub fn on() -> Self {
        Incoming { kept: Some(Arc::default()) }
    }

    /// What two headers say, where anybody wants to know.
    pub fn read<'a>(&self, header: impl Fn(&str) -> Option<&'a str>) -> Option<Parent> {
        self.kept.as_ref()?;
        Parent::parse(header("traceparent")?, header("tracestate"))
    }

    /// The message that arrived then came with `parent`.
    pub fn keep(&self, arrival: Arrival, parent: Option<Parent>) {
        if let (Some(kept), Some(parent)) = (&self.kept, parent) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(arrival.0, parent);
            if kept.len() > KEPT_MAX {
                kept.pop_first();
            }
        }
    }

    /// What the message that arrived then came with.
    pub fn at(&self, arrival_ns: i64) -> Option<Parent> {
        self.kept.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).get(&arrival_ns).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_contexts_are_kept_by_arrival() {
        let header = |name: &str| match name {
            "traceparent" => Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            _ => None,
        };
        let (off, on) = (Incoming::default(), Incoming::on());
        assert_eq!(off.read(header), None, "nobody asks");
        let parent = on.read(header);
        assert!(parent.is_some());
        for at in 0..KEPT_MAX as i64 + 1 {
            on.keep(Arrival(at), parent.clone());
        }
        assert_eq!((on.at(0), on.at(1), on.at(-1)), (None, parent, None));
    }
}
