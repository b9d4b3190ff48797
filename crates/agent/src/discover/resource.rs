//! The OTLP resource of a traced process.

use std::collections::HashMap;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    resource::{ResourceDetector as _, TelemetryResourceDetector},
};

use super::{
    container::Container,
    name::{program_name, resource_attributes},
    proc::ProcessInfo,
};
use crate::{
    config::{Naming, Rule},
    export::SCHEMA_URL,
    semconv,
};

/// Name of this distribution of OpenTelemetry, in `telemetry.distro.name`.
pub const DISTRO: &str = "otel-ebpf-agent";

/// Describes a process. What it says about itself in its environment wins over the rule that selected it, that over
/// the agent's own settings, those over what its container is called, and that over the program's name.
pub fn describe(
    process: &ProcessInfo,
    environment: &HashMap<String, String>,
    container: Option<&Container>,
    rule: Option<&Rule>,
    naming: &Naming,
    host_name: &str,
) -> Resource {
    let own =
        environment.get("OTEL_RESOURCE_ATTRIBUTES").map(|text| resource_attributes(text)).unwrap_or_default();
    let own_attribute =
        |key: &str| own.iter().find(|(own_key, _)| own_key == key).map(|(_, value)| value.clone());
    let service_name = environment
        .get("OTEL_SERVICE_NAME")
        .filter(|name| !name.is_empty())
        .cloned()
        .or_else(|| own_attribute(semconv::SERVICE_NAME))
        .or_else(|| rule.and_then(|rule| rule.service_name.clone()))
        .or_else(|| naming.service_name.clone())
        .or_else(|| container.and_then(|container| container.service_name.clone()))
        .unwrap_or_else(|| program_name(&process.exe_path, &process.args));
    let namespace = own_attribute(semconv::SERVICE_NAMESPACE)
        .or_else(|| rule.and_then(|rule| rule.service_namespace.clone()))
        .or_else(|| naming.service_namespace.clone())
        .or_else(|| container.and_then(|container| container.service_namespace.clone()));

    // Later attributes of the same key replace earlier ones.
    let mut attributes: Vec<KeyValue> = Vec::new();
    let mut set = |key: String, value: String| attributes.push(KeyValue::new(key, value));
    for (key, value) in &naming.resource_attributes {
        set(key.clone(), value.clone());
    }
    set(semconv::HOST_NAME.to_owned(), host_name.to_owned());
    set(semconv::OS_TYPE.to_owned(), "linux".to_owned());
    set(semconv::SERVICE_INSTANCE_ID.to_owned(), format!("{host_name}:{}", process.pid));
    let executable = process.exe_path.rsplit('/').next().unwrap_or_default();
    if !executable.is_empty() {
        set(semconv::PROCESS_EXECUTABLE_NAME.to_owned(), executable.to_owned());
        set(semconv::PROCESS_EXECUTABLE_PATH.to_owned(), process.exe_path.clone());
    }
    if let Some(id) = &process.container_id {
        set(semconv::CONTAINER_ID.to_owned(), id.clone());
    }
    for (key, value) in container.iter().flat_map(|container| &container.attributes) {
        set((*key).to_owned(), value.clone());
    }
    for (key, value) in &own {
        set(key.clone(), value.clone());
    }
    set(semconv::SERVICE_NAME.to_owned(), service_name);
    if let Some(namespace) = namespace {
        set(semconv::SERVICE_NAMESPACE.to_owned(), namespace);
    }
    set(semconv::TELEMETRY_DISTRO_NAME.to_owned(), DISTRO.to_owned());
    set(semconv::TELEMETRY_DISTRO_VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    attributes.push(KeyValue::new(semconv::PROCESS_PID, i64::from(process.pid)));
    // `telemetry.sdk.*`: the SDK that makes these spans is the agent's own, whatever the process is written in.
    let sdk = TelemetryResourceDetector.detect();
    attributes.extend(sdk.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    Resource::builder_empty().with_schema_url(attributes, SCHEMA_URL).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::Key;

    fn attribute(resource: &Resource, key: &'static str) -> Option<String> {
        resource.get(&Key::from_static_str(key)).map(|value| value.to_string())
    }

    fn process() -> ProcessInfo {
        ProcessInfo {
            pid: 42,
            exe_path: "/srv/bin/shop".to_owned(),
            args: vec!["shop".to_owned()],
            container_id: Some("c0ffee".to_owned()),
            ..ProcessInfo::default()
        }
    }

    #[test]
    fn each_source_of_a_name_yields_to_the_one_before() {
        let own = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let rule = Rule { service_name: Some("by-rule".to_owned()), ..Rule::default() };
        let naming = Naming { service_name: Some("by-agent".to_owned()), ..Naming::default() };
        let none = Naming::default();
        let container = Container { service_name: Some("by-container".to_owned()), ..Container::default() };
        let container = Some(&container);
        let named = |environment, container, rule, naming| {
            attribute(
                &describe(&process(), &environment, container, rule, naming, "host"),
                semconv::SERVICE_NAME,
            )
        };
        let both = own(&[
            ("OTEL_SERVICE_NAME", "by-variable"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=by-list"),
        ]);
        assert_eq!(named(both, container, Some(&rule), &naming).as_deref(), Some("by-variable"));
        let list = own(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=by-list,team=a")]);
        assert_eq!(named(list, container, Some(&rule), &naming).as_deref(), Some("by-list"));
        assert_eq!(named(own(&[]), container, Some(&rule), &naming).as_deref(), Some("by-rule"));
        assert_eq!(named(own(&[]), container, None, &naming).as_deref(), Some("by-agent"));
        assert_eq!(named(own(&[]), container, None, &none).as_deref(), Some("by-container"));
        assert_eq!(named(own(&[]), None, None, &none).as_deref(), Some("shop"));
    }

    #[test]
    fn the_resource_is_complete() {
        let environment = HashMap::from([("OTEL_RESOURCE_ATTRIBUTES".to_owned(), "team=a".to_owned())]);
        let container = Container {
            service_namespace: Some("store".to_owned()),
            attributes: vec![(semconv::K8S_POD_NAME, "shop-0".to_owned())],
            ..Container::default()
        };
        let resource = describe(&process(), &environment, Some(&container), None, &Naming::default(), "host");
        for (key, expected) in [
            (semconv::SERVICE_INSTANCE_ID, "host:42"),
            (semconv::PROCESS_PID, "42"),
            (semconv::PROCESS_EXECUTABLE_NAME, "shop"),
            (semconv::HOST_NAME, "host"),
            (semconv::OS_TYPE, "linux"),
            (semconv::CONTAINER_ID, "c0ffee"),
            (semconv::TELEMETRY_SDK_NAME, "opentelemetry"),
            (semconv::TELEMETRY_SDK_LANGUAGE, "rust"),
            (semconv::TELEMETRY_DISTRO_NAME, DISTRO),
            (semconv::SERVICE_NAMESPACE, "store"),
            (semconv::K8S_POD_NAME, "shop-0"),
            ("team", "a"),
        ] {
            assert_eq!(attribute(&resource, key).as_deref(), Some(expected), "{key}");
        }
        assert_eq!(resource.schema_url(), Some(SCHEMA_URL));
    }
}
