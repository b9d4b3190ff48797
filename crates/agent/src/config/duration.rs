//! Durations as Go writes them, because OBI's documentation does: `10s`, `500ms`, `1m30s`.

use std::time::Duration;

/// The accepted form of a duration, for error messages.
pub(crate) const ACCEPTED: &str = "a duration such as 10s, 500ms or 1m30s";

const UNITS: [(&str, f64); 7] = [
    // Longest first, so that "ms" is not read as "m".
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Reads a duration; every number needs a unit, a lone `0` does not. Negative durations are refused.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, scale) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        nanos += number * scale;
    }
    // A century is more than anyone can mean, and keeps deadline arithmetic far from overflow.
    (nanos <= 100.0 * 365.0 * 86_400e9).then(|| Duration::from_nanos(nanos as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("1m30s", 90_000),
            ("1.5s", 1_500),
            ("2h", 7_200_000),
            ("1h0m1s", 3_601_000),
            ("0", 0),
            ("0s", 0),
            (" 5s ", 5_000),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("15us"), Some(Duration::from_micros(15)));
        assert_eq!(parse("15µs"), Some(Duration::from_micros(15)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "10", "s", "10 s", "-1s", "1d", "1..2s", "10sx", "1e400s", "99999999999h"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
