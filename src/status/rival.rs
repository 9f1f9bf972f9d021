//! Another client of an MQTT broker that has our id.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{read, write};

/// Each puts the other out of the broker as it comes back: for so long after the last time it is spoken of.
const LATELY: Duration = Duration::from_secs(600);

/// When it was last noticed, and what is said of it. Shared with the task that keeps a sink's connection.
#[derive(Clone, Debug, Default)]
pub struct Rival(Arc<Mutex<Option<(Instant, String)>>>);

impl Rival {
    /// `what` names the remedy.
    pub fn notice(&self, what: String) {
        write(&self.0, Some((Instant::now(), what)));
    }

    pub fn lately(&self) -> Option<String> {
        read(&self.0).filter(|(at, _)| at.elapsed() < LATELY).map(|(_, what)| what)
    }
}
