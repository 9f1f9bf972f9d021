//! Durations (`"64s"`) and sizes (`"64MB"`) as users write them.

use std::time::Duration;

/// Name and length in ns, from small to large.
const DURATIONS: [(&str, u64); 5] = [
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Name and bytes: SI multiples and, with an `i`, powers of 1024.
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// A whole number and one unit of ms, s, m, h, d; spaces between them are allowed.
pub fn parse_duration(text: &str) -> Option<Duration> {
    measure(text, &DURATIONS).map(Duration::from_nanos)
}

/// A whole number and one unit of B, kB, MB, GB, KiB, MiB, GiB. Result in bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    measure(text, &SIZES)
}

/// A number, not below 0 and with a fraction if need be, and one of /hour, /day, /week. Result a day.
pub fn parse_rate(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once('/')?;
    let number = number.trim();
    let plain = number.starts_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = if plain { number.parse().ok()? } else { return None };
    match unit.trim() {
        "hour" => Some(number * 24.0),
        "day" => Some(number),
        "week" => Some(number / 7.0),
        _ => None,
    }
}

/// In the largest unit that needs no fraction; the inverse of [`parse_duration`] down to 1 ms.
pub fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0s".to_string();
    }
    let ns = duration.as_nanos();
    let whole = DURATIONS.iter().rev().find(|(_, unit)| ns.is_multiple_of(u128::from(*unit)));
    whole.map_or_else(|| format!("{ns}ns"), |(name, unit)| format!("{}{name}", ns / u128::from(*unit)))
}

/// In the largest unit that needs no fraction; the inverse of [`parse_size`].
pub fn show_size(bytes: u64) -> String {
    let whole = SIZES.iter().rev().find(|(_, unit)| bytes.is_multiple_of(*unit) && bytes >= *unit);
    whole.map_or_else(|| "0B".to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let name = text[digits..].trim_start();
    let (_, unit) = units.iter().find(|(known, _)| *known == name)?;
    number.checked_mul(*unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_every_unit() {
        let ms = |text| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Some(500));
        assert_eq!(ms("64s"), Some(64_000));
        assert_eq!(ms("10 m"), Some(600_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        assert_eq!(ms("2d"), Some(172_800_000));
        for bad in ["", "s", "64", "-1s", "1.5s", "1h30m", "1M", "99999999999999d"] {
            assert_eq!(ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn rates_of_every_unit() {
        let rates = [("1/day", 1.0), ("2 / hour", 48.0), ("0.5/week", 0.5 / 7.0), ("10/day", 10.0)];
        for (text, per_day) in rates {
            assert_eq!(parse_rate(text), Some(per_day), "{text}");
        }
        for bad in [
            "",
            "1",
            "/day",
            "1/",
            "1/min",
            "-1/day",
            "1e3/day",
            "inf/day",
            ".5/day",
            "1/day/week",
            "1.2.3/day",
        ] {
            assert_eq!(parse_rate(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_of_every_unit() {
        assert_eq!(parse_size("8MB"), Some(8_000_000));
        assert_eq!(parse_size("8MiB"), Some(8 << 20));
        assert_eq!(parse_size("1B"), Some(1));
        assert_eq!(parse_size("8mb"), None);
        assert_eq!(parse_size("8"), None);
    }

    #[test]
    fn showing_is_the_inverse_of_parsing() {
        for text in ["0s", "1ms", "64s", "1m", "90s", "1h", "2d", "36h"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["1B", "8MB", "64MiB", "1GB", "1500kB"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
    }
}
