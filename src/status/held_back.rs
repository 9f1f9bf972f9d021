//! Windows of a stream that were below the threshold and were not told, by why.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::types::HeldBack;

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_HOURS: i64 = 24;

/// Since the start, with what is read back. Locked once for each such window, of which there are few.
#[derive(Debug, Default)]
pub struct HeldBackStatus {
    /// By hour of event time: those of the rules on departures, and those that were called expected.
    hours: Mutex<BTreeMap<i64, [u64; 2]>>,
}

impl HeldBackStatus {
    pub fn add(&self, end_ns: i64, why: HeldBack) {
        let mut hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let at = match why {
            HeldBack::Rule => 0,
            HeldBack::Expected => 1,
        };
        hours.entry(end_ns.div_euclid(HOUR_NS)).or_default()[at] += 1;
        while hours.len() as i64 > DAY_HOURS {
            hours.pop_first();
        }
    }

    /// In the hour of `now_ns`, event time, and the 23 before it: by the rules, and as expected.
    pub fn day(&self, now_ns: i64) -> [u64; 2] {
        let hours = self.hours.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = now_ns.div_euclid(HOUR_NS);
        let day = hours.range(newest - DAY_HOURS + 1..=newest).map(|(_, of)| *of);
        day.fold([0; 2], |[rule, expected], of| [rule + of[0], expected + of[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_counted_by_why_and_what_is_older_is_let_go_of() {
        let status = HeldBackStatus::default();
        let at = |hour: i64| hour * HOUR_NS + 7;
        status.add(at(0), HeldBack::Rule);
        (1..=23).for_each(|hour| status.add(at(hour), HeldBack::Expected));
        assert_eq!(status.day(at(23)), [1, 23]);
        assert_eq!(status.day(at(24)), [0, 23], "the first hour is over a day ago");
        assert_eq!(status.day(at(10)), [1, 10], "the clock of the stream is not there yet");
        status.add(at(30), HeldBack::Rule);
        assert_eq!(status.day(at(30)), [1, 17]);
        (31..200).for_each(|hour| status.add(at(hour), HeldBack::Rule));
        assert_eq!(status.hours.lock().unwrap().len(), 24);
    }
}
