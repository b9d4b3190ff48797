//! What to measure, and how thoroughly.

use std::time::Duration;

const USAGE: &str = "usage: bench_agent [--only NAME]... [--quick]";

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// Names, or their first parts; all of them where empty.
    only: Vec<String>,
    /// How thoroughly.
    pub effort: Effort,
}

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    quick: bool,
}

impl Effort {
    /// Requests of each pattern.
    pub fn requests(self) -> usize {
        if self.quick { 2_000 } else { 10_000 }
    }

    /// Times that each way of running is compared with the others.
    pub fn rounds(self) -> usize {
        if self.quick { 3 } else { 5 }
    }

    /// Length of the load in each.
    pub fn round(self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 4 })
    }
}

impl Options {
    /// Reads the command line; only these names can be chosen.
    ///
    /// # Errors
    ///
    /// An unknown option or name.
    pub fn parse(arguments: impl Iterator<Item = String>, names: &[&str]) -> Result<Self, String> {
        let mut options = Self { only: Vec::new(), effort: Effort { quick: false } };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.effort.quick = true,
                "--only" => {
                    let name = arguments.next().ok_or_else(|| format!("--only needs a name; {USAGE}"))?;
                    if !names.iter().any(|known| is_chosen(&name, known)) {
                        return Err(format!("nothing is called {name:?}; there are {}", names.join(", ")));
                    }
                    options.only.push(name);
                }
                _ => return Err(format!("unknown argument {argument:?}; {USAGE}")),
            }
        }
        Ok(options)
    }

    /// Whether to take a measurement.
    pub fn chooses(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| is_chosen(only, name))
    }
}

/// Whether `only` is a name or its first part.
fn is_chosen(only: &str, name: &str) -> bool {
    name.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["cost/nginx", "cost/axum", "loss"];

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned), &NAMES)
    }

    fn chosen(line: &str) -> Vec<&'static str> {
        let options = parse(line).expect("known names");
        NAMES.into_iter().filter(|name| options.chooses(name)).collect()
    }

    #[test]
    fn everything_is_measured_unless_some_of_it_is_named() {
        assert_eq!(chosen(""), NAMES);
        assert_eq!(chosen("--only cost"), ["cost/nginx", "cost/axum"]);
        assert_eq!(chosen("--only cost/axum --quick --only loss"), ["cost/axum", "loss"]);
    }

    #[test]
    fn what_is_unknown_is_refused_with_what_there_is() {
        assert!(parse("--only cos").expect_err("no name").contains("cost/nginx, cost/axum, loss"));
        assert!(parse("--fast").expect_err("no option").contains("usage"));
        assert!(parse("--only").expect_err("no name").contains("usage"));
    }

    #[test]
    fn quick_means_less_of_everything() {
        let [quick, full] = ["--quick", ""].map(|line| parse(line).expect("a command line").effort);
        assert!(quick.requests() < full.requests());
        assert!(quick.rounds() < full.rounds() && quick.round() < full.round());
    }
}
