//! How large a run is, what it sends, and what it must come to.

use std::sync::OnceLock;

use crate::e2e::expect::{self, Outcome, by_the_engine};
use crate::plant::{self, Row};

/// Enough for the publisher's lead to stay within the lateness.
pub const KEYS: usize = 40;

/// Every few seconds another pump goes wrong for a while, so that alerts are under way at any time.
const FAULT_EVERY_S: i64 = 6;
const FAULT_S: i64 = 36;
const FIRST_FAULT_S: i64 = 20;

#[derive(Clone, Copy)]
pub struct Scale {
    pub events: usize,
    pub kills: u64,
    pub seed: u64,
}

impl Scale {
    /// A sample, or as much as `EDDY_EVENTS` and `EDDY_KILLS` say; `EDDY_SEED` chooses the moments.
    pub fn from_environment() -> Self {
        let number = |name: &str, sample: u64| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
            Err(_) => sample,
        };
        let events = number("EDDY_EVENTS", 4_000) as usize / KEYS * KEYS;
        assert!(events >= 4_000, "EDDY_EVENTS={events}: 4000 at least, or there are no alerts");
        Scale { events, kills: number("EDDY_KILLS", 3), seed: number("EDDY_SEED", 0) }
    }

    pub fn rerun(&self, scenario: &str) -> String {
        let Scale { events, kills, seed } = self;
        format!(
            "EDDY_SEED={seed} EDDY_EVENTS={events} EDDY_KILLS={kills} cargo test --release --test kill_matrix {scenario}"
        )
    }

    /// Rows and, as the last ones, those that close every window.
    pub fn rows(&self) -> (Vec<Row>, Vec<Row>) {
        let seconds = (self.events / KEYS) as i64 - 1;
        let mut rows = plant::rows(KEYS, seconds, 23, 0..0);
        let faults = (FIRST_FAULT_S..seconds - FAULT_S).step_by(FAULT_EVERY_S as usize);
        for (fault, start) in faults.enumerate() {
            for second in start..start + FAULT_S {
                let row = &mut rows[second as usize * KEYS + fault % KEYS];
                row.values[3] = 5.0 - row.values[3];
            }
        }
        let closers = expect::closers(&rows, KEYS);
        (rows, closers)
    }

    /// What the engine makes of these rows in this process, without a kill, a file or a socket.
    pub fn expected(&self) -> &'static Outcome {
        static EXPECTED: OnceLock<Outcome> = OnceLock::new();
        EXPECTED.get_or_init(|| {
            let (rows, closers) = self.rows();
            let outcome = by_the_engine(&[rows, closers].concat());
            let alerts = outcome.decisions.len();
            assert!(alerts * 800 >= self.events, "{alerts} alerts are too few to be hit");
            outcome
        })
    }
}
