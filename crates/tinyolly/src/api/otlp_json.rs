//! OTLP messages in OTLP/JSON spelling.

use base64::Engine as _;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

/// Bytes as lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A double; JSON has no numbers for NaN and the infinities, proto3's mapping spells them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Double(pub(super) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            nan if nan.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            number => serializer.serialize_f64(number),
        }
    }
}

/// A number that JSON readers would round, as a string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A value, as the one-member object OTLP/JSON makes of it; empty when it has no value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Any<'a>(pub(super) Option<&'a AnyValue>);

impl Serialize for Any<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0.and_then(|any| any.value.as_ref()) {
            // References into the profiling signal's string table mean nothing here.
            None | Some(Value::StringValueStrindex(_)) => {}
            Some(Value::StringValue(text)) => map.serialize_entry("stringValue", text)?,
            Some(Value::BoolValue(value)) => map.serialize_entry("boolValue", value)?,
            Some(Value::IntValue(number)) => map.serialize_entry("intValue", &Text(number))?,
            Some(Value::DoubleValue(number)) => map.serialize_entry("doubleValue", &Double(*number))?,
            Some(Value::BytesValue(bytes)) => {
                map.serialize_entry("bytesValue", &base64::engine::general_purpose::STANDARD.encode(bytes))?;
            }
            Some(Value::ArrayValue(array)) => {
                map.serialize_entry("arrayValue", &Values { values: ValueList(&array.values) })?
            }
            Some(Value::KvlistValue(list)) => {
                map.serialize_entry("kvlistValue", &Values { values: Attributes(&list.values) })?
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Values<T> {
    values: T,
}

#[derive(Clone, Copy)]
struct ValueList<'a>(&'a [AnyValue]);

impl Serialize for ValueList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for value in self.0 {
            seq.serialize_element(&Any(Some(value)))?;
        }
        seq.end()
    }
}

/// Attributes, in the order they were sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a [KeyValue]);

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: Any<'a>,
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for attribute in self.0 {
            seq.serialize_element(&Attribute { key: &attribute.key, value: Any(attribute.value.as_ref()) })?;
        }
        seq.end()
    }
}

/// A resource with its schema URL.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource<'a> {
    attributes: Attributes<'a>,
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entity_refs: Vec<Entity<'a>>,
    schema_url: &'a str,
}

/// A reference to an entity, by the resource attributes that name and describe it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entity<'a> {
    schema_url: &'a str,
    r#type: &'a str,
    id_keys: &'a [String],
    description_keys: &'a [String],
}

impl<'a> Entity<'a> {
    fn of(entity: &'a EntityRef) -> Self {
        Self {
            schema_url: &entity.schema_url,
            r#type: &entity.r#type,
            id_keys: &entity.id_keys,
            description_keys: &entity.description_keys,
        }
    }
}

impl<'a> Resource<'a> {
    pub(super) fn of(envelope: &'a ResourceSpans) -> Self {
        let resource = envelope.resource.as_ref();
        Self {
            attributes: Attributes(resource.map_or(&[], |r| &r.attributes)),
            dropped_attributes_count: resource.map_or(0, |r| r.dropped_attributes_count),
            entity_refs: resource.map_or(&[][..], |r| &r.entity_refs).iter().map(Entity::of).collect(),
            schema_url: &envelope.schema_url,
        }
    }
}

/// An instrumentation scope with its schema URL.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope<'a> {
    name: &'a str,
    version: &'a str,
    attributes: Attributes<'a>,
    dropped_attributes_count: u32,
    schema_url: &'a str,
}

impl<'a> Scope<'a> {
    pub(super) fn of(envelope: &'a ScopeSpans) -> Self {
        let scope = envelope.scope.as_ref();
        Self {
            name: scope.map_or("", |s| &s.name),
            version: scope.map_or("", |s| &s.version),
            attributes: Attributes(scope.map_or(&[], |s| &s.attributes)),
            dropped_attributes_count: scope.map_or(0, |s| s.dropped_attributes_count),
            schema_url: &envelope.schema_url,
        }
    }
}
