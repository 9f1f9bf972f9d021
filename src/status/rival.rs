//! Another client of an MQTT broker that has our id.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{read, write};

/// Each puts the other out of the broker as it comes back: for so long after the last time it is spoken of, where nothing else
/// is heard of it.
const LATELY: Duration = Duration::from_secs(600);

/// Until when it is spoken of, and what is said. Shared with the task that keeps a sink's connection.
#[derive(Clone, Debug, Default)]
pub struct Rival(Arc<Mutex<Option<(Instant, String)>>>);

impl Rival {
    /// `what` names the remedy.
    pub fn notice(&self, what: String) {
        write(&self.0, Some((Instant::now() + LATELY, what)));
    }

    /// It is spoken of for so long at most, unless it is noticed again.
    pub fn expire_in(&self, left: Duration) {
        let mut noticed = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((until, _)) = noticed.as_mut() {
            *until = (*until).min(Instant::now() + left);
        }
    }

    pub fn lately(&self) -> Option<String> {
        self.at(Instant::now())
    }

    /// What will be said then, if nothing happens meanwhile.
    pub fn at(&self, now: Instant) -> Option<String> {
        read(&self.0).filter(|(until, _)| now < *until).map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spoken_of_until_it_is_known_to_be_gone() {
        let rival = Rival::default();
        let is_told_after = |seconds| rival.at(Instant::now() + Duration::from_secs(seconds)).is_some();
        rival.expire_in(LATELY);
        assert!(!is_told_after(0), "nothing was noticed");
        rival.notice("write another id".to_owned());
        assert!(is_told_after(590) && !is_told_after(601));
        rival.expire_in(Duration::from_secs(60));
        assert!(is_told_after(50) && !is_told_after(61), "it has not come back");
        rival.expire_in(LATELY);
        assert!(!is_told_after(61), "that is no longer");
        rival.notice("write another id".to_owned());
        assert!(is_told_after(590), "it is there still");
        rival.expire_in(Duration::ZERO);
        assert_eq!(rival.lately(), None);
    }
}
