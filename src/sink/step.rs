//! Noticing that the wall clock was set back: what is due in five seconds by a clock that then goes back by
//! hours is still due in five seconds.

use std::time::Instant;

/// A wall clock this much behind the monotonic one was set.
const STEP_NS: i64 = 250_000_000;

#[derive(Default)]
pub struct Watch {
    /// The last look, by both clocks.
    last: Option<(Instant, i64)>,
    /// So far the wall clock was set back, and the outbox has not been told yet.
    pub untold_ns: i64,
}

impl Watch {
    /// How far the wall clock was set back since the last look; 0 if it was not.
    pub fn look(&mut self, now_ns: i64) -> i64 {
        let now = Instant::now();
        let last = self.last.replace((now, now_ns));
        let behind_ns = last.map_or(0, |(at, wall_ns)| wall_ns + (now - at).as_nanos() as i64 - now_ns);
        let back_ns = if behind_ns > STEP_NS { behind_ns } else { 0 };
        self.untold_ns += back_ns;
        back_ns
    }
}
