//! What a full-text search looks for.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use super::value;

/// A text that is looked for as a part of others, in either case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    lower: String,
    /// What is searched need not be folded by the rules of Unicode.
    ascii: bool,
    /// It may be a part of a value that is no text: a number, bytes, a list.
    beyond_text: bool,
}

impl Needle {
    /// Looks for `text`; an empty one is in everything.
    pub fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        // As numbers, bytes in hex and what else is no text are written, and JSON around lists of them.
        let number = lower.chars().all(|c| c.is_ascii_hexdigit() || "+-.".contains(c));
        let word = ["true", "false", "nan", "infinity", "-infinity"].iter().any(|word| word.contains(&lower));
        let json = lower.contains(['[', ']', '{', '}', '"', ',', ':', '\\']);
        let beyond_text = number || word || json;
        Self { ascii: lower.is_ascii(), beyond_text, lower }
    }

    /// Whether `text` holds it.
    pub fn is_in(&self, text: &str) -> bool {
        if self.ascii { self.in_ascii(text.as_bytes()) } else { text.to_lowercase().contains(&self.lower) }
    }

    fn in_ascii(&self, bytes: &[u8]) -> bool {
        let needle = self.lower.as_bytes();
        let Some((first, rest)) = needle.split_first() else { return true };
        let upper = first.to_ascii_uppercase();
        let Some(last) = bytes.len().checked_sub(needle.len()) else { return false };
        (0..=last).any(|at| {
            (bytes[at] == *first || bytes[at] == upper)
                && bytes[at + 1..at + needle.len()].eq_ignore_ascii_case(rest)
        })
    }

    /// Whether an id in hex may hold it.
    pub(super) fn may_be_hex(&self) -> bool {
        self.lower.bytes().all(|byte| byte.is_ascii_hexdigit())
    }

    /// Whether a message that is encoded as these bytes may hold it; `false` is sure. Spares decoding most messages.
    pub(super) fn may_be_in_message(&self, encoded: &[u8]) -> bool {
        !self.ascii || self.beyond_text || self.in_ascii(encoded)
    }

    /// Whether a key or a value of these attributes holds it.
    pub(super) fn is_in_attributes(&self, attributes: &[KeyValue]) -> bool {
        attributes.iter().any(|a| self.is_in(&a.key) || self.is_in_value(a.value.as_ref()))
    }

    /// Whether a value, as text, holds it.
    pub(super) fn is_in_value(&self, any: Option<&AnyValue>) -> bool {
        match any.and_then(|any| any.value.as_ref()) {
            // As JSON they would hide characters behind escapes.
            Some(Value::ArrayValue(array)) if array.values.iter().any(|v| self.is_in_value(Some(v))) => true,
            Some(Value::KvlistValue(list)) if self.is_in_attributes(&list.values) => true,
            _ => self.is_in(&value::text(any)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn either_case_and_any_script() {
        for (text, needle, found) in [
            ("GET /Orders", "get /ord", true),
            ("GET /Orders", "orderz", false),
            ("ŽLUŤOUČKÝ", "žluťou", true),
            ("abc", "", true),
            ("", "a", false),
            ("aab", "ab", true),
        ] {
            assert_eq!(Needle::new(needle).is_in(text), found, "{needle:?} in {text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_found_where_the_plain_way_finds_it(text in "[aAbB é]{0,12}", needle in "[aAbBé]{0,3}") {
            let plain = text.to_lowercase().contains(&needle.to_lowercase());
            prop_assert_eq!(Needle::new(&needle).is_in(&text), plain);
        }

        #[test]
        fn what_a_message_holds_is_not_ruled_out(number in any::<i64>(), text in ".{0,9}", a in 0..6_usize, n in 0..5_usize) {
            use prost::Message;
            for value in [
                Value::IntValue(number),
                Value::DoubleValue(number as f64 / 7.0),
                Value::BytesValue(number.to_be_bytes().to_vec()),
                Value::BoolValue(number > 0),
                Value::StringValue(text),
            ] {
                let any = AnyValue { value: Some(value) };
                let shown = value::text(Some(&any)).into_owned();
                let part: String = shown.chars().skip(a).take(n).collect();
                let needle = Needle::new(&part);
                prop_assert!(needle.is_in_value(Some(&any)));
                let attribute = KeyValue { key: "k".into(), value: Some(any), ..Default::default() };
                prop_assert!(needle.may_be_in_message(&attribute.encode_to_vec()), "{:?}", part);
            }
        }
    }
}
