//! OTLP/JSON read straight into the protobuf messages.
//!
//! Follows the "JSON Protobuf Encoding" of the OTLP specification on top of proto3's JSON mapping: ids are hex in
//! either case, 64-bit integers are strings or numbers, enums are numbers, bytes are base64 in either alphabet,
//! floating-point numbers may be "NaN", "Infinity" or "-Infinity", a missing field and a null both mean the default,
//! unknown fields are ignored. Nesting is bounded by `serde_json`'s recursion limit of 128 levels, which is less than
//! what the stored protobuf may nest.

mod any_value;
mod codec;
mod messages;

use serde::de::DeserializeSeed;

pub(super) use codec::FromJson;

/// Reads one message.
pub(super) fn decode<M: FromJson>(body: &[u8]) -> Result<M, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message = codec::Object::<M>::default().deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(message)
}
