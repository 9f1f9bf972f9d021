//! The order in which words are taken, and how many.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync;

/// By links, an alert and minute.
const BY_LINK_MAX: u32 = 10;

#[derive(Debug, Default)]
pub struct Words {
    /// Held while a word goes to the control log and then to the labels, so that both end with the same one.
    pub turn: sync::Mutex<()>,
    by_link: Mutex<Minute>,
}

/// What came by links in one minute of the wall clock, by alert.
#[derive(Debug, Default)]
struct Minute {
    number: u64,
    words: BTreeMap<String, u32>,
}

impl Words {
    /// Counts a word on an alert by its link, which whoever has been sent the alert may follow. Gives how many seconds it
    /// has to wait; 0: none. `now_s`: Unix time.
    pub fn by_link(&self, alert: &str, now_s: u64) -> u64 {
        let mut minute = self.by_link.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != now_s / 60 {
            *minute = Minute { number: now_s / 60, words: BTreeMap::new() };
        }
        let words = minute.words.entry(alert.to_owned()).or_default();
        if *words >= BY_LINK_MAX {
            return 60 - now_s % 60;
        }
        *words += 1;
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_words_a_minute_and_alert_come_by_links() {
        let words = Words::default();
        assert!((0..10).all(|_| words.by_link("a", 125) == 0));
        assert_eq!((words.by_link("a", 130), words.by_link("b", 130)), (50, 0));
        assert_eq!(words.by_link("a", 180), 0, "another minute");
    }
}
