//! The command line: nothing serves, `health` asks a service that runs. Settings are variables, not flags.

use std::ffi::OsString;

use crate::failure::Failure;

/// What a service is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Serve until a signal asks to stop.
    Serve,
    /// Ask the running service for its health.
    Health,
}

/// Reads the arguments, of which the first is the program's name.
///
/// # Errors
/// Anything but nothing or `health`.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    let mut arguments = arguments.into_iter().skip(1);
    let Some(first) = arguments.next() else { return Ok(Command::Serve) };
    let unexpected = if first == "health" { arguments.next() } else { Some(first) };
    match unexpected {
        None => Ok(Command::Health),
        Some(argument) => Err(Failure::Usage(format!(
            "unexpected argument {argument:?}: give none to serve, or health alone to ask a service that runs"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<Command, String> {
        let all = std::iter::once(&"ebpf-backend").chain(arguments).map(OsString::from);
        read(all).map_err(|failure| failure.to_string())
    }

    #[test]
    fn nothing_serves_and_health_asks() {
        assert_eq!(of(&[]), Ok(Command::Serve));
        assert_eq!(of(&["health"]), Ok(Command::Health));
    }

    #[test]
    fn anything_else_is_named_on_one_line() {
        for (arguments, named) in [
            (&["serve"][..], r#""serve""#),
            (&["--help"], r#""--help""#),
            (&[""], r#""""#),
            (&["health", "now"], r#""now""#),
            (&["a\nb"], r#""a\nb""#),
        ] {
            let said = of(arguments).expect_err(named);
            assert!(said.starts_with(&format!("unexpected argument {named}: ")), "{said}");
            assert_eq!(said.lines().count(), 1);
        }
    }
}
