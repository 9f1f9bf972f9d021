//! Which failures of a receiver are worth a line of the log: the first, each new reason, now and then that it goes on,
//! and that it is over. What happens a thousand times is counted.

use std::time::Duration;

use tokio::time::Instant;

/// Of what goes on there is a line this often, and what else is said is no more than [`LINES_MAX`] in that time.
const AGAIN: Duration = Duration::from_secs(600);
/// A receiver that takes every other message would else have two lines for each.
const LINES_MAX: u32 = 10;
/// Lines in that time about deliveries that are given up, each of which is lost to its receiver.
const GIVEN_UP_MAX: u32 = 100;
/// Reasons that are told apart.
const REASONS_MAX: usize = 8;

#[derive(Default)]
pub struct Damper {
    lines: Lines,
    given_up_lines: Lines,
    /// Attempts that failed since the receiver last took something, as the log knows.
    failed: u64,
    /// Of them, said since.
    reasons: Vec<String>,
    said_at: Option<Instant>,
    /// It has taken something since, and that was not said.
    takes: bool,
    given_up_unsaid: u64,
}

/// What could not be said when it happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// It takes messages again after so many attempts that failed.
    pub takes_after: Option<u64>,
    /// So many more were given up; 0: none.
    pub given_up: u64,
}

#[derive(Default)]
struct Lines {
    since: Option<Instant>,
    count: u32,
}

impl Lines {
    fn until(&self) -> Option<Instant> {
        self.since.map(|since| since + AGAIN)
    }

    fn one_more(&mut self, max: u32, now: Instant) -> bool {
        if self.until().is_none_or(|until| now >= until) {
            *self = Lines { since: Some(now), count: 0 };
        }
        let said = self.count < max;
        self.count += u32::from(said);
        said
    }
}

impl Damper {
    /// An attempt failed. If that is to be said: how many have so far.
    pub fn failed(&mut self, reason: &str, now: Instant) -> Option<u64> {
        self.failed += 1;
        self.takes = false;
        let is_new = self.reasons.len() < REASONS_MAX && !self.reasons.iter().any(|said| said == reason);
        let goes_on = self.said_at.is_none_or(|at| now - at >= AGAIN);
        if !(is_new || goes_on) || !self.lines.one_more(LINES_MAX, now) {
            return None;
        }
        if is_new {
            self.reasons.push(reason.to_owned());
        }
        self.said_at = Some(now);
        Some(self.failed)
    }

    /// The receiver took something. If it is to be said that it does again: how many attempts had failed.
    pub fn accepted(&mut self, now: Instant) -> Option<u64> {
        self.takes = self.failed > 0;
        (self.takes && self.lines.one_more(LINES_MAX, now)).then(|| self.over())
    }

    /// How many attempts had failed until it took something.
    fn over(&mut self) -> u64 {
        (self.takes, self.said_at) = (false, None);
        self.reasons.clear();
        std::mem::take(&mut self.failed)
    }

    /// Whether there is to be a line about a delivery that is given up.
    pub fn gave_up(&mut self, now: Instant) -> bool {
        self.failed += 1;
        self.takes = false;
        let said = self.given_up_lines.one_more(GIVEN_UP_MAX, now);
        self.given_up_unsaid += u64::from(!said);
        said
    }

    /// When [`Damper::unsaid`] has something.
    pub fn unsaid_at(&self) -> Option<Instant> {
        let takes = self.lines.until().filter(|_| self.takes);
        let given_up = self.given_up_lines.until().filter(|_| self.given_up_unsaid > 0);
        [takes, given_up].into_iter().flatten().min()
    }

    /// `at_once`: there is no later.
    pub fn unsaid(&mut self, now: Instant, at_once: bool) -> Unsaid {
        let is_time = |until: Option<Instant>| at_once || until.is_none_or(|until| now >= until);
        let takes_after = match self.takes && is_time(self.lines.until()) {
            true if at_once => Some(self.over()),
            true => self.accepted(now),
            false => None,
        };
        let given_up =
            if is_time(self.given_up_lines.until()) { std::mem::take(&mut self.given_up_unsaid) } else { 0 };
        Unsaid { takes_after, given_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_failure_is_a_line_at_its_begin_at_each_new_reason_now_and_then_and_at_its_end() {
        let (mut damper, began) = (Damper::default(), Instant::now());
        assert_eq!(damper.accepted(began), None, "nothing had failed");
        let mut said = Vec::new();
        for second in 0..1_500 {
            let reason = if second % 7 == 3 { "no answer" } else { "answered 503" };
            said.extend(damper.failed(reason, began + Duration::from_secs(second)));
        }
        assert_eq!(said, [1, 4, 604, 1_204]);
        let then = began + Duration::from_secs(1_500);
        assert_eq!(damper.accepted(then), Some(1_500));
        assert_eq!(damper.accepted(then), None);
        assert_eq!(damper.failed("answered 503", then), Some(1), "another one");
    }

    #[test]
    fn a_receiver_that_takes_every_other_message_has_a_few_lines_and_the_last_word_is_true() {
        let (mut damper, began) = (Damper::default(), Instant::now());
        let mut lines = 0;
        for i in 0..500 {
            lines += usize::from(damper.failed("answered 503", began + Duration::from_millis(i)).is_some());
            lines += usize::from(damper.accepted(began + Duration::from_millis(i)).is_some());
        }
        assert_eq!(lines, LINES_MAX as usize);
        let at = damper.unsaid_at().unwrap();
        assert_eq!(damper.unsaid(at - Duration::from_millis(1), false), Unsaid::default());
        assert_eq!(damper.unsaid(at, false), Unsaid { takes_after: Some(495), given_up: 0 });
        assert_eq!((damper.unsaid_at(), damper.unsaid(at, false)), (None, Unsaid::default()));
    }

    #[test]
    fn at_a_stop_the_last_word_is_said() {
        let (mut damper, began) = (Damper::default(), Instant::now());
        for _ in 0..500 {
            damper.failed("answered 503", began);
            damper.accepted(began);
        }
        assert_eq!(damper.unsaid(began, false), Unsaid::default());
        assert_eq!(damper.unsaid(began, true), Unsaid { takes_after: Some(495), given_up: 0 });
    }

    #[test]
    fn what_is_given_up_has_a_line_each_until_it_is_hundreds() {
        let (mut damper, began) = (Damper::default(), Instant::now());
        assert_eq!((0..1_000).filter(|_| damper.gave_up(began)).count(), GIVEN_UP_MAX as usize);
        let at = damper.unsaid_at().unwrap();
        assert_eq!(damper.unsaid(at, false), Unsaid { takes_after: None, given_up: 900 });
        assert!(damper.gave_up(at));
    }
}
