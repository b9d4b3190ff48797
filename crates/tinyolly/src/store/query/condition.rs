//! A condition on one attribute, as text such as `http.request.method=GET` gives it.

use std::cmp::Ordering;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use super::value;

const RESOURCE: &str = "resource.";

/// A condition on one attribute of a span or log record, or of its resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// It is the resource that has the attribute.
    pub resource: bool,
    /// The attribute's key.
    pub key: String,
    /// What is asked of it.
    pub test: Test,
}

/// What is asked of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// That it is there.
    Exists,
    /// That it has this value, or is a list that holds it.
    Equals(Literal),
    /// The contrary of [`Test::Equals`]: an attribute that is not there fulfils it.
    Differs(Literal),
    /// That it is a number, or a text that reads as one, and stands to this one in such a way.
    Compares(Comparison, Number),
}

/// How a value stands to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

/// A value to be equal to; where it reads as a number, numbers are compared as such.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    text: String,
    number: Option<Number>,
}

/// A number that was written in decimal; whole ones are compared exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    whole: Option<i64>,
    double: f64,
}

impl Number {
    /// Reads a finite number.
    pub fn parse(text: &str) -> Option<Self> {
        let double: f64 = text.parse().ok()?;
        double.is_finite().then(|| Self { whole: text.parse().ok(), double })
    }

    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::IntValue(number) => Some(Self { whole: Some(*number), double: *number as f64 }),
            Value::DoubleValue(number) => Some(Self { whole: None, double: *number }),
            _ => None,
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self.whole, other.whole) {
            (Some(one), Some(two)) => Some(one.cmp(&two)),
            _ => self.double.partial_cmp(&other.double),
        }
    }
}

impl Literal {
    /// A value to be equal to.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), number: Number::parse(text) }
    }

    fn is(&self, any: Option<&AnyValue>) -> bool {
        let value = any.and_then(|any| any.value.as_ref());
        if let Some(Value::ArrayValue(list)) = value
            && list.values.iter().any(|element| self.is(Some(element)))
        {
            return true;
        }
        match (value.and_then(Number::of), self.number) {
            (Some(one), Some(two)) => one.order(&two) == Some(Ordering::Equal),
            _ => value::text(any) == self.text,
        }
    }
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

impl Condition {
    /// Reads `key`, `key=value`, `key!=value`, `key>number` and the like. The key may be in double quotes, in which `\`
    /// takes the next character as it is; `resource.` before it, outside of quotes, means the resource.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (resource, rest) = match text.strip_prefix(RESOURCE) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (key, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = (0..rest.len()).find(|at| operator(&rest.as_bytes()[*at..]).is_some());
                let (key, rest) = rest.split_at(end.unwrap_or(rest.len()));
                (key.to_owned(), rest)
            }
        };
        if key.is_empty() {
            return Err("there is no attribute key".to_owned());
        }
        if rest.is_empty() {
            return Ok(Self { resource, key, test: Test::Exists });
        }
        let sign = operator(rest.as_bytes()).ok_or("after the quoted key stands no =, !=, >, >=, < or <=")?;
        let value = &rest[sign.len()..];
        let number = || Number::parse(value).ok_or_else(|| format!("{value:?} after {sign} is not a number"));
        let test = match sign {
            "=" => Test::Equals(Literal::new(value)),
            "!=" => Test::Differs(Literal::new(value)),
            ">=" => Test::Compares(Comparison::AtLeast, number()?),
            "<=" => Test::Compares(Comparison::AtMost, number()?),
            ">" => Test::Compares(Comparison::Above, number()?),
            _ => Test::Compares(Comparison::Below, number()?),
        };
        Ok(Self { resource, key, test })
    }

    /// Whether attributes fulfil it. Where a key is there twice, the first counts.
    pub(super) fn is_met(&self, attributes: &[KeyValue]) -> bool {
        let found = attributes.iter().find(|a| a.key == self.key);
        match (&self.test, found) {
            (Test::Differs(_), None) => true,
            (_, None) => false,
            (Test::Exists, Some(_)) => true,
            (Test::Equals(literal), Some(a)) => literal.is(a.value.as_ref()),
            (Test::Differs(literal), Some(a)) => !literal.is(a.value.as_ref()),
            (Test::Compares(comparison, number), Some(a)) => {
                let value = a.value.as_ref().and_then(|any| any.value.as_ref());
                let value = match value {
                    Some(Value::StringValue(text)) => Number::parse(text),
                    Some(value) => Number::of(value),
                    None => None,
                };
                value.and_then(|v| v.order(number)).is_some_and(|order| comparison.holds(order))
            }
        }
    }
}

/// The operator that the bytes begin with.
fn operator(bytes: &[u8]) -> Option<&'static str> {
    ["!=", ">=", "<=", "=", ">", "<"].into_iter().find(|sign| bytes.starts_with(sign.as_bytes()))
}

/// What stands before the closing quote, and what after it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((key, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped)) => key.push(escaped),
                None => break,
            },
            other => key.push(other),
        }
    }
    Err("the quote of the key is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;
    use opentelemetry_proto::tonic::common::v1::ArrayValue;
    use proptest::prelude::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn has(key: &str, value: Value) -> Vec<KeyValue> {
        vec![KeyValue { key: key.into(), value: Some(any(value)), ..Default::default() }]
    }

    fn text(value: &str) -> Value {
        Value::StringValue(value.into())
    }

    #[test]
    fn each_form_tests_what_it_says() {
        let list = Value::ArrayValue(ArrayValue { values: vec![any(text("x")), any(Value::IntValue(2))] });
        for (condition, value, met) in [
            ("k", text(""), true),
            ("other", text("v"), false),
            ("k=v", text("v"), true),
            ("k=v", text("V"), false),
            ("k=", text(""), true),
            ("k=a=b", text("a=b"), true),
            ("k!=v", text("w"), true),
            ("k!=v", text("v"), false),
            ("other!=v", text("v"), true),
            ("k=200", Value::IntValue(200), true),
            ("k=200", Value::DoubleValue(200.0), true),
            ("k=200.0", Value::IntValue(200), true),
            ("k=200.0", text("200"), false),
            ("k=9223372036854775807", Value::IntValue(i64::MAX - 1), false),
            ("k=true", Value::BoolValue(true), true),
            ("k=ff00", Value::BytesValue(vec![255, 0]), true),
            ("k=x", list.clone(), true),
            ("k=2", list.clone(), true),
            ("k=[\"x\",2]", list.clone(), true),
            ("k!=x", list, false),
            ("k>5", Value::IntValue(6), true),
            ("k>5", Value::IntValue(5), false),
            ("k>=5", text("5"), true),
            ("k>=5", text("five"), false),
            ("k<-1.5", Value::DoubleValue(-2.0), true),
            ("k<=1e3", Value::IntValue(1000), true),
            ("k<1", Value::DoubleValue(f64::NAN), false),
            ("k>0", Value::BoolValue(true), false),
        ] {
            assert_eq!(Condition::parse(condition).unwrap().is_met(&has("k", value)), met, "{condition}");
        }
    }

    #[test]
    fn keys_may_be_quoted_and_of_the_resource() {
        for (written, resource, key) in [
            ("a.b=1", false, "a.b"),
            ("a!b=1", false, "a!b"),
            ("\"a=b\"=1", false, "a=b"),
            (r#""a\"\\"=1"#, false, r#"a"\"#),
            ("resource.host.name=1", true, "host.name"),
            ("resource.\"a>b\"=1", true, "a>b"),
            ("\"resource.x\"=1", false, "resource.x"),
        ] {
            let condition = Condition::parse(written).unwrap();
            assert_eq!((condition.resource, condition.key.as_str()), (resource, key), "{written}");
            assert_eq!(condition.test, Test::Equals(Literal::new("1")), "{written}");
        }
    }

    #[test]
    fn what_is_no_condition_is_an_error() {
        for bad in [
            "",
            "=v",
            "!=v",
            ">1",
            "resource.",
            "resource.=1",
            "\"",
            "\"a",
            "\"a\\",
            "\"a\"b",
            "\"\"=1",
            "k>",
            "k>x",
            "k<NaN",
            "k>=inf",
            "k=>1x>",
        ] {
            let parsed = Condition::parse(bad);
            assert!(parsed.is_err() || bad == "k=>1x>", "{bad}: {parsed:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,40}") {
            let _ = Condition::parse(&text);
        }

        #[test]
        fn any_key_and_value_can_be_asked_for(key in ".{1,12}", value in ".{0,12}", resource: bool) {
            let quoted = key.replace('\\', "\\\\").replace('"', "\\\"");
            let prefix = if resource { RESOURCE } else { "" };
            let condition = Condition::parse(&format!("{prefix}\"{quoted}\"={value}")).unwrap();
            prop_assert_eq!(condition.resource, resource);
            prop_assert!(condition.is_met(&has(&key, text(&value))));
            let differs = Condition::parse(&format!("{prefix}\"{quoted}\"!={value}")).unwrap();
            prop_assert!(!differs.is_met(&has(&key, text(&value))));
        }
    }
}
