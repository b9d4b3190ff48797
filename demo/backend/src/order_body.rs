//! Request bodies: a JSON object whose missing fields have defaults and whose wrong fields are named.

use axum::extract::{FromRequest, Request};
use ebpf_demo_service::{json, reply::Problem};
use serde_json::{Map, Value};

/// The largest amount of money taken, far below where sums of `f64` lose cents.
const AMOUNT_MAX: f64 = 1e9;

/// The fields of a request.
#[derive(Debug)]
pub struct OrderBody(Map<String, Value>);

impl OrderBody {
    /// Gives the number of items; 1 where it is missing.
    ///
    /// # Errors
    /// 400 where it is not a whole number of 32 bits.
    pub fn items(&self) -> Result<u32, Problem> {
        let accepted = format!("a whole number from 0 to {}", u32::MAX);
        self.field("items", 1, &accepted, |value| value.as_u64().and_then(|items| u32::try_from(items).ok()))
    }

    /// Gives an amount of money; `default` where it is missing.
    ///
    /// # Errors
    /// 400 where it is not a number within the limits.
    pub fn amount(&self, name: &str, default: f64) -> Result<f64, Problem> {
        let accepted = format!("a number from 0 to {AMOUNT_MAX}");
        self.field(name, default, &accepted, |value| {
            value.as_f64().filter(|amount| (0.0..=AMOUNT_MAX).contains(amount))
        })
    }

    fn field<T>(
        &self,
        name: &str,
        default: T,
        accepted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, Problem> {
        let Some(value) = self.0.get(name) else {
            return Ok(default);
        };
        read(value).ok_or_else(|| {
            let kind = kind(value);
            Problem::bad_request(format!("field {name:?}: expected {accepted}, got {kind}"))
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for OrderBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        match json::read(request).await? {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(Problem::bad_request(format!("expected a JSON object, got {}", kind(&other)))),
        }
    }
}

/// Describes a value; numbers are short, so they are shown.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
