//! Settings from environment variables: parsed once, and refused with the variable's name and the accepted form.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Where variables are looked up; an argument, so that tests need no process environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarError {
    /// The variable's name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What would have been accepted.
    pub accepted: String,
}

impl fmt::Display for VarError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}={:?}: expected {}", self.name, self.value, self.accepted)
    }
}

impl std::error::Error for VarError {}

/// Looks a variable up in the process environment; bytes that are not UTF-8 become replacement characters.
#[must_use]
pub fn process(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Reads one variable; unset and empty give `None`.
///
/// # Errors
/// A value that `parse` does not take.
pub fn read<T>(
    lookup: Lookup<'_>,
    name: &str,
    accepted: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, VarError> {
    let Some(value) = lookup(name).filter(|value| !value.trim().is_empty()) else {
        return Ok(None);
    };
    match parse(value.trim()) {
        Some(parsed) => Ok(Some(parsed)),
        None => Err(VarError { name: name.to_owned(), value, accepted: accepted.to_owned() }),
    }
}

/// Reads the listening address from `HOST` (default 127.0.0.1) and `PORT` (default 5000; 0 takes a free port).
///
/// # Errors
/// A value that is no address or no port.
pub fn listen_address(lookup: Lookup<'_>) -> Result<SocketAddr, VarError> {
    let host = read(lookup, "HOST", "an IP address such as 127.0.0.1 or 0.0.0.0", |value| {
        value.parse::<IpAddr>().ok()
    })?;
    let port = read(lookup, "PORT", "a port number from 0 to 65535", |value| value.parse::<u16>().ok())?;
    let host = host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(SocketAddr::new(host, port.unwrap_or(5000)))
}

/// Reads a switch: `true` or `false`, also `1`/`0`, `yes`/`no`, `on`/`off`, in any case.
///
/// # Errors
/// Any other value.
pub fn switch(lookup: Lookup<'_>, name: &str, default: bool) -> Result<bool, VarError> {
    let value = read(lookup, name, "true or false", |value| match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    })?;
    Ok(value.unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn the_default_address_is_loopback() {
        let address = listen_address(&with(&[("PORT", "")]));
        assert_eq!(address.map(|address| address.to_string()), Ok("127.0.0.1:5000".to_owned()));
    }

    #[test]
    fn host_and_port_are_read() {
        for (host, port, expected) in [("0.0.0.0", "5001", "0.0.0.0:5001"), ("::1", " 0 ", "[::1]:0")] {
            let address = listen_address(&with(&[("HOST", host), ("PORT", port)]));
            assert_eq!(address.map(|address| address.to_string()), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn a_bad_value_names_variable_value_and_form() {
        for (name, value, form) in [
            ("PORT", "http", "a port number from 0 to 65535"),
            ("PORT", "65536", "a port number from 0 to 65535"),
            ("PORT", "-1", "a port number from 0 to 65535"),
            ("HOST", "localhost", "an IP address such as 127.0.0.1 or 0.0.0.0"),
        ] {
            let error = listen_address(&with(&[(name, value)])).expect_err(value);
            assert_eq!(error.to_string(), format!("{name}={value:?}: expected {form}"));
        }
    }

    #[test]
    fn switches_are_lenient_about_spelling_only() {
        for (value, expected) in [("true", true), ("FALSE", false), ("on", true), ("0", false), ("", true)] {
            assert_eq!(switch(&with(&[("A", value)]), "A", true), Ok(expected), "{value}");
        }
        assert!(switch(&with(&[("A", "maybe")]), "A", true).is_err());
    }

    #[test]
    fn a_value_with_a_line_break_stays_on_one_line() {
        let error = listen_address(&with(&[("PORT", "50\n00")])).expect_err("not a port");
        assert!(!error.to_string().contains('\n'));
    }
}
