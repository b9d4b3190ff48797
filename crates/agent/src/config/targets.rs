//! Reads which processes are traced: rules of the file in their order, then one rule made of the environment.
//!
//! OBI does the same (its `FindingCriteria`): conditions given by variables are ANDed into one entry of the lowest
//! preference.

use serde_json::Value;

use super::layers::Layers;
use super::ports::{self, PortSet};
use super::problem::Findings;
use super::read::{Reader, split_list};
use super::sampler::{self, SamplerSettings};
use super::selection::{Glob, Rule, Selection};
use super::values::parse_bool;
use super::yaml::{Entry, text_of};

const GLOB_ACCEPTED: &str = "a glob such as */frontend, with *, ?, [abc] and {a,b}";
const PIDS_ACCEPTED: &str = "process ids such as 4711,4712";

/// Agents and collectors, whose own traffic nobody means to trace (OBI's default, and this agent), and Docker's proxy, which
/// listens on the ports that containers publish and would pass for every one of them.
const DEFAULT_EXCLUDE: &str = "{*/otel-ebpf-agent,otel-ebpf-agent,*/docker-proxy,docker-proxy,*/obi,obi,*/beyla,beyla,*otelcol,*otelcol-contrib,*otelcol-[!/]*}";

const INSTRUMENT: &str = "discovery.instrument";
const EXCLUDE: &str = "discovery.exclude_instrument";
const DEFAULT: &str = "discovery.default_exclude_instrument";

/// Variables that select processes, as messages name them.
const SELECTORS: &str = "OTEL_EBPF_OPEN_PORT (such as 8080 or 80,8000-8999), OTEL_EBPF_AUTO_TARGET_EXE \
                         (such as */frontend) or OTEL_EBPF_TARGET_PID, or discovery.instrument in the file";

/// Reads the selection. Asking for nothing is a problem.
pub(crate) fn read(reader: &mut Reader<'_>) -> Selection {
    let file = reader.layers.file;
    let mut rules = Vec::new();
    let mut exclude = Vec::new();
    let mut default_exclude = None;
    let problems_before = reader.findings.problems.len();
    if let Some(document) = file {
        let findings = &mut reader.findings;
        rules = read_rules(document.entries(INSTRUMENT, findings).unwrap_or_default(), findings);
        exclude = read_rules(document.entries(EXCLUDE, findings).unwrap_or_default(), findings);
        // An explicitly empty list means that nothing is excluded by default.
        default_exclude = document.entries(DEFAULT, findings).map(|entries| read_rules(entries, findings));
    }
    exclude.extend(default_exclude.unwrap_or_else(default_rules));
    let from_environment = environment_rule(reader);
    if from_environment.selects() {
        rules.push(from_environment);
    }
    if rules.is_empty() && reader.findings.problems.len() == problems_before {
        reader.findings.invalid(format!("no process is selected: set {SELECTORS}"));
    }
    Selection { rules, exclude }
}

fn default_rules() -> Vec<Rule> {
    let exe = Glob::new(DEFAULT_EXCLUDE).expect("the default exclusion is a valid glob");
    vec![Rule { exe: Some(exe), ..Rule::default() }]
}

fn environment_rule(reader: &mut Reader<'_>) -> Rule {
    let exe_names = ["OTEL_EBPF_AUTO_TARGET_EXE", "OTEL_GO_AUTO_TARGET_EXE"];
    Rule {
        open_ports: reader
            .parsed(&["OTEL_EBPF_OPEN_PORT"], "open_port", ports::ACCEPTED, |text| text.parse().ok())
            .unwrap_or_default(),
        exe: reader.parsed(&exe_names, "", GLOB_ACCEPTED, |text| Glob::new(text).ok()),
        pids: reader
            .parsed(&["OTEL_EBPF_TARGET_PID"], "target_pids", PIDS_ACCEPTED, parse_pids)
            .unwrap_or_default(),
        ..Rule::default()
    }
}

fn read_rules(entries: Vec<Entry<'_>>, findings: &mut Findings) -> Vec<Rule> {
    entries.iter().filter_map(|entry| read_rule(entry, findings)).collect()
}

/// Reads one entry. An entry with a condition that cannot be checked is left out as a whole: without the condition
/// it would select processes that were not meant.
fn read_rule(entry: &Entry<'_>, findings: &mut Findings) -> Option<Rule> {
    let mut rule = Rule::default();
    let mut usable = true;
    for (key, value) in entry.fields {
        let text = text_of(value);
        if text.is_empty() {
            continue;
        }
        let name = entry.name_of(key);
        let good = match key.as_str() {
            "open_ports" => keep(&mut rule.open_ports, text.parse::<PortSet>().ok(), ports::ACCEPTED),
            "exe_path" => keep(&mut rule.exe, Glob::new(&text).ok().map(Some), GLOB_ACCEPTED),
            "cmd_args" => keep(&mut rule.cmd_args, Glob::new(&text).ok().map(Some), GLOB_ACCEPTED),
            "target_pids" => keep(&mut rule.pids, parse_pids(&text), PIDS_ACCEPTED),
            "containers_only" => keep(&mut rule.containers_only, parse_bool(&text), "true or false"),
            "name" => {
                findings.warn(format!(
                    "{name} gives every process of the entry the same service name; it is deprecated"
                ));
                rule.service_name = Some(text.clone());
                Ok(())
            }
            "namespace" => {
                rule.service_namespace = Some(text.clone());
                Ok(())
            }
            "sampler" => keep(&mut rule.sampler, read_sampler(value).map(Some), sampler::ACCEPTED),
            "exports" | "routes" | "metrics" => {
                findings.warn(format!("{name} has no effect in this agent and is ignored"));
                Ok(())
            }
            _ => {
                findings.warn(format!(
                    "{name} is a condition that this agent cannot check; the entry {} is left out",
                    entry.name
                ));
                usable = false;
                Ok(())
            }
        };
        if let Err(accepted) = good {
            findings.bad_value(name, text, accepted);
            usable = false;
        }
    }
    if usable && !rule.selects() {
        findings.warn(format!("{} has no condition and selects nothing", entry.name));
    }
    (usable && rule.selects()).then_some(rule)
}

fn keep<T>(place: &mut T, parsed: Option<T>, accepted: &'static str) -> Result<(), &'static str> {
    *place = parsed.ok_or(accepted)?;
    Ok(())
}

fn parse_pids(text: &str) -> Option<Vec<u32>> {
    let pids: Option<Vec<u32>> =
        split_list(text).iter().map(|pid| pid.parse().ok().filter(|pid| *pid > 0)).collect();
    pids.filter(|pids| !pids.is_empty())
}

fn read_sampler(value: &Value) -> Option<SamplerSettings> {
    let ratio = match value.get("arg").map(text_of).filter(|text| !text.is_empty()) {
        Some(text) => sampler::parse_ratio(&text)?,
        None => 1.0,
    };
    SamplerSettings::from_name(&text_of(value.get("name")?), ratio)
}

/// Whether a service name was given by the deprecated variable or its key.
pub(crate) fn deprecated_service_name(layers: &Layers<'_>) -> Option<super::layers::Given> {
    layers.find(&["OTEL_EBPF_SERVICE_NAME"], "service_name")
}
