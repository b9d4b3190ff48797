//! Which processes are traced.
//!
//! Semantics follow OBI: conditions inside a rule are ANDed, the first rule that matches wins, and a process
//! that matches an exclusion is never traced.

use std::fmt;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use super::ports::PortSet;
use super::sampler::SamplerSettings;

/// A shell-like pattern: `*` matches any characters including `/`, `?` one, `[ab]` a class, `{a,b}` alternatives.
#[derive(Clone)]
pub struct Glob {
    text: String,
    matcher: GlobMatcher,
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// The pattern is malformed, such as an unclosed class.
    pub fn new(text: &str) -> Result<Self, globset::Error> {
        let matcher = GlobBuilder::new(text).literal_separator(false).build()?.compile_matcher();
        Ok(Self { text: text.to_owned(), matcher })
    }

    /// Whether the whole text matches the pattern.
    pub fn matches(&self, text: &str) -> bool {
        self.matcher.is_match(Path::new(text))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What a rule may ask about a process. The caller reads these from `/proc`; matching itself reads nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// The process id (`tgid`) in the agent's own pid namespace.
    pub pid: u32,
    /// Target of `/proc/<pid>/exe`.
    pub exe_path: String,
    /// TCP ports on which the process listens.
    pub listening_ports: Vec<u16>,
    /// The command line, arguments joined by single spaces.
    pub cmdline: String,
    /// Whether the process lives in another pid namespace than the agent's host.
    pub in_container: bool,
}

/// Conditions that must all hold, and what to call the processes for which they do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// The process listens on one of these ports; empty means any.
    pub open_ports: PortSet,
    /// The path of the executable matches.
    pub exe: Option<Glob>,
    /// The process is one of these; empty means any.
    pub pids: Vec<u32>,
    /// The command line matches.
    pub cmd_args: Option<Glob>,
    /// Only processes inside containers.
    pub containers_only: bool,
    /// `service.name` for every process of this rule. Deprecated in OBI, because it merges services.
    pub service_name: Option<String>,
    /// `service.namespace` for every process of this rule.
    pub service_namespace: Option<String>,
    /// A sampler for the processes of this rule in place of the general one.
    pub sampler: Option<SamplerSettings>,
}

impl Rule {
    /// Whether the rule has a condition at all. One without would match every process, so it matches none.
    pub fn selects(&self) -> bool {
        !self.open_ports.is_empty()
            || self.exe.is_some()
            || !self.pids.is_empty()
            || self.cmd_args.is_some()
            || self.containers_only
    }

    /// Whether every condition of the rule holds for the process.
    pub fn matches(&self, facts: &ProcessFacts) -> bool {
        self.selects()
            && (self.open_ports.is_empty()
                || facts.listening_ports.iter().any(|port| self.open_ports.contains(*port)))
            && self.exe.as_ref().is_none_or(|glob| glob.matches(&facts.exe_path))
            && (self.pids.is_empty() || self.pids.contains(&facts.pid))
            && self.cmd_args.as_ref().is_none_or(|glob| glob.matches(&facts.cmdline))
            && (!self.containers_only || facts.in_container)
    }
}

/// Rules in order of preference, and exclusions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// The first rule that matches applies: those of the file in their order, then that of the environment.
    pub rules: Vec<Rule>,
    /// A process that matches one of these is never traced.
    pub exclude: Vec<Rule>,
}

impl Selection {
    /// Finds the rule by which the process is traced, if it is to be traced.
    pub fn select(&self, facts: &ProcessFacts) -> Option<&Rule> {
        if self.exclude.iter().any(|rule| rule.matches(facts)) {
            return None;
        }
        self.rules.iter().find(|rule| rule.matches(facts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx() -> ProcessFacts {
        ProcessFacts {
            pid: 42,
            exe_path: "/usr/sbin/nginx".to_owned(),
            listening_ports: vec![80, 8443],
            cmdline: "nginx -g daemon off;".to_owned(),
            in_container: false,
        }
    }

    fn rule(ports: &str, exe: &str, pids: &[u32]) -> Rule {
        Rule {
            open_ports: if ports.is_empty() { PortSet::default() } else { ports.parse().expect("ports") },
            exe: (!exe.is_empty()).then(|| Glob::new(exe).expect("glob")),
            pids: pids.to_vec(),
            ..Rule::default()
        }
    }

    #[test]
    fn conditions_of_a_rule_are_anded() {
        let cases = [
            ("port", rule("8000-8999", "", &[]), true),
            ("other port", rule("81", "", &[]), false),
            ("glob crosses directories", rule("", "*/nginx", &[]), true),
            ("glob is anchored", rule("", "nginx", &[]), false),
            ("alternatives", rule("", "{*/httpd,*/nginx}", &[]), true),
            ("pid", rule("", "", &[7, 42]), true),
            ("port and exe", rule("80", "*/nginx", &[]), true),
            ("port but other exe", rule("80", "*/httpd", &[]), false),
            ("exe but other port", rule("81", "*/nginx", &[]), false),
            ("all three", rule("80", "*/nginx", &[42]), true),
            ("all but pid", rule("80", "*/nginx", &[43]), false),
            ("no condition matches nothing", Rule::default(), false),
        ];
        for (name, rule, expected) in cases {
            assert_eq!(rule.matches(&nginx()), expected, "{name}");
        }
    }

    #[test]
    fn command_line_and_container_are_conditions() {
        let mut rule = Rule { cmd_args: Some(Glob::new("*daemon off*").expect("glob")), ..Rule::default() };
        assert!(rule.matches(&nginx()));
        rule.containers_only = true;
        assert!(!rule.matches(&nginx()));
        assert!(rule.matches(&ProcessFacts { in_container: true, ..nginx() }));
    }

    #[test]
    fn first_rule_wins_and_exclusion_beats_all() {
        let named = |name: &str, rule: Rule| Rule { service_name: Some(name.to_owned()), ..rule };
        let mut selection = Selection {
            rules: vec![
                named("never", rule("81", "", &[])),
                named("first", rule("80", "", &[])),
                named("second", rule("", "*/nginx", &[])),
            ],
            exclude: Vec::new(),
        };
        assert_eq!(selection.select(&nginx()).and_then(|rule| rule.service_name.as_deref()), Some("first"));
        selection.exclude.push(rule("", "*/nginx", &[]));
        assert_eq!(selection.select(&nginx()), None);
    }
}
