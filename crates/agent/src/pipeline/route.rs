//! `http.route` from what the configuration says, never from the raw path.

use crate::config::{Routes, Unmatched};

/// Finds routes of paths.
#[derive(Debug)]
pub struct Router {
    patterns: Vec<Pattern>,
    ignored: Vec<Pattern>,
    unmatched: Unmatched,
    wildcard: char,
}

impl Router {
    /// Compiles the configured patterns.
    pub fn new(routes: &Routes) -> Self {
        Self {
            patterns: routes.patterns.iter().map(|text| Pattern::new(text)).collect(),
            ignored: routes.ignored_patterns.iter().map(|text| Pattern::new(text)).collect(),
            unmatched: routes.unmatched,
            wildcard: routes.wildcard_char,
        }
    }

    /// Whether requests for this path are ignored.
    pub fn ignores(&self, path: &str) -> bool {
        self.ignored.iter().any(|pattern| pattern.matches(path))
    }

    /// The route of a path: the first pattern that matches, else what the configuration wants for the others.
    pub fn route(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return None;
        }
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.matches(path)) {
            return Some(pattern.text.clone());
        }
        match self.unmatched {
            Unmatched::Wildcard => Some("/**".to_owned()),
            Unmatched::Heuristic | Unmatched::LowCardinality => Some(self.guess(path)),
            Unmatched::Unset | Unmatched::Path => None,
        }
    }

    /// Replaces the segments that look like identifiers.
    fn guess(&self, path: &str) -> String {
        let segments: Vec<String> = path
            .split('/')
            .map(
                |segment| if is_identifier(segment) { self.wildcard.to_string() } else { segment.to_owned() },
            )
            .collect();
        segments.join("/")
    }
}

/// A segment with a digit, a character that words do not have, or more letters than a word has.
fn is_identifier(segment: &str) -> bool {
    const LONGEST_WORD: usize = 24;
    segment.len() > LONGEST_WORD
        || segment.chars().any(|c| !(c.is_ascii_alphabetic() || matches!(c, '-' | '_' | '.')))
            && !is_version(segment)
}

/// `v1`, `v2beta`: part of many APIs' fixed paths.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| {
        rest.len() <= 6
            && rest.starts_with(|c: char| c.is_ascii_digit())
            && rest.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

/// A path pattern: `{name}`, `:name` and `*` stand for one segment, a last `**` or `*` for the rest.
#[derive(Debug)]
struct Pattern {
    text: String,
    segments: Vec<Segment>,
    open_end: bool,
}

#[derive(Debug, PartialEq)]
enum Segment {
    Literal(String),
    Any,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let mut parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
        let open_end = matches!(parts.last(), Some(&("*" | "**")));
        if open_end {
            parts.pop();
        }
        let segments = parts
            .into_iter()
            .map(|part| match part {
                "*" => Segment::Any,
                _ if part.starts_with(':') || (part.starts_with('{') && part.ends_with('}')) => Segment::Any,
                _ => Segment::Literal(part.to_owned()),
            })
            .collect();
        Self { text: text.to_owned(), segments, open_end }
    }

    fn matches(&self, path: &str) -> bool {
        let mut parts = path.trim_start_matches('/').split('/');
        for segment in &self.segments {
            match (segment, parts.next()) {
                (Segment::Any, Some(part)) if !part.is_empty() => {}
                (Segment::Literal(literal), Some(part)) if literal == part => {}
                _ => return false,
            }
        }
        self.open_end || parts.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(patterns: &[&str], unmatched: Unmatched) -> Router {
        Router::new(&Routes {
            patterns: patterns.iter().map(|text| (*text).to_owned()).collect(),
            ignored_patterns: vec!["/health".to_owned(), "/internal/*".to_owned()],
            unmatched,
            ..Routes::default()
        })
    }

    #[test]
    fn the_first_pattern_that_matches_is_the_route() {
        let router = router(&["/users/{id}", "/users/:id/orders", "/static/*", "/"], Unmatched::Unset);
        for (path, expected) in [
            ("/users/42", Some("/users/{id}")),
            ("/users/42/orders", Some("/users/:id/orders")),
            ("/users/42/orders/7", None),
            ("/users/", None),
            ("/static/css/a.css", Some("/static/*")),
            ("/", Some("/")),
            ("/other", None),
            ("", None),
        ] {
            assert_eq!(router.route(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn guessed_routes_hold_no_identifier() {
        let router = router(&[], Unmatched::Heuristic);
        for (path, expected) in [
            ("/api/v1/users/42", "/api/v1/users/*"),
            ("/process-order", "/process-order"),
            ("/o/7f9c2ba4-e88f-11ee-8ad5-0242ac120002/lines", "/o/*/lines"),
            ("/f/a%20b", "/f/*"),
        ] {
            assert_eq!(router.route(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn ignored_paths_are_known() {
        let router = router(&[], Unmatched::Unset);
        assert!(router.ignores("/health") && router.ignores("/internal/x/y"));
        assert!(!router.ignores("/healthy"));
    }
}
