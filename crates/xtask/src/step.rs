//! External programs run one after the other, each counted.

use std::{
    fmt,
    process::{Command, Stdio},
    time::Instant,
};

/// How many steps ended how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

impl Tally {
    /// Runs the command with this process's own output and counts how it ended. One that cannot be started has failed.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) {
        println!("==> {name}");
        let start = Instant::now();
        let outcome = match command.stdin(Stdio::null()).status() {
            Ok(status) if status.success() => {
                self.passed += 1;
                "ok".to_owned()
            }
            Ok(status) => {
                self.failed += 1;
                format!("FAILED ({status})")
            }
            Err(error) => {
                self.failed += 1;
                format!("FAILED (start {}: {error})", command.get_program().display())
            }
        };
        println!("    {name}: {outcome}, {:.1} s", start.elapsed().as_secs_f64());
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Counts a step that cannot run on this machine, and says why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped += 1;
        println!("==> {name}\n    {name}: SKIPPED, {reason}");
    }
}

/// Whether a program answers to `--version`.
pub(crate) fn is_installed(program: &str, subcommand: Option<&str>) -> bool {
    Command::new(program)
        .args(subcommand)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_step_is_counted() {
        let mut tally = Tally::default();
        tally.run("succeeds", &mut Command::new("true"));
        tally.run("fails", &mut Command::new("false"));
        tally.run("is missing", &mut Command::new("no-such-program-anywhere"));
        tally.skip("is skipped", "for a reason");
        assert_eq!(tally, Tally { passed: 1, failed: 2, skipped: 1 });
    }

    #[test]
    fn skipped_is_only_named_when_something_was() {
        assert_eq!(Tally { passed: 3, failed: 0, skipped: 0 }.to_string(), "3 passed, 0 failed");
        assert_eq!(Tally { passed: 3, failed: 1, skipped: 2 }.to_string(), "3 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn what_is_not_there_is_not_installed() {
        assert!(!is_installed("no-such-program-anywhere", None));
        assert!(!is_installed("cargo", Some("no-such-subcommand")));
    }
}
