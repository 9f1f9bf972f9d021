//! Event time from what devices send: ISO 8601 with an offset, or a count since the Unix epoch.
//!
//! Counts are read from their digits, never through a float: integers are exact, and fractions are
//! exact to the nanosecond (finer digits are cut).

use jiff::Timestamp;

use crate::config::plan::TimeUnit;
use crate::types::EventTime;

/// 2200-01-01T00:00:00Z. Event times lie after 1970-01-01T00:00:00Z, which is what a clock that was
/// never set says, and before this.
pub(super) const END_NS: i64 = 7_258_118_400 * 1_000_000_000;

/// 2000-01-01T00:00:00Z. A count that stands for a moment before it, and for one of this century in another unit, is one
/// in that unit: seconds read as milliseconds are days of January 1970.
pub(super) const YEAR_2000_NS: i64 = 946_684_800 * 1_000_000_000;

/// Why a time was refused. The texts are completed by the field's name and the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TimeError {
    #[error(
        "has no offset from UTC, so the moment is unknown; send it with an offset, as in 2025-03-01T12:00:00Z or 2025-03-01T12:00:00+01:00"
    )]
    NoOffset,
    #[error("is not an ISO 8601 time; send one as in 2025-03-01T12:00:00Z, or set the stream's time unit")]
    NotIso8601,
    #[error("is a number where an ISO 8601 text is expected; set the stream's time unit to {0}")]
    NumberForIso8601(&'static str),
    #[error(
        "is not a count of {0}; send a number since 1970-01-01T00:00:00Z, or set the stream's time unit to \"iso8601\""
    )]
    NotANumber(&'static str),
    #[error("is outside 1970 to 2200; {0}")]
    OutOfRange(&'static str),
    #[error("would be before 2000; {0}")]
    OtherUnit(&'static str),
}

/// A text: ISO 8601, or the digits of a count.
pub(super) fn parse_text(text: &str, unit: TimeUnit) -> Result<EventTime, TimeError> {
    match nanos_per(unit) {
        None => parse_iso8601(text),
        Some(scale) => parse_count(text, scale).ok_or(TimeError::NotANumber(name(unit)))?.in_range(),
    }
}

/// A JSON integer.
pub(super) fn parse_integer(count: i64, unit: TimeUnit) -> Result<EventTime, TimeError> {
    let ns = |scale| Nanos { ns: i128::from(count) * i128::from(scale), count: i128::from(count) };
    match nanos_per(unit) {
        None => Err(TimeError::NumberForIso8601(
            likely_unit(i128::from(count)).unwrap_or("\"s\", \"ms\", \"us\" or \"ns\""),
        )),
        Some(scale) => ns(scale).in_range(),
    }
}

/// A moment that is known to be one, ns since 1970.
pub(super) fn of_instant(ns: i64) -> Result<EventTime, TimeError> {
    Nanos { ns: i128::from(ns), count: 0 }.in_range()
}

fn parse_iso8601(text: &str) -> Result<EventTime, TimeError> {
    match text.parse::<Timestamp>() {
        Ok(timestamp) => Nanos { ns: timestamp.as_nanosecond(), count: 0 }.in_range(),
        Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => Err(TimeError::NoOffset),
        Err(_) => match text.parse::<f64>() {
            Ok(count) => Err(TimeError::NumberForIso8601(
                likely_unit(count as i128).unwrap_or("\"s\", \"ms\", \"us\" or \"ns\""),
            )),
            Err(_) => Err(TimeError::NotIso8601),
        },
    }
}

/// A count in its own unit beside the moment it stands for.
struct Nanos {
    ns: i128,
    count: i128,
}

impl Nanos {
    fn in_range(self) -> Result<EventTime, TimeError> {
        match i64::try_from(self.ns) {
            Ok(ns) if (YEAR_2000_NS..END_NS).contains(&ns) => Ok(EventTime(ns)),
            Ok(ns) if ns > 0 && ns < YEAR_2000_NS => match remedy(self.count) {
                Some(remedy) => Err(TimeError::OtherUnit(remedy)),
                None => Ok(EventTime(ns)),
            },
            _ => Err(TimeError::OutOfRange(remedy(self.count).unwrap_or("check the device's clock"))),
        }
    }
}

/// What to do about a count that is plausible in another unit.
fn remedy(count: i128) -> Option<&'static str> {
    match likely_unit(count)? {
        "\"s\"" => Some("it looks like seconds: set the stream's time unit to \"s\""),
        "\"ms\"" => Some("it looks like milliseconds: set the stream's time unit to \"ms\""),
        "\"us\"" => Some("it looks like microseconds: set the stream's time unit to \"us\""),
        _ => Some("it looks like nanoseconds: set the stream's time unit to \"ns\""),
    }
}

/// The unit in which a count falls into 2001 to 2200.
fn likely_unit(count: i128) -> Option<&'static str> {
    const START_S: i128 = 1_000_000_000;
    const END_S: i128 = END_NS as i128 / 1_000_000_000;
    let units = [("\"s\"", 1), ("\"ms\"", 1_000), ("\"us\"", 1_000_000), ("\"ns\"", 1_000_000_000_i128)];
    units
        .into_iter()
        .find(|(_, per_s)| (START_S * per_s..END_S * per_s).contains(&count))
        .map(|(name, _)| name)
}

fn nanos_per(unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Iso8601 => None,
        TimeUnit::Seconds => Some(1_000_000_000),
        TimeUnit::Millis => Some(1_000_000),
        TimeUnit::Micros => Some(1_000),
        TimeUnit::Nanos => Some(1),
    }
}

fn name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Iso8601 => "ISO 8601",
        TimeUnit::Seconds => "seconds",
        TimeUnit::Millis => "milliseconds",
        TimeUnit::Micros => "microseconds",
        TimeUnit::Nanos => "nanoseconds",
    }
}

/// Reads `[-]digits[.digits][e[+-]digits]` and scales it to nanoseconds; `None` if it is anything else.
/// Beyond the range of any valid time the result saturates, so that it is refused as out of range.
fn parse_count(text: &str, scale: i64) -> Option<Nanos> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], parse_exponent(&digits[at + 1..])?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let zeros = i64::from(scale.ilog10());
    let magnitude = shifted(whole, fraction, exponent + zeros);
    let count = shifted(whole, fraction, exponent);
    let sign = if negative { -1 } else { 1 };
    Some(Nanos { ns: sign * magnitude, count: sign * count })
}

fn parse_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // No text that long reaches us, so a capped exponent gives the same: far out of range, or zero.
    let exponent = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000);
    Some(if negative { -exponent } else { exponent })
}

/// `whole.fraction * 10^places`, cut to an integer; saturates above 10^30.
fn shifted(whole: &str, fraction: &str, places: i64) -> i128 {
    const LIMIT: i128 = 10_i128.pow(30);
    let wanted = whole.len() as i64 + places;
    let mut digits = whole.bytes().chain(fraction.bytes());
    let mut value = 0_i128;
    for _ in 0..wanted.max(0) {
        match digits.next() {
            Some(digit) => value = value * 10 + i128::from(digit - b'0'),
            None if value == 0 => return 0,
            None => value *= 10,
        }
        if value >= LIMIT {
            return LIMIT;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Result<i64, TimeError> {
        parse_text(text, TimeUnit::Seconds).map(|time| time.0)
    }

    #[test]
    fn fractions_are_exact_where_a_float_is_not() {
        assert_eq!(seconds("1712345678.123456789"), Ok(1_712_345_678_123_456_789));
        assert_ne!(("1712345678.123456789".parse::<f64>().unwrap() * 1e9) as i64, 1_712_345_678_123_456_789);
        assert_eq!(seconds("1.712345678123456789e9"), Ok(1_712_345_678_123_456_789));
        assert_eq!(seconds("1712345678.1234567899"), Ok(1_712_345_678_123_456_789));
        assert_eq!(parse_text("1712345678123.5", TimeUnit::Millis), Ok(EventTime(1_712_345_678_123_500_000)));
        assert_eq!(
            parse_text("17123456781235E-1", TimeUnit::Millis),
            Ok(EventTime(1_712_345_678_123_500_000))
        );
    }

    #[test]
    fn the_edges_of_the_range_are_where_the_text_says() {
        assert_eq!(parse_integer(1, TimeUnit::Nanos), Ok(EventTime(1)));
        assert!(parse_integer(0, TimeUnit::Nanos).is_err());
        assert_eq!(parse_integer(END_NS - 1, TimeUnit::Nanos), Ok(EventTime(END_NS - 1)));
        assert!(parse_integer(END_NS, TimeUnit::Nanos).is_err());
        let year_2200 = "2200-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(year_2200.as_nanosecond(), i128::from(END_NS));
        assert!(parse_text("1969-12-31T23:59:59Z", TimeUnit::Iso8601).is_err());
        assert!(parse_text("1970-01-01T00:00:00Z", TimeUnit::Iso8601).is_err());
    }

    #[test]
    fn a_wrong_unit_is_named() {
        let error = parse_integer(1_712_345_678_123, TimeUnit::Seconds).unwrap_err();
        insta::assert_snapshot!(error, @r#"is outside 1970 to 2200; it looks like milliseconds: set the stream's time unit to "ms""#);
        let error = parse_integer(1_712_345_678, TimeUnit::Millis).unwrap_err();
        insta::assert_snapshot!(error, @r#"would be before 2000; it looks like seconds: set the stream's time unit to "s""#);
        assert_eq!(
            parse_integer(999_999_999, TimeUnit::Millis),
            Ok(EventTime(999_999_999_000_000)),
            "no other unit"
        );
        let error = parse_integer(1_712_345_678, TimeUnit::Iso8601).unwrap_err();
        insta::assert_snapshot!(error, @r#"is a number where an ISO 8601 text is expected; set the stream's time unit to "s""#);
        let error = parse_text("2025-03-01T12:00:00", TimeUnit::Iso8601).unwrap_err();
        insta::assert_snapshot!(error, @"has no offset from UTC, so the moment is unknown; send it with an offset, as in 2025-03-01T12:00:00Z or 2025-03-01T12:00:00+01:00");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", ".", "1.", ".5", "+1", "1e", "1e+", "0x10", "1_000", "1 ", "NaN", "inf", "1.5.5", "１"]
        {
            assert_eq!(seconds(text), Err(TimeError::NotANumber("seconds")), "{text:?}");
        }
        for text in ["1e999999999999999999999", "-1", "0e99999999", "1e-400", "9".repeat(1000).as_str()] {
            assert!(matches!(seconds(text), Err(TimeError::OutOfRange(_))), "{text:?}");
        }
    }

    proptest! {
        /// Every unit, as integer, digits and ISO 8601 at several offsets, gives the moment jiff printed.
        #[test]
        fn all_writings_of_a_moment_agree_with_jiff(ns in YEAR_2000_NS..END_NS, offset_minutes in -1439..=1439_i32) {
            let timestamp = Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            prop_assert_eq!(parse_integer(ns, TimeUnit::Nanos), Ok(EventTime(ns)));
            prop_assert_eq!(parse_text(&timestamp.to_string(), TimeUnit::Iso8601), Ok(EventTime(ns)));
            let offset = jiff::tz::Offset::from_seconds(offset_minutes * 60).unwrap();
            let local = timestamp.display_with_offset(offset).to_string();
            prop_assert_eq!(parse_text(&local, TimeUnit::Iso8601), Ok(EventTime(ns)));
            for (unit, per) in [(TimeUnit::Seconds, 1_000_000_000), (TimeUnit::Millis, 1_000_000), (TimeUnit::Micros, 1_000)] {
                let width = i64::ilog10(per) as usize;
                let text = format!("{}.{:0width$}", ns / per, ns % per);
                prop_assert_eq!(parse_text(&text, unit), Ok(EventTime(ns)));
                if ns / per > 0 {
                    prop_assert_eq!(parse_integer(ns / per, unit), Ok(EventTime(ns / per * per)));
                }
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}", number in "-?[0-9.eE+-]{0,40}") {
            for unit in [TimeUnit::Iso8601, TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Micros, TimeUnit::Nanos] {
                let _ = parse_text(&text, unit);
                let _ = parse_text(&number, unit);
            }
        }
    }
}
