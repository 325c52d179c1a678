//! Parses sizes, rates and times as the user writes them. Flags and files use the same parsers.

use std::time::Duration;

use jiff::SignedDuration;
use parse_size::Config;

/// The longest time that a flag accepts.
const LONGEST: Duration = Duration::from_hours(24);

/// The units of a size.
const UNITS: [&str; 18] =
    ["", "B", "k", "K", "m", "M", "g", "G", "t", "T", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"];

/// Bytes: `700M`, `1.5G` and `4GB` are decimal, `4GiB` is binary, `12` is bytes; at most three decimals. `None` if
/// `text` is not a size, or more than [`u64::MAX`].
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    // The library also accepts exponents and blanks, which are more likely mistakes.
    let is_one = match number.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part) && part.len() <= 3 && !matches!(unit, "" | "B"),
        None => digits(number),
    };
    (is_one && UNITS.contains(&unit)).then(|| Config::new().with_decimal().parse_size(text).ok())?
}

/// Bytes per second: a [`size`], with or without `/s`.
pub(crate) fn rate(text: &str) -> Option<u64> {
    size(text.strip_suffix("/s").unwrap_or(text)).filter(|rate| *rate > 0)
}

/// `45` (seconds), `90s`, `5m`, `1h 30m`, up to a day.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let time = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => text.parse::<SignedDuration>().ok()?.try_into().ok()?,
    };
    (Duration::from_secs(1)..=LONGEST).contains(&time).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly() {
        for (text, bytes) in [
            ("0", 0),
            ("12", 12),
            ("12B", 12),
            ("700M", 700_000_000),
            ("700MB", 700_000_000),
            ("1.5G", 1_500_000_000),
            ("1.5k", 1500),
            ("0.1T", 100_000_000_000),
            ("0.001k", 1),
            ("20m", 20_000_000),
            ("4GiB", 4 << 30),
            ("1.5KiB", 1536),
            ("9007199254740993", 9_007_199_254_740_993),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in [
            "",
            " ",
            "M",
            "-1",
            "+1",
            "x",
            "1x",
            "1.2.3",
            "1.5",
            "1.5B",
            "1.0001k",
            ".5G",
            "5.G",
            "4 GiB",
            "4gib",
            "nan",
            "inf",
            "1e9",
            "1_000",
            "18446744073709551616",
            "99999999999TiB",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_sizes_in_a_second() {
        assert_eq!(
            (rate("20M"), rate("1.5k"), rate("7"), rate("20MB/s")),
            (Some(20_000_000), Some(1500), Some(7), Some(20_000_000))
        );
        assert!(["", "0", "/s", "M", "-1", "nan", "1e30", "x"].iter().all(|text| rate(text).is_none()));
    }

    #[test]
    fn times_are_up_to_a_day() {
        for (text, seconds) in
            [("45", 45), ("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("24h", 86_400)]
        {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert!(["", "0", "s", "-1s", "99h", "1.5.5s", "soon"].iter().all(|text| duration(text).is_none()));
    }
}
