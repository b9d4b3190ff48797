//! Who made a span.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::Serialize;

/// What the eBPF agent names itself in its resource, by `telemetry.distro.name`.
const AGENT: &str = "otel-ebpf-agent";

/// Who made a span, by its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    /// The eBPF agent, from the kernel.
    Ebpf,
    /// An OpenTelemetry SDK in the program.
    Sdk,
}

impl Origin {
    /// `None` where the resource does not say.
    pub(super) fn of(resource: &ResourceSpans) -> Option<Self> {
        let attributes = &resource.resource.as_ref()?.attributes;
        if text(attributes, "telemetry.distro.name") == Some(AGENT) {
            return Some(Self::Ebpf);
        }
        text(attributes, "telemetry.sdk.name").filter(|name| !name.is_empty()).map(|_| Self::Sdk)
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::resource::v1::Resource;

    use super::*;

    fn resource(pairs: &[(&str, &str)]) -> ResourceSpans {
        let attributes = pairs
            .iter()
            .map(|(key, text)| KeyValue {
                key: (*key).to_owned(),
                value: Some(AnyValue { value: Some(Value::StringValue((*text).to_owned())) }),
                ..KeyValue::default()
            })
            .collect();
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            ..ResourceSpans::default()
        }
    }

    #[test]
    fn the_resource_says_who_made_a_span() {
        let agent = resource(&[("telemetry.sdk.name", "opentelemetry"), ("telemetry.distro.name", AGENT)]);
        assert_eq!(Origin::of(&agent), Some(Origin::Ebpf));
        assert_eq!(Origin::of(&resource(&[("telemetry.sdk.name", "opentelemetry")])), Some(Origin::Sdk));
        assert_eq!(Origin::of(&resource(&[("telemetry.sdk.name", "")])), None);
        assert_eq!(Origin::of(&ResourceSpans::default()), None);
    }
}
