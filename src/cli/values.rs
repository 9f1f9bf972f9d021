//! Values of options, as people write them.

use std::time::Duration;

use crate::config;

/// How long something is to last.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match config::parse_duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        Some(_) => Err("that is no time at all; write how long, such as 90s or 2h".to_string()),
        None => Err("write a whole number and one of ms, s, m, h, d, such as 90s".to_string()),
    }
}

/// Of rows.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write rows a second, such as 2000 or 0.5".to_string())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err("write a number above 0, such as 0.5".to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    #[test]
    fn what_is_no_time_is_told_with_what_to_write() {
        let said = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap_err().to_string();
        for line in ["eddy demo --for 0s", "eddy silence add c.toml --matcher a=b --author x --for 0m"] {
            assert!(said(line).contains("no time at all; write how long, such as 90s"), "{}", said(line));
        }
        assert!(
            said("eddy demo --for soon").contains("a whole number and one of ms, s, m, h, d, such as 90s")
        );
        assert!(said("eddy plan c.toml --keys 1 --rate 0").contains("a number above 0, such as 0.5"));
        let days = said("eddy demo --export-history h.csv --days 0");
        assert!(days.contains("1..=3650"), "{days}");
    }
}
