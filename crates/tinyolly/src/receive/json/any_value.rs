//! Attribute values and log bodies.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde::de::MapAccess;

use super::codec::{FromJson, List, Nullable, Object, boolean, bytes, double, signed64, skip, text};

impl FromJson for AnyValue {
    fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        // A null leaves the value as it is: in a oneof it means that this member is not set.
        let value = match field {
            "stringValue" => map.next_value_seed(Nullable(text()))?.map(Value::StringValue),
            "boolValue" => map.next_value_seed(Nullable(boolean()))?.map(Value::BoolValue),
            "intValue" => map.next_value_seed(Nullable(signed64()))?.map(Value::IntValue),
            "doubleValue" => map.next_value_seed(Nullable(double()))?.map(Value::DoubleValue),
            "bytesValue" => map.next_value_seed(Nullable(bytes()))?.map(Value::BytesValue),
            "arrayValue" => map.next_value_seed(Nullable(Object::default()))?.map(Value::ArrayValue),
            "kvlistValue" => map.next_value_seed(Nullable(Object::default()))?.map(Value::KvlistValue),
            _ => return skip(map),
        };
        if value.is_some() {
            self.value = value;
        }
        Ok(())
    }
}

impl FromJson for KeyValue {
    fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "key" => self.key = map.next_value_seed(text())?,
            "value" => self.value = map.next_value_seed(Nullable(Object::default()))?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl FromJson for ArrayValue {
    fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "values" => self.values = map.next_value_seed(List(Object::default))?,
            _ => skip(map)?,
        }
        Ok(())
    }
}

impl FromJson for KeyValueList {
    fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "values" => self.values = map.next_value_seed(List(Object::default))?,
            _ => skip(map)?,
        }
        Ok(())
    }
}
