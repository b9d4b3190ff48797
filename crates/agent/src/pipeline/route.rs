//! `http.route` from what the configuration says, never from the raw path.

use std::collections::{HashMap, HashSet};

use crate::config::{IgnoreMode, Routes, Unmatched};

/// Finds routes of paths.
#[derive(Debug)]
pub struct Router {
    patterns: Vec<Pattern>,
    ignored: Vec<Pattern>,
    unmatched: Unmatched,
    wildcard: char,
    values: SegmentValues,
}

impl Router {
    /// Compiles the configured patterns.
    pub fn new(routes: &Routes) -> Self {
        let ignored = match routes.ignore_mode {
            IgnoreMode::All | IgnoreMode::Traces => routes.ignored_patterns.as_slice(),
            // There are no metrics yet, and traces are not meant.
            IgnoreMode::Metrics => &[],
        };
        Self {
            patterns: routes.patterns.iter().map(|text| Pattern::new(text)).collect(),
            ignored: ignored.iter().map(|text| Pattern::new(text)).collect(),
            unmatched: routes.unmatched,
            wildcard: routes.wildcard_char,
            values: SegmentValues::new(routes.max_path_segment_cardinality as usize),
        }
    }

    /// Whether requests for this path are ignored.
    pub fn ignores(&self, path: &str) -> bool {
        self.ignored.iter().any(|pattern| pattern.matches(path))
    }

    /// The route of a path: the first pattern that matches, else what the configuration wants for the others.
    pub fn route(&mut self, path: &str) -> Option<String> {
        if path.is_empty() {
            return None;
        }
        if let Some(pattern) = self.patterns.iter().find(|pattern| pattern.matches(path)) {
            return Some(pattern.text.clone());
        }
        match self.unmatched {
            Unmatched::Wildcard => Some("/**".to_owned()),
            Unmatched::Heuristic => Some(self.guess(path)),
            Unmatched::LowCardinality => Some(self.values.reduce(&self.guess(path), self.wildcard)),
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

/// Values seen at each place of a path. A place that has taken more than it may becomes a wildcard, so that routes stay
/// few whatever the paths are.
#[derive(Debug)]
struct SegmentValues {
    most: usize,
    /// By the route up to the place, values that stood there; `None` once there were too many.
    seen: HashMap<String, Option<HashSet<String>>>,
}

impl SegmentValues {
    /// Places that are kept apart; beyond it every new one is a wildcard.
    const PLACES_MAX: usize = 10_000;

    fn new(most: usize) -> Self {
        Self { most, seen: HashMap::new() }
    }

    fn reduce(&mut self, path: &str, wildcard: char) -> String {
        let mut route = String::new();
        for segment in path.trim_start_matches('/').split('/') {
            route.push('/');
            if !segment.is_empty() && !self.admits(&route, segment) {
                route.push(wildcard);
            } else {
                route.push_str(segment);
            }
        }
        route
    }

    fn admits(&mut self, place: &str, value: &str) -> bool {
        if !self.seen.contains_key(place) {
            if self.seen.len() >= Self::PLACES_MAX {
                return false;
            }
            self.seen.insert(place.to_owned(), Some(HashSet::new()));
        }
        let Some(entry) = self.seen.get_mut(place) else { return false };
        let Some(values) = entry else { return false };
        values.insert(value.to_owned());
        if values.len() > self.most {
            *entry = None;
        }
        entry.is_some()
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
        let mut router = router(&["/users/{id}", "/users/:id/orders", "/static/*", "/"], Unmatched::Unset);
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
        let mut router = router(&[], Unmatched::Heuristic);
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
    fn a_place_with_too_many_values_becomes_a_wildcard() {
        let mut router = router(&[], Unmatched::LowCardinality);
        let words = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay", "koi", "lynx"];
        let routes: Vec<_> =
            words.iter().filter_map(|word| router.route(&format!("/animals/{word}/legs"))).collect();
        assert_eq!(routes[0], "/animals/ant/legs");
        assert_eq!(routes[11], "/animals/*/legs");
        assert_eq!(router.route("/animals/ant/legs").as_deref(), Some("/animals/*/legs"));
    }

    #[test]
    fn paths_ignored_for_metrics_alone_are_traced() {
        let routes = Routes {
            ignored_patterns: vec!["/health".to_owned()],
            ignore_mode: IgnoreMode::Metrics,
            ..Routes::default()
        };
        assert!(!Router::new(&routes).ignores("/health"));
    }

    #[test]
    fn ignored_paths_are_known() {
        let router = router(&[], Unmatched::Unset);
        assert!(router.ignores("/health") && router.ignores("/internal/x/y"));
        assert!(!router.ignores("/healthy"));
    }
}
