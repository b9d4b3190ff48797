//! Methods as the HTTP semantic conventions want them told.

/// Stands for every method that is not known.
pub const OTHER: &str = "_OTHER";

/// Methods known without configuration: RFC 9110, PATCH (RFC 5789) and QUERY, as the semantic conventions list them.
const KNOWN: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];

/// A method as `http.request.method` and, where that hides it, `http.request.method_original`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanMethod<'a> {
    /// The method itself, or [`OTHER`].
    pub method: &'a str,
    /// The method as sent, where `method` is not it.
    pub original: Option<&'a str>,
}

/// Tells how a method is reported. Methods are case-sensitive (RFC 9110 section 9.1).
pub fn method_for_span(method: &str) -> SpanMethod<'_> {
    if KNOWN.contains(&method) {
        SpanMethod { method, original: None }
    } else {
        SpanMethod { method: OTHER, original: Some(method) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_methods_are_told_as_they_are() {
        for method in KNOWN {
            assert_eq!(method_for_span(method).method, method);
            assert_eq!(method_for_span(method).original, None);
        }
    }

    #[test]
    fn unknown_and_lower_case_methods_are_other() {
        for method in ["PROPFIND", "get", "Get", ""] {
            let told = method_for_span(method);
            assert_eq!((told.method, told.original), (OTHER, Some(method)));
        }
    }
}
