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

/// Tells how a method is reported, going by the methods known without configuration.
pub fn method_for_span(method: &str) -> SpanMethod<'_> {
    tell(method, KNOWN.contains(&method))
}

/// The methods that are reported by name, where the default list is overridden
/// (`OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMethods {
    names: Vec<String>,
}

impl Default for KnownMethods {
    /// Knows the methods that are known without configuration.
    fn default() -> Self {
        KnownMethods { names: KNOWN.map(str::to_owned).into() }
    }
}

impl KnownMethods {
    /// Knows the methods in a comma-separated list and no others.
    pub fn from_list(list: &str) -> Self {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        KnownMethods { names: names.map(str::to_owned).collect() }
    }

    /// Tells how a method is reported. Methods are case-sensitive (RFC 9110 section 9.1).
    pub fn for_span<'m>(&self, method: &'m str) -> SpanMethod<'m> {
        tell(method, self.names.iter().any(|name| name == method))
    }
}

fn tell(method: &str, is_known: bool) -> SpanMethod<'_> {
    if is_known {
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
            let told = method_for_span(method);
            assert_eq!((told.method, told.original), (method, None));
            assert_eq!(KnownMethods::default().for_span(method), told);
        }
    }

    #[test]
    fn unknown_and_lower_case_methods_are_other() {
        for method in ["PROPFIND", "get", "Get", ""] {
            let told = method_for_span(method);
            assert_eq!((told.method, told.original), (OTHER, Some(method)));
        }
    }

    #[test]
    fn a_list_replaces_the_known_methods() {
        let known = KnownMethods::from_list("GET, PROPFIND,,");
        assert_eq!(known.for_span("PROPFIND").method, "PROPFIND");
        assert_eq!(known.for_span("POST").original, Some("POST"));
    }
}
