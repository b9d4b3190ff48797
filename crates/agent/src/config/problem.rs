//! What can be wrong with a configuration: errors and warnings, collected so that all are shown together.

use std::fmt;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A value that does not have the accepted form.
    BadValue {
        /// Where it was given: an environment variable, a flag, or a file with the path of the key.
        name: String,
        /// The value as given; secrets are replaced before they get here.
        value: String,
        /// The accepted form, for a person to read.
        accepted: String,
    },
    /// Anything else: a missing selector, an unreadable file.
    Invalid(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadValue { name, value, accepted } => {
                write!(f, "{name}: {value:?} is not valid, expected {accepted}")
            }
            Self::Invalid(text) => f.write_str(text),
        }
    }
}

/// Every problem of a configuration, in the order in which they were found. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// What has to be repaired.
    pub problems: Vec<Problem>,
    /// Remarks about settings that are usable; they often explain a problem, such as a misspelt name.
    pub warnings: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("configuration cannot be used")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

/// Collects problems and warnings while settings are read.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<String>,
}

impl Findings {
    pub(crate) fn bad_value(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
        accepted: impl Into<String>,
    ) {
        self.problems.push(Problem::BadValue {
            name: name.into(),
            value: value.into(),
            accepted: accepted.into(),
        });
    }

    pub(crate) fn invalid(&mut self, text: impl Into<String>) {
        self.problems.push(Problem::Invalid(text.into()));
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}
