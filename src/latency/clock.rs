//! The wall clock that everything is stamped by.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Wall time by a monotonic clock: steady between two looks at the system's clock, which it follows when
/// that is set (NTP, a resumed machine). Copies share one clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    /// Wall time at `start`, ns.
    wall_ns: &'static AtomicI64,
}

/// The system's clock may run this far off before it is followed: a slew is not a step.
const STEP_NS: i64 = 500_000_000;

impl Clock {
    pub fn start() -> Self {
        // One for the life of the process, so that every station can hold it by value.
        let Reading { at, wall_ns, .. } = Reading::close();
        Clock { start: at, wall_ns: Box::leak(Box::new(AtomicI64::new(wall_ns))) }
    }

    /// ns since the Unix epoch.
    pub fn now_ns(&self) -> i64 {
        self.wall_ns.load(Relaxed) + self.start.elapsed().as_nanos() as i64
    }

    /// Follows the system's clock if it was set. Call it about once a second.
    pub fn resync(&self) {
        let Reading { at, wall_ns, .. } = Reading::close();
        self.follow(at, wall_ns);
    }

    /// As [`Clock::resync`], to a time that tests choose.
    pub fn resync_to(&self, system_ns: i64) {
        self.follow(Instant::now(), system_ns);
    }

    fn follow(&self, at: Instant, system_ns: i64) {
        let off_ns = system_ns - self.wall_ns.load(Relaxed) - (at - self.start).as_nanos() as i64;
        if off_ns.abs() > STEP_NS {
            self.wall_ns.fetch_add(off_ns, Relaxed);
            tracing::warn!(
                off_ms = off_ns / 1_000_000,
                "the system's clock was set; arrivals follow it from here"
            );
        }
    }
}

/// The system's clock, and the instant at which it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    at: Instant,
    wall_ns: i64,
    /// How long it took: so far off the two may be.
    took: Duration,
}

/// On a busy machine a thread may be held up between two clocks, which would set every later time off by that.
const READINGS: usize = 8;

impl Reading {
    fn take() -> Self {
        let at = Instant::now();
        let wall_ns = system_ns();
        Reading { at, wall_ns, took: at.elapsed() }
    }

    fn close() -> Self {
        Self::closest((1..READINGS).map(|_| Self::take()), Self::take())
    }

    fn closest(others: impl Iterator<Item = Reading>, first: Reading) -> Self {
        others.fold(first, |best, other| if other.took < best.took { other } else { best })
    }
}

/// A clock before 1970 is taken as 1970: order and durations still hold.
fn system_ns() -> i64 {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    wall.unwrap_or_default().as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_followed_by_every_copy() {
        let clock = Clock::start();
        let other = clock;
        let hour_ns = 3_600_000_000_000;
        clock.resync_to(clock.now_ns() + hour_ns);
        assert!((other.now_ns() - system_ns() - hour_ns).abs() < 1_000_000_000);
        let before = clock.now_ns();
        clock.resync_to(before + STEP_NS / 2);
        assert!((clock.now_ns() - before) < STEP_NS / 4, "a slew is left alone");
        clock.resync();
        assert!((clock.now_ns() - system_ns()).abs() < 1_000_000_000);
    }

    #[test]
    fn a_clock_starts_from_a_reading_that_nothing_held_up() {
        let (at, ms) = (Instant::now(), Duration::from_millis);
        let reading = |wall_ns, took| Reading { at, wall_ns, took };
        let (held_up, close) = (reading(1, ms(62)), reading(2, ms(1)));
        assert_eq!(Reading::closest([held_up, close, reading(3, ms(5))].into_iter(), held_up), close);
    }
}
