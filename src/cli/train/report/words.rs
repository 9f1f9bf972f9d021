//! Numbers and times as the report words them.

use jiff::Timestamp;

use crate::dashboard::format::{Format, NONE, grouped};

pub(super) fn count(n: impl TryInto<u64>) -> String {
    n.try_into().map_or(NONE.to_owned(), grouped)
}

pub(super) fn value(x: f64) -> String {
    Format::Value.write(x)
}

/// A value with its unit.
pub(super) fn with_unit(x: f64, unit: Option<&str>) -> String {
    match unit.filter(|_| x.is_finite()) {
        Some(unit) => format!("{} {unit}", value(x)),
        None => value(x),
    }
}

pub(super) fn percent(share: f64) -> String {
    Format::Percent.write(share)
}

pub(super) fn odds(p: f64) -> String {
    Format::Odds.write(p)
}

pub(super) fn duration(ns: i64) -> String {
    Format::Duration.write(ns as f64)
}

/// `a single density`, `8 codes`
pub(super) fn codes(n: usize) -> String {
    if n <= 1 { "a single density".to_owned() } else { number(n, "code") }
}

/// Nats a dimension: three decimals, since candidates differ in the third.
pub(super) fn likelihood(nats: f64) -> String {
    format!("{nats:.3}").replace('-', "−")
}

/// `2026-01-07 07:31:52 UTC`
pub(super) fn time(ns: i64) -> String {
    let Ok(at) = Timestamp::from_nanosecond(i128::from(ns)) else { return NONE.to_owned() };
    let pattern = if ns % 1_000_000_000 == 0 { "%F %T UTC" } else { "%F %T%.3f UTC" };
    at.strftime(pattern).to_string()
}

/// `1 window`, `2,048 windows`
pub(super) fn number(n: usize, one: &str) -> String {
    format!("{} {one}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_elsewhere() {
        assert_eq!((number(1, "key"), number(12_345, "key")), ("1 key".into(), "12,345 keys".into()));
        assert_eq!((codes(1), codes(8)), ("a single density".into(), "8 codes".into()));
        assert_eq!(with_unit(7.9, Some("mm/s")), "7.9 mm/s");
        assert_eq!(with_unit(f64::NAN, Some("mm/s")), NONE);
        assert_eq!(time(1_767_771_112_000_000_000), "2026-01-07 07:31:52 UTC");
        assert_eq!(time(1_767_771_112_250_000_000), "2026-01-07 07:31:52.250 UTC");
    }
}
