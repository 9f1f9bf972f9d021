//! When the receiver may be sent to again.

use std::time::Duration;

/// No `Retry-After` silences a receiver for longer than this: then one attempt asks again.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// Wall time, ns.
#[derive(Debug)]
pub struct Pace {
    /// It asked to wait, or failed often.
    paused_until_ns: i64,
    /// It takes so many a minute.
    spaced_until_ns: i64,
    closed: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { paused_until_ns: i64::MIN, spaced_until_ns: i64::MIN, closed: false }
    }
}

impl Pace {
    /// `None`: never.
    pub fn until_ns(&self) -> Option<i64> {
        (!self.closed).then(|| self.paused_until_ns.max(self.spaced_until_ns))
    }

    /// Until then, 0 if that is over.
    pub fn left_ns(&self, now_ns: i64) -> i64 {
        self.until_ns().map_or(i64::MAX, |until_ns| until_ns.saturating_sub(now_ns).max(0))
    }

    pub fn pause(&mut self, now_ns: i64, pause: Duration) {
        let until_ns = now_ns.saturating_add(pause.min(PAUSE_MAX).as_nanos() as i64);
        self.paused_until_ns = self.paused_until_ns.max(until_ns);
    }

    pub fn space(&mut self, until_ns: i64) {
        self.spaced_until_ns = self.spaced_until_ns.max(until_ns);
    }

    /// Somebody wants it asked now, whatever it said. How often it may be sent to still holds.
    pub fn resume(&mut self) {
        self.paused_until_ns = i64::MIN;
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The wall clock was set back.
    pub fn set_back(&mut self, by_ns: i64) {
        self.paused_until_ns = self.paused_until_ns.saturating_sub(by_ns);
        self.spaced_until_ns = self.spaced_until_ns.saturating_sub(by_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_ends_a_pause_but_neither_the_rate_nor_what_is_closed() {
        let mut pace = Pace::default();
        assert_eq!(pace.left_ns(5), 0);
        pace.pause(0, Duration::from_secs(20));
        pace.pause(0, Duration::from_secs(10));
        assert_eq!(pace.until_ns(), Some(20_000_000_000), "a shorter one ends no longer one");
        pace.space(6_000_000_000);
        pace.resume();
        assert_eq!(pace.left_ns(1_000_000_000), 5_000_000_000);
        pace.set_back(2_000_000_000);
        assert_eq!(pace.left_ns(1_000_000_000), 3_000_000_000);
        pace.pause(0, Duration::MAX);
        assert_eq!(pace.left_ns(0), 3_600_000_000_000);
        pace.close();
        pace.resume();
        assert_eq!((pace.until_ns(), pace.left_ns(0)), (None, i64::MAX));
    }
}
