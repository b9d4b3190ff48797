//! A span's mark: one small number of what filters ask and only the blob else tells.
//!
//! Bit 0 says that the span has no parent; above it stands the first digit of its HTTP status code, 0 where it has none.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::blob;

/// Keys of the HTTP status code, the stable one first.
const STATUS_CODE: [&str; 2] = ["http.response.status_code", "http.status_code"];

/// The mark of a span with these attributes.
pub fn of(is_root: bool, attributes: &[KeyValue]) -> i64 {
    let class = http_status(attributes).filter(|code| (100..600).contains(code)).map_or(0, |code| code / 100);
    class << 1 | i64::from(is_root)
}

/// Whether the marked span has no parent.
pub fn is_root(mark: i64) -> bool {
    mark & 1 == 1
}

/// First digit of the marked span's HTTP status code; 0 for none.
pub fn status_class(mark: i64) -> i64 {
    mark >> 1
}

/// HTTP status code by stable or older semantic conventions, sent as a number or as text.
pub fn http_status(attributes: &[KeyValue]) -> Option<i64> {
    STATUS_CODE.iter().find_map(|key| {
        let value = attributes.iter().find(|a| a.key == *key)?.value.as_ref()?;
        match value.value.as_ref()? {
            Value::IntValue(number) => Some(*number),
            Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    })
}

/// Makes `span_mark(is_root, detail)` known to SQL, for files from before there were marks.
pub(super) fn register(db: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    db.create_scalar_function("span_mark", 2, flags, |arguments| {
        let detail = arguments.get_raw(1).as_blob_or_null()?;
        // A damaged blob is told where it is read; it shall not keep the file from being opened.
        let span: Span = blob::unpack(detail).unwrap_or_default();
        Ok(of(arguments.get(0)?, &span.attributes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::AnyValue;

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
    }

    #[test]
    fn old_and_new_names_give_the_class_and_nonsense_gives_none() {
        for (key, value, class) in [
            ("http.response.status_code", Value::IntValue(404), 4),
            ("http.status_code", Value::IntValue(200), 2),
            ("http.status_code", Value::StringValue("503".into()), 5),
            ("http.status_code", Value::StringValue("5xx".into()), 0),
            ("http.response.status_code", Value::IntValue(0), 0),
            ("http.response.status_code", Value::IntValue(600), 0),
            ("http.response.status_code", Value::IntValue(i64::MIN), 0),
            ("rpc.status", Value::IntValue(200), 0),
        ] {
            for root in [false, true] {
                let mark = of(root, &[attribute(key, value.clone())]);
                assert_eq!((status_class(mark), is_root(mark)), (class, root), "{key} {value:?}");
            }
        }
    }
}
