//! The circuit breaker: a receiver that fails one message after the other is only probed until it takes one. What
//! waits keeps its attempts, and the receiver is not kept down by them. The probe is the message that has waited longest,
//! also before its next attempt is due: what is new would spend its first one on it, and be refused as it is.
//!
//! A receiver that takes a message after one that failed, open or not, is asked for the others at once, whenever nothing else
//! is due: what failed while it was away is often graver than what came since, and need not wait for hours.

use std::collections::HashSet;
use std::time::Duration;

/// So many different messages failed, and none was accepted in between: it is the receiver, not the message.
const MESSAGES: usize = 8;
/// From one probe to the next: doubles up to the second.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Breaker {
    /// Ids of what failed since the last success; no more than it takes.
    failed: HashSet<String>,
    trips: u32,
    /// Ids of what has been a probe since it opened, one a pause: each of what waits asks once before any does again.
    probed: HashSet<String>,
    /// It takes messages again: those it was asked for since, and did not take so far.
    asked_again: Option<HashSet<String>>,
}

impl Breaker {
    pub fn accepted(&mut self, id: &str) {
        let begins = !self.failed.is_empty();
        let mut asked_again = self.asked_again.take().or_else(|| begins.then(HashSet::new));
        if let Some(asked) = &mut asked_again {
            asked.remove(id);
        }
        *self = Breaker { asked_again, ..Breaker::default() };
    }

    /// What it was asked for again, if it is to be asked for more.
    pub fn asked_again(&self) -> Option<&HashSet<String>> {
        self.asked_again.as_ref()
    }

    /// It is asked for this one before its time; `None`: nothing more waits.
    pub fn asks_again(&mut self, id: Option<&str>) {
        match (id, &mut self.asked_again) {
            (Some(id), Some(asked)) => drop(asked.insert(id.to_owned())),
            _ => self.asked_again = None,
        }
    }

    /// For how long nothing is to be sent, if the breaker is open now. `probing`: nothing but this attempt was under way,
    /// so its failure is one more.
    pub fn failed(&mut self, id: &str, probing: bool) -> Option<Duration> {
        if self.failed.len() < MESSAGES {
            self.failed.insert(id.to_owned());
        }
        if self.failed.len() > 1 {
            self.asked_again = None;
        }
        if self.failed.len() < MESSAGES {
            return None;
        }
        if probing || self.trips == 0 {
            self.trips += 1;
        }
        Some((PAUSE_MIN * 2_u32.saturating_pow(self.trips - 1).min(64)).min(PAUSE_MAX))
    }

    /// Something is sent as a probe, or, `None`, what is due, since all that waited has been one; or it begins anew.
    pub fn probes(&mut self, id: Option<&str>) {
        if id.is_none_or(|id| self.probed.contains(id)) {
            self.probed.clear();
        }
        self.probed.extend(id.map(str::to_owned));
    }

    pub fn probed(&self) -> &HashSet<String> {
        &self.probed
    }

    pub fn is_open(&self) -> bool {
        self.trips > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_on_different_messages_pauses_longer_each_time_and_closes_on_one_success() {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            assert_eq!(breaker.failed("poison", false), None, "one message is no sick receiver");
        }
        for i in 1..MESSAGES - 1 {
            assert_eq!(breaker.failed(&format!("a{i}"), false), None);
        }
        let seconds = |pause: Option<Duration>| pause.map(|pause| pause.as_secs());
        assert_eq!(seconds(breaker.failed("last", false)), Some(5));
        assert_eq!(seconds(breaker.failed("beside", false)), Some(5), "sent before it opened");
        let pauses: Vec<_> = (0..5).map(|_| seconds(breaker.failed("probe", true)).unwrap()).collect();
        assert_eq!(pauses, [10, 20, 40, 60, 60]);
        breaker.accepted("probe");
        assert!(!breaker.is_open());
        assert_eq!(breaker.failed("a", true), None);
    }

    #[test]
    fn after_a_failure_a_success_asks_for_what_waits_until_two_fail_or_nothing_is_left() {
        let mut breaker = Breaker::default();
        breaker.accepted("a");
        assert_eq!(breaker.asked_again(), None, "nothing had failed");
        let asked = |breaker: &Breaker| breaker.asked_again().map(|asked| asked.len());
        breaker.failed("poison", false);
        breaker.accepted("b");
        breaker.asks_again(Some("poison"));
        breaker.failed("poison", false);
        assert_eq!(asked(&breaker), Some(1), "one message is no sick receiver");
        breaker.asks_again(Some("c"));
        breaker.accepted("c");
        assert_eq!(asked(&breaker), Some(1), "the one it does not take is not asked for again");
        breaker.failed("poison", false);
        breaker.failed("d", false);
        assert_eq!(asked(&breaker), None, "it is away again");
        breaker.accepted("e");
        breaker.asks_again(None);
        assert_eq!(asked(&breaker), None, "nothing waits");
    }
}
