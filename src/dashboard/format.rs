//! Numbers as an operator reads them: three significant digits, the unit beside them.
//!
//! `assets/app.js` holds the same formats for live updates; the browser test compares both with the API.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What stands for a number that is not there.
pub const NONE: &str = "–";

/// How a number of the API is written on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `8.21k`
    Count,
    /// Three significant digits, whole numbers kept whole.
    Value,
    /// A duration given in ns: `412 µs`.
    Duration,
    /// A probability: `1 in 40,000`.
    Odds,
    /// A share of 1: `71 %`.
    Percent,
    /// Thousandths: `98.4 %`.
    Milli,
}

impl Format {
    /// Name in `data-fmt`.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Count => "count",
            Format::Value => "value",
            Format::Duration => "duration",
            Format::Odds => "odds",
            Format::Percent => "percent",
            Format::Milli => "milli",
        }
    }

    pub fn write(self, x: f64) -> String {
        if !x.is_finite() {
            return NONE.to_owned();
        }
        match self {
            Format::Count => count(x),
            Format::Value => significant(x),
            Format::Duration => duration_ns(x),
            Format::Odds => odds(x),
            Format::Percent => format!("{} %", significant(100.0 * x)),
            Format::Milli => format!("{} %", significant(x / 10.0)),
        }
    }
}

/// Three significant digits without trailing zeros behind the point; whole above 999.
fn significant(x: f64) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if !(1e-6..1e9).contains(&x.abs()) {
        return format!("{x:.2e}").replace('-', "−");
    }
    let magnitude = x.abs().log10().floor() as i32;
    let decimals = (2 - magnitude).clamp(0, 9) as usize;
    let mut text = format!("{x:.decimals$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    if text == "-0" { "0".to_owned() } else { text.replace('-', "−") }
}

fn count(x: f64) -> String {
    let size = x.abs();
    match size {
        _ if size < 999.5 => significant(x),
        _ if size < 999.5e3 => format!("{}k", significant(x / 1e3)),
        _ if size < 999.5e6 => format!("{}M", significant(x / 1e6)),
        _ => format!("{}G", significant(x / 1e9)),
    }
}

fn duration_ns(ns: f64) -> String {
    let size = ns.abs();
    let (scale, unit) = match size {
        _ if size < 999.5 => (1.0, "ns"),
        _ if size < 999.5e3 => (1e3, "µs"),
        _ if size < 999.5e6 => (1e6, "ms"),
        _ if size < 120e9 => (1e9, "s"),
        _ if size < 7_200e9 => (60e9, "min"),
        _ if size < 172_800e9 => (3_600e9, "h"),
        _ => (86_400e9, "d"),
    };
    format!("{} {unit}", significant(ns / scale))
}

/// Two significant digits: more would pretend to know a rare thing well.
pub fn odds(p: f64) -> String {
    // Beyond that no calibration can tell, however small the number.
    if p < 1e-9 {
        return "< 1 in 1G".to_owned();
    }
    let one_in = 1.0 / p;
    let step = 10f64.powi((one_in.log10().floor() as i32 - 1).max(-1));
    let rounded = (one_in / step).round() * step;
    match rounded {
        _ if rounded >= 1e6 => format!("1 in {}M", significant(rounded / 1e6)),
        _ if rounded >= 10.0 => format!("1 in {}", grouped(rounded as u64)),
        _ => format!("1 in {}", significant(rounded)),
    }
}

pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Every digit, for the title of a shortened number.
pub fn exact(x: f64) -> String {
    let mut text = String::new();
    let _ = write!(text, "{x}");
    text
}

/// `02:58:41`, with the date before it if `ns` is not of the same day as `now_ns`.
pub fn clock(ns: i64, now_ns: i64, zone: &TimeZone) -> String {
    let (Some(at), Some(now)) = (zoned(ns, zone), zoned(now_ns, zone)) else { return NONE.to_owned() };
    let pattern = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    at.strftime(pattern).to_string()
}

/// `02:58:41+01:00`
pub fn clock_with_offset(ns: i64, zone: &TimeZone) -> String {
    zoned(ns, zone).map_or(NONE.to_owned(), |at| at.strftime("%H:%M:%S%:z").to_string())
}

/// RFC 3339 in UTC, for `datetime`.
pub fn rfc3339(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| NONE.to_owned(), |at| at.to_string())
}

fn zoned(ns: i64, zone: &TimeZone) -> Option<jiff::Zoned> {
    Some(Timestamp::from_nanosecond(i128::from(ns)).ok()?.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_the_design_says() {
        let table = [
            (Format::Count, 0.0, "0"),
            (Format::Count, 8_213.0, "8.21k"),
            (Format::Count, 999.6, "1k"),
            (Format::Count, 999_600.0, "1M"),
            (Format::Count, 41.66, "41.7"),
            (Format::Value, 7.9, "7.9"),
            (Format::Value, -0.012_345, "−0.0123"),
            (Format::Value, 101_325.0, "101325"),
            (Format::Value, 1e-12, "1.00e−12"),
            (Format::Duration, 830.0, "830 ns"),
            (Format::Duration, 412_000.0, "412 µs"),
            (Format::Duration, 1.04e9, "1.04 s"),
            (Format::Duration, 999_700.0, "1 ms"),
            (Format::Duration, 600e9, "10 min"),
            (Format::Duration, -3.2 * 3_600e9, "−3.2 h"),
            (Format::Odds, 0.000_025, "1 in 40,000"),
            (Format::Odds, 0.7, "1 in 1.4"),
            (Format::Odds, 1.0 / 43_210.0, "1 in 43,000"),
            (Format::Odds, 4.2e-8, "1 in 24M"),
            (Format::Odds, 1e-9, "1 in 1000M"),
            (Format::Odds, 1.1e-13, "< 1 in 1G"),
            (Format::Percent, 0.71, "71 %"),
            (Format::Milli, 984.0, "98.4 %"),
            (Format::Value, f64::NAN, NONE),
        ];
        for (format, x, text) in table {
            assert_eq!(format.write(x), text, "{format:?} of {x}");
        }
    }

    #[test]
    fn a_time_of_another_day_says_so() {
        let zone = TimeZone::UTC;
        assert_eq!(clock(0, 5_000_000_000, &zone), "00:00:00");
        assert_eq!(clock(0, 86_400_000_000_000, &zone), "1970-01-01 00:00:00");
        assert_eq!(clock_with_offset(0, &zone), "00:00:00+00:00");
        assert_eq!(rfc3339(1), "1970-01-01T00:00:00.000000001Z");
    }
}
