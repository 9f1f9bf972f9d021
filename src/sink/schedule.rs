//! When a delivery is attempted again.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The example schedule of the Standard Webhooks specification: the wait before each attempt, from
/// the end of the one before. Ten attempts over about three days; then the delivery has failed.
pub const SCHEDULE: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// Jitter is at most this share of a wait, added to it.
const JITTER: f64 = 0.2;

/// No receiver may put an alert off for longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// The wait from the end of a failed attempt to the next one; `None` once `schedule` is used up.
///
/// `attempts` counts the failed ones, this one included. `Retry-After` can lengthen the wait, never
/// shorten it: a receiver that asks for one second over and over must not use the schedule up in ten.
/// Jitter is a hash of the message and the attempt: spread over messages, the same on every run.
pub fn wait_before_next(
    schedule: &[Duration],
    message_id: &str,
    attempts: u32,
    retry_after: Option<Duration>,
) -> Option<Duration> {
    let wait = schedule.get(attempts as usize)?;
    let hash = xxh3_64_with_seed(message_id.as_bytes(), u64::from(attempts));
    let share = (hash >> 11) as f64 / (1_u64 << 53) as f64;
    let wait = wait.mul_f64(1.0 + JITTER * share);
    Some(wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)))
}

/// `Retry-After` of RFC 9110, section 10.2.3: seconds, or a date (`now_s` is Unix time). A date that
/// has passed is a wait of 0; what cannot be read is `None`, leaving the schedule as it is.
pub fn parse_retry_after(value: &str, now_s: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than 64 bits hold is a wait beyond any limit.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date: Timestamp = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Duration::from_secs(u64::try_from(date.as_second() - now_s).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_the_schedule_with_reproducible_jitter_and_end_with_it() {
        for (attempts, &base) in SCHEDULE.iter().enumerate().skip(1) {
            let wait = wait_before_next(&SCHEDULE, "a_1", attempts as u32, None).unwrap();
            assert!(wait >= base && wait <= base.mul_f64(1.0 + JITTER), "attempt {attempts}: {wait:?}");
            assert_eq!(Some(wait), wait_before_next(&SCHEDULE, "a_1", attempts as u32, None));
        }
        assert_eq!(wait_before_next(&SCHEDULE, "a_1", SCHEDULE.len() as u32, None), None);
        let spread: std::collections::BTreeSet<_> =
            (0..100).map(|i| wait_before_next(&SCHEDULE, &format!("a{i}_1"), 2, None)).collect();
        assert!(spread.len() > 90, "messages do not retry in step: {} waits", spread.len());
    }

    #[test]
    fn retry_after_lengthens_a_wait_up_to_a_day_and_never_shortens_it() {
        let wait = |retry_after| wait_before_next(&SCHEDULE, "a_1", 1, Some(retry_after)).unwrap();
        assert_eq!(wait(Duration::from_secs(90)), Duration::from_secs(90));
        assert!(wait(Duration::from_secs(1)) >= SCHEDULE[1]);
        assert_eq!(wait(Duration::MAX), RETRY_AFTER_MAX);
        let none_left = wait_before_next(&SCHEDULE, "a_1", 10, Some(Duration::from_secs(90)));
        assert_eq!(none_left, None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(parse_retry_after("120", 0), seconds(120));
        assert_eq!(parse_retry_after(" 0 ", 0), seconds(0));
        assert_eq!(parse_retry_after("99999999999999999999", 0), seconds(u64::MAX));
        // The date of RFC 9110's own example.
        let date = "Fri, 31 Dec 1999 23:59:59 GMT";
        assert_eq!(parse_retry_after(date, 946_684_799 - 30), seconds(30));
        assert_eq!(parse_retry_after(date, 946_684_799 + 30), seconds(0));
        for nonsense in ["", "soon", "-5", "1.5"] {
            assert_eq!(parse_retry_after(nonsense, 0), None, "{nonsense:?}");
        }
    }
}
