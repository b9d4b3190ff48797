//! Sets of TCP ports, written as OBI writes them: `80,443,8000-8999`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The accepted form of a port set, for error messages.
pub(crate) const ACCEPTED: &str = "ports and ranges from 1 to 65535 such as 80,443,8000-8999";

/// Ports and port ranges; empty means that no port was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortSet {
    ranges: Vec<RangeInclusive<u16>>,
}

impl PortSet {
    /// Whether no port is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether the port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&port))
    }

    /// The ranges in the order given; a single port is a range of one.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.ranges
    }
}

/// A text that is no port set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a port or a port range")]
pub struct PortSetError(String);

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = text.split(',').map(parse_range).collect::<Result<_, _>>()?;
        Ok(Self { ranges })
    }
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>, PortSetError> {
    let wrong = || PortSetError(text.trim().to_owned());
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(wrong());
    }
    Ok(first..=last)
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if range.start() == range.end() {
                write!(f, "{}", range.start())?;
            } else {
                write!(f, "{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_understood() {
        let ports: PortSet = "80, 443 ,8000-8999".parse().expect("valid set");
        for (port, expected) in
            [(80, true), (81, false), (443, true), (8000, true), (8999, true), (9000, false)]
        {
            assert_eq!(ports.contains(port), expected, "port {port}");
        }
        assert_eq!(ports.to_string(), "80,443,8000-8999");
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["", "0", "65536", "80,", "http", "90-80", "1-2-3", "-1", "80;81"] {
            assert!(text.parse::<PortSet>().is_err(), "{text:?} must be refused");
        }
    }
}
