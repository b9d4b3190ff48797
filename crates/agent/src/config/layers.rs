//! The places a setting can come from, most important first: flags, environment, file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::yaml::Document;

/// Environment variables, given as a value so that tests need none of the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Reads the environment of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable. Empty means unset, as the OpenTelemetry specification says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Names of the variables that are set, in alphabetic order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| self.get(name).is_some())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// What the command line says, as raw text: `cli` fills it, [`super::load`] checks it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config_path: Option<PathBuf>,
    /// Flags that stand for an environment variable.
    pub overrides: Vec<Override>,
}

/// A flag that takes the place of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The flag as written, such as `--open-port`.
    pub flag: &'static str,
    /// The variable it takes the place of.
    pub variable: &'static str,
    /// Its value.
    pub value: String,
}

/// A raw value with the name under which it was given, for error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Looks values up in all places.
pub(crate) struct Layers<'a> {
    pub(crate) flags: &'a Flags,
    pub(crate) environment: &'a Environment,
    pub(crate) file: Option<&'a Document>,
}

impl Layers<'_> {
    /// Finds a value by the variables that name it, in order of preference, and by its dotted path in the file
    /// (empty when the file has no such key).
    pub(crate) fn find(&self, variables: &[&str], path: &str) -> Option<Given> {
        self.find_flag(variables).or_else(|| self.find_variable(variables)).or_else(|| {
            let document = self.file.filter(|_| !path.is_empty())?;
            let value = document.scalar(path)?;
            Some(Given { name: document.name_of(path), value })
        })
    }

    fn find_flag(&self, variables: &[&str]) -> Option<Given> {
        let overrides = &self.flags.overrides;
        let found = overrides.iter().rfind(|found| variables.contains(&found.variable))?;
        Some(Given { name: found.flag.to_owned(), value: found.value.clone() })
    }

    fn find_variable(&self, variables: &[&str]) -> Option<Given> {
        variables.iter().find_map(|name| {
            let value = self.environment.get(name)?;
            Some(Given { name: (*name).to_owned(), value: value.to_owned() })
        })
    }
}
