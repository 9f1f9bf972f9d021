//! The circuit breaker: a receiver that fails one message after the other is only probed until it takes one. What
//! waits keeps its attempts, and the receiver is not kept down by them. The probe is the message that has waited longest,
//! also before its next attempt is due: what is new would spend its first one on it, and be refused as it is.
//!
//! A receiver that takes a message after one that failed, open or not, is asked for the others at once, whenever nothing else
//! is due: what failed while it was away is often graver than what came since, and need not wait for hours. Each a few times at
//! most: one that it never takes would else keep it from taking others, which it may ask to wait.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// So many different messages failed, and none was accepted in between: it is the receiver, not the message.
const MESSAGES: usize = 8;
/// So often what it never takes is asked for again, out of its turn.
const AGAIN_MAX: u32 = 3;
/// Of so many it is remembered how often.
const REMEMBERED_MAX: usize = 1_000;
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
    /// It takes messages again: those it was asked for since.
    asked_again: Option<HashSet<String>>,
    /// How often it was asked for these again, and did not take them.
    in_vain: HashMap<String, u32>,
    /// Something waits that failed before this start.
    waits: bool,
}

impl Breaker {
    pub fn accepted(&mut self, id: &str) {
        let begins = self.waits || !self.failed.is_empty();
        let asked_again = self.asked_again.take().or_else(|| begins.then(HashSet::new));
        let mut in_vain = std::mem::take(&mut self.in_vain);
        in_vain.remove(id);
        *self = Breaker { asked_again, in_vain, ..Breaker::default() };
    }

    /// What failed before this start waits as what fails from now on does.
    pub fn something_waits(&mut self) {
        self.waits = true;
    }

    /// Somebody says that it takes messages again: once it has taken one it is asked for all that wait, those too that it did
    /// not take before.
    pub fn is_to_ask(&mut self) {
        self.waits = true;
        self.in_vain.clear();
    }

    /// If it is to be asked for more of what waits: what it is not to be asked for.
    pub fn asked_again(&self) -> Option<HashSet<String>> {
        let mut asked = self.asked_again.clone()?;
        asked.extend(self.in_vain.iter().filter(|(_, times)| **times >= AGAIN_MAX).map(|(id, _)| id.clone()));
        Some(asked)
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
        if self.asked_again.as_ref().is_some_and(|asked| asked.contains(id)) {
            if self.in_vain.len() >= REMEMBERED_MAX {
                self.in_vain.clear();
            }
            *self.in_vain.entry(id.to_owned()).or_default() += 1;
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
        let asked = |breaker: &Breaker| {
            let mut asked: Vec<String> = breaker.asked_again()?.into_iter().collect();
            asked.sort();
            Some(asked.join(" "))
        };
        breaker.failed("poison", false);
        breaker.accepted("b");
        breaker.asks_again(Some("poison"));
        breaker.failed("poison", false);
        assert_eq!(asked(&breaker).as_deref(), Some("poison"), "one message is no sick receiver");
        breaker.asks_again(Some("c"));
        breaker.accepted("c");
        assert_eq!(asked(&breaker).as_deref(), Some("c poison"), "each is asked for once");
        breaker.failed("poison", false);
        breaker.failed("d", false);
        assert_eq!(asked(&breaker), None, "it is away again");
        breaker.accepted("e");
        breaker.asks_again(None);
        assert_eq!(asked(&breaker), None, "nothing waits");
    }

    /// Two that it never takes are the oldest, and it may ask for a pause with each.
    #[test]
    fn what_it_never_takes_is_asked_for_a_few_times_and_then_others_are() {
        let mut breaker = Breaker::default();
        breaker.something_waits();
        let mut rounds = Vec::new();
        for round in 0..5 {
            breaker.accepted(&format!("x{round}"));
            let mut asks = Vec::new();
            while let Some(not) = breaker.asked_again() {
                let next = ["p1", "p2", "good"].into_iter().find(|id| !not.contains(*id));
                breaker.asks_again(next);
                asks.extend(next);
                match next {
                    Some("good") => breaker.accepted("good"),
                    Some(id) => drop(breaker.failed(id, false)),
                    None => breaker.failed.extend(["p1".to_owned()]),
                }
            }
            rounds.push(asks.join(" "));
        }
        assert_eq!(rounds[..3], ["p1 p2"; 3]);
        assert_eq!(rounds[3..], ["good"; 2], "after a start, too");
    }
}
