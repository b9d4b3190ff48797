//! How single JSON values become field values.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A message that can be read field by field from a JSON object.
pub trait FromJson: Default {
    /// Reads the value of `field`, or skips it when there is no such field.
    ///
    /// # Errors
    /// When the value does not fit the field.
    fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads a message; null gives the default.
pub(super) struct Object<M>(PhantomData<M>);

impl<M> Default for Object<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, M: FromJson> DeserializeSeed<'de> for Object<M> {
    type Value = M;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<M, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: FromJson> Visitor<'de> for Object<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<M, E> {
        Ok(M::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
        let mut message = M::default();
        while let Some(key) = map.next_key::<String>()? {
            message.field(&key, &mut map)?;
        }
        Ok(message)
    }
}

/// Reads a list of what `S` reads; null gives an empty one.
pub(super) struct List<S>(pub(super) fn() -> S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for List<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed((self.0)())? {
            values.push(value);
        }
        Ok(values)
    }
}

/// Reads what `S` reads, or `None` for null.
pub(super) struct Nullable<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// Reads a scalar by a function from what JSON has.
pub(super) struct Scalar<T> {
    pub(super) what: &'static str,
    pub(super) read: fn(Token<'_>) -> Option<T>,
}

/// A JSON scalar.
pub(super) enum Token<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl<'de, T> DeserializeSeed<'de> for Scalar<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T> Scalar<T> {
    fn take<E: Error>(&self, token: Token<'_>) -> Result<T, E> {
        (self.read)(token).ok_or_else(|| E::custom(format_args!("expected {}", self.what)))
    }
}

impl<'de, T> Visitor<'de> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.take(Token::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.take(Token::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.take(Token::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.take(Token::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        self.take(Token::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        self.take(Token::Text(value))
    }
}

/// Skips the value of an unknown field.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(|_| ())
}

pub(super) fn text() -> Scalar<String> {
    Scalar {
        what: "a string",
        read: |token| match token {
            Token::Null => Some(String::new()),
            Token::Text(text) => Some(text.to_owned()),
            _ => None,
        },
    }
}

pub(super) fn boolean() -> Scalar<bool> {
    Scalar {
        what: "true or false",
        read: |token| match token {
            Token::Null => Some(false),
            Token::Bool(value) => Some(value),
            _ => None,
        },
    }
}

/// A whole number, also where it is spelled with a fraction of zero or an exponent.
fn whole(token: Token<'_>) -> Option<i128> {
    match token {
        Token::Null => Some(0),
        Token::Unsigned(number) => Some(number.into()),
        Token::Signed(number) => Some(number.into()),
        Token::Float(number) => {
            (number.fract() == 0.0 && number.abs() < 2f64.powi(64)).then_some(number as i128)
        }
        Token::Text(text) => text.parse().ok(),
        Token::Bool(_) => None,
    }
}

pub(super) fn unsigned64() -> Scalar<u64> {
    Scalar { what: "an unsigned 64-bit integer, as string or number", read: |t| whole(t)?.try_into().ok() }
}

pub(super) fn signed64() -> Scalar<i64> {
    Scalar { what: "a 64-bit integer, as string or number", read: |t| whole(t)?.try_into().ok() }
}

pub(super) fn unsigned32() -> Scalar<u32> {
    Scalar { what: "an unsigned 32-bit integer", read: |t| whole(t)?.try_into().ok() }
}

pub(super) fn signed32() -> Scalar<i32> {
    Scalar { what: "a 32-bit integer", read: |t| whole(t)?.try_into().ok() }
}

pub(super) fn double() -> Scalar<f64> {
    Scalar {
        what: "a number",
        read: |token| match token {
            Token::Null => Some(0.0),
            Token::Unsigned(number) => Some(number as f64),
            Token::Signed(number) => Some(number as f64),
            Token::Float(number) => Some(number),
            Token::Text("NaN") => Some(f64::NAN),
            Token::Text("Infinity") => Some(f64::INFINITY),
            Token::Text("-Infinity") => Some(f64::NEG_INFINITY),
            Token::Text(text) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                text.parse().ok()
            }
            Token::Text(_) | Token::Bool(_) => None,
        },
    }
}

/// A trace or span id.
pub(super) fn hex() -> Scalar<Vec<u8>> {
    Scalar {
        what: "a hex string",
        read: |token| match token {
            Token::Null => Some(Vec::new()),
            Token::Text(text) => from_hex(text),
            _ => None,
        },
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

/// Bytes in base64, standard or URL-safe, padded or not.
pub(super) fn bytes() -> Scalar<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, CONFIG);
    Scalar {
        what: "a base64 string",
        read: |token| match token {
            Token::Null => Some(Vec::new()),
            Token::Text(text) => STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok(),
            _ => None,
        },
    }
}
