//! Replaces what a URL's query gives away.

use std::borrow::Cow;

/// Stands for every value that is withheld.
pub const REDACTED: &str = "REDACTED";

/// Parameters whose values the OpenTelemetry semantic conventions want withheld (`url.query`; 1.44 and, for the first
/// two, earlier versions): they sign or authorise requests to object stores.
const CONVENTIONAL: [&str; 7] = [
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "sig",
    "X-Goog-Signature",
];

/// Parameters that carry credentials by common usage: OAuth 2.0 (RFC 6749, RFC 6750), OpenID Connect, SAML, API keys.
const CUSTOMARY: [&str; 35] = [
    "access_key",
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "auth_token",
    "authorization",
    "client_assertion",
    "client_secret",
    "code",
    "credential",
    "credentials",
    "csrf_token",
    "id_token",
    "jwt",
    "key",
    "otp",
    "passphrase",
    "passwd",
    "password",
    "private_token",
    "pwd",
    "refresh_token",
    "SAMLRequest",
    "SAMLResponse",
    "secret",
    "secret_key",
    "session_id",
    "session_token",
    "sessionid",
    "token",
    "x-api-key",
    "X-Goog-Credential",
];

/// Knows which query parameters are sensitive.
///
/// Names are compared without regard to case, hyphens and underscores (`accessToken` is `access_token`), and after
/// percent-decoding: the conventions ask for exact case only to
/// keep a harmless namesake readable, and a leaked `Token=` would be worse than that.
#[derive(Clone, Debug)]
pub struct Redactor {
    names: Vec<String>,
}

impl Default for Redactor {
    /// Knows the parameters of the semantic conventions and those that carry credentials by common usage.
    fn default() -> Self {
        Redactor::exactly(CONVENTIONAL.into_iter().chain(CUSTOMARY))
    }
}

impl Redactor {
    /// Knows these parameters and no others.
    pub fn exactly<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Redactor { names: names.into_iter().map(Into::into).collect() }
    }

    /// Withholds the values of one more parameter.
    pub fn add(&mut self, name: &str) {
        if !self.is_sensitive(name) {
            self.names.push(name.to_owned());
        }
    }

    /// Lets the values of a parameter through.
    pub fn remove(&mut self, name: &str) {
        self.names.retain(|known| !same_name(known.as_bytes(), name.as_bytes()));
    }

    /// Tells whether the values of the parameter are withheld.
    pub fn is_sensitive(&self, name: &str) -> bool {
        let name = percent_decoded(name);
        self.names.iter().any(|known| same_name(known.as_bytes(), &name))
    }

    /// Returns a query with sensitive values replaced by [`REDACTED`]; names, order and separators stay.
    pub fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let mut redacted = String::new();
        let mut copied = 0;
        let mut at = 0;
        for pair in query.split_inclusive(['&', ';']) {
            let body = pair.trim_end_matches(['&', ';']);
            if let Some((name, value)) = body.split_once('=')
                && self.is_sensitive(name)
            {
                let value_start = at + name.len() + 1;
                redacted.push_str(&query[copied..value_start]);
                redacted.push_str(REDACTED);
                copied = value_start + value.len();
            }
            at += pair.len();
        }
        if copied == 0 {
            return Cow::Borrowed(query);
        }
        redacted.push_str(&query[copied..]);
        Cow::Owned(redacted)
    }
}

/// Whether two names differ at most in case, hyphens and underscores.
fn same_name(one: &[u8], other: &[u8]) -> bool {
    fn letters(name: &[u8]) -> impl Iterator<Item = u8> + '_ {
        name.iter().filter(|byte| !matches!(byte, b'-' | b'_')).map(u8::to_ascii_lowercase)
    }
    letters(one).eq(letters(other))
}

fn percent_decoded(name: &str) -> Cow<'_, [u8]> {
    let bytes = name.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_sensitive_values() {
        let cases = [
            ("nothing to hide", "q=OpenTelemetry&page=2", "q=OpenTelemetry&page=2"),
            ("empty", "", ""),
            ("conventional", "q=a&sig=abc", "q=a&sig=REDACTED"),
            ("first of several", "token=abc&q=a", "token=REDACTED&q=a"),
            ("all of them", "token=a&sig=b", "token=REDACTED&sig=REDACTED"),
            ("other case", "X-AMZ-SIGNATURE=1&Token=2", "X-AMZ-SIGNATURE=REDACTED&Token=REDACTED"),
            ("escaped name", "p%61ssword=x&a=b", "p%61ssword=REDACTED&a=b"),
            ("value with equals signs", "password=a=b==&c=d", "password=REDACTED&c=d"),
            ("empty value", "sig=&a=b", "sig=REDACTED&a=b"),
            ("no value", "sig&a=b", "sig&a=b"),
            ("semicolons", "a=b;api_key=k;c=d", "a=b;api_key=REDACTED;c=d"),
            ("only part of a name", "signal=5&mytokens=3", "signal=5&mytokens=3"),
            ("broken escape", "%=1&%4=2&sig=3", "%=1&%4=2&sig=REDACTED"),
            ("separators alone", "&&;", "&&;"),
            ("doubled separator", "sig=a&&b=c", "sig=REDACTED&&b=c"),
        ];
        for (name, query, want) in cases {
            assert_eq!(Redactor::default().query(query), want, "{name}");
        }
    }

    #[test]
    fn every_known_name_is_withheld() {
        for name in CONVENTIONAL.into_iter().chain(CUSTOMARY) {
            let query = format!("{name}=secret");
            assert_eq!(Redactor::default().query(&query), format!("{name}=REDACTED"));
        }
    }

    #[test]
    fn list_can_be_changed() {
        let mut redactor = Redactor::default();
        redactor.add("card");
        redactor.remove("TOKEN");
        assert_eq!(redactor.query("card=1&token=2"), "card=REDACTED&token=2");
        let only = Redactor::exactly(["q"]);
        assert_eq!(only.query("q=1&sig=2"), "q=REDACTED&sig=2");
    }
}
