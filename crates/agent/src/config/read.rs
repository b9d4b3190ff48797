//! Typed access to raw values: one line per setting, problems collected on the way.

use std::time::Duration;

use super::duration;
use super::layers::{Given, Layers};
use super::problem::Findings;
use super::values::parse_bool;

/// Reads settings from all layers and collects what is wrong with them.
pub(crate) struct Reader<'a> {
    pub(crate) layers: Layers<'a>,
    pub(crate) findings: Findings,
}

impl Reader<'_> {
    /// Reads a value by a parser of its own; a value it refuses is a problem and counts as absent.
    pub(crate) fn parsed<T>(
        &mut self,
        variables: &[&str],
        path: &str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let given = self.layers.find(variables, path)?;
        self.parse_given(given, accepted, parse)
    }

    /// Applies a parser to a value already found.
    pub(crate) fn parse_given<T>(
        &mut self,
        given: Given,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(&given.value);
        if parsed.is_none() {
            self.findings.bad_value(given.name, given.value, accepted);
        }
        parsed
    }

    /// Reads a text as it is.
    pub(crate) fn text(&self, variables: &[&str], path: &str) -> Option<String> {
        self.layers.find(variables, path).map(|given| given.value)
    }

    /// Reads a comma-separated list of words.
    pub(crate) fn words(&self, variables: &[&str], path: &str) -> Vec<String> {
        self.text(variables, path).map(|text| split_list(&text)).unwrap_or_default()
    }

    pub(crate) fn duration(&mut self, variables: &[&str], path: &str) -> Option<Duration> {
        self.parsed(variables, path, duration::ACCEPTED, duration::parse)
    }

    pub(crate) fn boolean(&mut self, variables: &[&str], path: &str) -> Option<bool> {
        self.parsed(variables, path, "true or false", parse_bool)
    }

    /// Reads a whole number within bounds.
    pub(crate) fn number(&mut self, variables: &[&str], path: &str, least: u64, most: u64) -> Option<u64> {
        let accepted = format!("a whole number from {least} to {most}");
        self.parsed(variables, path, &accepted, |text| {
            text.parse().ok().filter(|number| (least..=most).contains(number))
        })
    }
}

/// Splits at commas and drops what is empty.
pub(crate) fn split_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
