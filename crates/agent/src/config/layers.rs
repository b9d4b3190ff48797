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

    /// Replaces `${NAME}` and `${NAME:-default}` in a text, as OBI does in its file. An unset name without default
    /// becomes nothing; what does not have this form stays.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let Some((reference, tail)) = after.split_once('}') else {
                expanded.push_str("${");
                rest = after;
                continue;
            };
            let (name, default) = reference.split_once(":-").unwrap_or((reference, ""));
            if name.is_empty() || !name.chars().all(is_name) {
                expanded.push_str("${");
                rest = after;
                continue;
            }
            expanded.push_str(self.get(name).unwrap_or(default));
            rest = tail;
        }
        expanded + rest
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_the_rest_stays() {
        let environment: Environment = [("HOST", "collector"), ("EMPTY", "")].into_iter().collect();
        for (text, expected) in [
            ("http://${HOST}:4317", "http://collector:4317"),
            ("${EMPTY:-none} ${MISSING}.", "none ."),
            ("${HOST:-other}${HOST}", "collectorcollector"),
            ("a ${ b ${HOST} ${not a name} ${open", "a ${ b collector ${not a name} ${open"),
            ("{id} $HOST", "{id} $HOST"),
        ] {
            assert_eq!(environment.expand(text), expected, "{text}");
        }
    }
}
