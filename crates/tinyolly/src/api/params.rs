//! Query parameters, checked: what is not understood is an error, never silently a wider answer.

use axum::http::Uri;

use super::problem::Problem;
use crate::store::rows::{SpanId, TraceId};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 5000;
/// How often a parameter may be repeated.
const MAX_REPEATS: usize = 100;

/// The parameters of one request; each is taken once, and [`Params::finish`] refuses what is left.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the query string; an empty value counts as absent.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Problem::bad_request(format!("query string: {error}")))?;
        Ok(Self(pairs.0.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(at) = self.0.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(key, _)| key == name) {
            return Err(Problem::bad_request(format!("{name} is given more than once")));
        }
        Ok(Some(value))
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Problem> {
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key == name);
        self.0 = left;
        if taken.len() > MAX_REPEATS {
            return Err(Problem::bad_request(format!("{name} is given more than {MAX_REPEATS} times")));
        }
        Ok(taken.into_iter().map(|(_, value)| value).collect())
    }

    /// All values of a parameter that may be repeated, each read by `parse`.
    pub(super) fn all<T>(
        &mut self,
        name: &str,
        form: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, Problem> {
        let parsed = |value: String| {
            parse(&value).ok_or_else(|| Problem::bad_request(format!("{name}={value:?} is not {form}")))
        };
        self.texts(name)?.into_iter().map(parsed).collect()
    }

    /// A switch: `1` or `true` is on, `0` or `false` off.
    pub(super) fn switch(&mut self, name: &str) -> Result<bool, Problem> {
        let on = self.parsed(name, "1 or 0", |value| match value {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        })?;
        Ok(on.unwrap_or(false))
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        form: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.text(name)? else { return Ok(None) };
        match parse(&value) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(Problem::bad_request(format!("{name}={value:?} is not {form}"))),
        }
    }

    /// All parameters whose name begins with `prefix`, which is taken off: `prefix.KEY=VALUE`.
    pub(super) fn with_prefix(&mut self, prefix: &str) -> Vec<(String, String)> {
        let taken = self.0.extract_if(.., |(key, _)| key.len() > prefix.len() && key.starts_with(prefix));
        taken.map(|(key, value)| (key.strip_prefix(prefix).unwrap_or_default().to_owned(), value)).collect()
    }

    pub(super) fn limit(&mut self) -> Result<u32, Problem> {
        let limit = self.parsed("limit", "a number from 1 to 5000", |value| {
            value.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n))
        })?;
        Ok(limit.unwrap_or(DEFAULT_LIMIT))
    }

    pub(super) fn trace_id(&mut self, name: &str) -> Result<Option<TraceId>, Problem> {
        self.parsed(name, "a trace id of 32 hex digits", from_hex)
    }

    pub(super) fn span_id(&mut self, name: &str) -> Result<Option<SpanId>, Problem> {
        self.parsed(name, "a span id of 16 hex digits", from_hex)
    }

    pub(super) fn severity(&mut self, name: &str) -> Result<Option<i32>, Problem> {
        let severity =
            self.parsed(name, "a severity number from 1 to 24 or a name such as WARN", |value| {
                value
                    .parse()
                    .ok()
                    .filter(|n| (0..=24).contains(n))
                    .or_else(|| super::logs::severity_number(value))
            })?;
        Ok(severity)
    }

    pub(super) fn time_ns(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        self.parsed(name, "a time in nanoseconds since the epoch", |value| value.parse().ok())
    }

    pub(super) fn choice<T>(
        &mut self,
        name: &str,
        form: &str,
        choose: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        self.parsed(name, form, choose)
    }

    /// Refuses parameters that nobody took.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::bad_request(format!("unknown parameter {name:?}"))),
        }
    }
}

/// An id of exactly `N` bytes in hex of either case.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut id = [0; N];
    for (byte, [high, low]) in id.iter_mut().zip(pairs) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn limits_are_checked() {
        assert_eq!(params("").limit().unwrap(), 100);
        assert_eq!(params("limit=").limit().unwrap(), 100);
        assert_eq!(params("limit=5000").limit().unwrap(), 5000);
        for bad in ["0", "5001", "-1", "x", "1e3", "99999999999999999999"] {
            assert!(params(&format!("limit={bad}")).limit().is_err(), "{bad}");
        }
        assert!(params("limit=1&limit=2").limit().is_err());
    }

    #[test]
    fn ids_are_hex_of_either_case() {
        assert_eq!(params("span_id=00000000000000Ff").span_id("span_id").unwrap().unwrap()[7], 255);
        for bad in [
            "0",
            "zz000000000000ff",
            "00000000000000ff00",
            "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9",
        ] {
            assert!(params(&format!("span_id={bad}")).span_id("span_id").is_err(), "{bad}");
        }
    }

    #[test]
    fn what_nobody_takes_is_refused() {
        assert!(params("servise=a").finish().is_err());
        assert!(params("servise=").finish().is_ok());
    }

    #[test]
    fn severities_have_numbers_and_names() {
        assert_eq!(params("s=13").severity("s").unwrap(), Some(13));
        assert_eq!(params("s=warn").severity("s").unwrap(), Some(13));
        assert_eq!(params("s=ERROR2").severity("s").unwrap(), Some(18));
        assert!(params("s=25").severity("s").is_err());
        assert!(params("s=loud").severity("s").is_err());
    }
}
