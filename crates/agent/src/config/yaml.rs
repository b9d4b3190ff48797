//! The configuration file: parsed once, then read by dotted paths such as `discovery.instrument[0].open_ports`.

use serde_json::{Map, Value};

use super::names::nearest;
use super::problem::Findings;

/// A parsed configuration file.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    file: String,
    root: Value,
}

impl Document {
    /// Parses YAML. An empty file is an empty configuration.
    ///
    /// # Errors
    /// The text is not YAML, or its top level is no mapping; the message has the position.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, String> {
        let root: Option<Value> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let root = root.unwrap_or_else(|| Value::Object(Map::new()));
        if !root.is_object() {
            return Err("the top level must be a mapping".to_owned());
        }
        Ok(Self { file: file.to_owned(), root })
    }

    /// How a key of this file is called in messages.
    pub(crate) fn name_of(&self, path: &str) -> String {
        format!("{}: {path}", self.file)
    }

    /// The value at a path of keys joined by dots.
    pub(crate) fn value(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.root, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    /// The text of the scalar at a path, or of a list of scalars joined by commas. Other shapes are left to
    /// [`check_keys`] and to the parser of the value, which gets them as JSON.
    pub(crate) fn scalar(&self, path: &str) -> Option<String> {
        let text = text_of(self.value(path)?);
        (!text.is_empty()).then_some(text)
    }

    /// The entries of the list at a path, each with its own path. Absent means none; something else than a list
    /// of mappings is a problem.
    pub(crate) fn entries<'a>(&'a self, path: &str, findings: &mut Findings) -> Option<Vec<Entry<'a>>> {
        let value = self.value(path)?;
        let Some(list) = value.as_array() else {
            findings.bad_value(self.name_of(path), text_of(value), "a list of mappings");
            return Some(Vec::new());
        };
        let entry = |(index, value): (usize, &'a Value)| {
            let name = self.name_of(&format!("{path}[{index}]"));
            match value.as_object() {
                Some(fields) => Some(Entry { name, fields }),
                None => {
                    findings.bad_value(name, text_of(value), "a mapping");
                    None
                }
            }
        };
        Some(list.iter().enumerate().filter_map(entry).collect())
    }

    /// Warns of keys without effect. `handled` are the paths that are read, each with
    /// everything below it; `known` are sections of OBI that have no effect here.
    pub(crate) fn check_keys(&self, handled: &[&str], known: &[&str], findings: &mut Findings) {
        self.check_level(&self.root, "", handled, known, findings);
    }

    fn check_level(
        &self,
        value: &Value,
        prefix: &str,
        handled: &[&str],
        known: &[&str],
        findings: &mut Findings,
    ) {
        let Some(fields) = value.as_object() else { return };
        for (key, value) in fields {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if handled.contains(&path.as_str()) {
                continue;
            }
            let below = format!("{path}.");
            if handled.iter().any(|other| other.starts_with(&below)) && (value.is_object() || value.is_null())
            {
                self.check_level(value, &path, handled, known, findings);
                continue;
            }
            let section = path.split('.').next().unwrap_or(&path);
            let name = self.name_of(&path);
            // Keys of the same mapping; the first segment of what is left of a handled path below the prefix.
            let siblings = handled.iter().filter_map(|other| {
                let below =
                    if prefix.is_empty() { other } else { other.strip_prefix(prefix)?.strip_prefix('.')? };
                below.split('.').next()
            });
            findings.warn(match nearest(key, siblings) {
                Some(near) => format!("{name} is not known and is ignored; did you mean {near}?"),
                None if known.contains(&path.as_str()) || known.contains(&section) => {
                    format!("{name} has no effect in this agent and is ignored")
                }
                None => format!("{name} is not known and is ignored"),
            });
        }
    }
}

/// A mapping inside a list of the file.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    /// How the entry is called in messages.
    pub(crate) name: String,
    /// Its keys.
    pub(crate) fields: &'a Map<String, Value>,
}

impl Entry<'_> {
    /// How a key of this entry is called in messages.
    pub(crate) fn name_of(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }
}

/// A value as the environment would have it: lists joined by commas, null as nothing.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
discovery:
  instrument:
    - open_ports: 8000-8999
    - open_ports: 80
otel_traces_export:
  sampler: {name: traceidratio, arg: '0.1'}
log_level: INFO
trace_printr: text
ebpf:
  wakeup_len: 10
nothing:
";

    fn document() -> Document {
        Document::parse("agent.yaml", TEXT).expect("valid YAML")
    }

    #[test]
    fn paths_lead_to_values() {
        let document = document();
        assert_eq!(document.scalar("otel_traces_export.sampler.arg").as_deref(), Some("0.1"));
        assert_eq!(document.scalar("nothing"), None);
        assert_eq!(document.scalar("log_level.deeper"), None);
        let mut findings = Findings::default();
        let entries = document.entries("discovery.instrument", &mut findings).expect("a list");
        assert_eq!(text_of(&entries[0].fields["open_ports"]), "8000-8999");
        assert_eq!(text_of(&entries[1].fields["open_ports"]), "80");
        assert_eq!(entries[1].name_of("open_ports"), "agent.yaml: discovery.instrument[1].open_ports");
    }

    #[test]
    fn keys_without_effect_are_told_with_their_path() {
        let mut findings = Findings::default();
        let handled = [
            "discovery.instrument",
            "otel_traces_export.sampler.name",
            "log_level",
            "trace_printer",
            "ebpf.buffer_sizes.http",
        ];
        document().check_keys(&handled, &["ebpf"], &mut findings);
        assert_eq!(
            findings.warnings,
            [
                "agent.yaml: ebpf.wakeup_len has no effect in this agent and is ignored",
                "agent.yaml: nothing is not known and is ignored",
                "agent.yaml: otel_traces_export.sampler.arg is not known and is ignored",
                "agent.yaml: trace_printr is not known and is ignored; did you mean trace_printer?",
            ]
        );
    }

    #[test]
    fn what_is_no_mapping_is_refused() {
        assert!(Document::parse("f", "").is_ok());
        assert!(Document::parse("f", "- a\n- b\n").is_err());
        assert!(Document::parse("f", "a: [b\n").is_err());
    }
}
