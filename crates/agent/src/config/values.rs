//! Settings that take one of a few words.

use std::fmt;
use std::str::FromStr;

/// Defines an enum that is written as one of a few words, case aside, with the list of them for error messages.
macro_rules! words {
    (
        $(#[$meta:meta])* $name:ident accepts $accepted:literal { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// The accepted words, for error messages.
            pub(crate) const ACCEPTED: &'static str = $accepted;

            /// The word that stands for the value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let text = text.trim();
                $(if text.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })+
                Err(())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// How much is logged, in OBI's words.
    LogLevel accepts "DEBUG, INFO, WARN or ERROR" {
        /// Per connection detail.
        Debug = "DEBUG",
        /// Lifecycle.
        Info = "INFO",
        /// Degraded service.
        Warn = "WARN",
        /// What needs a person.
        Error = "ERROR",
    }
}

words! {
    /// Whether and how spans are printed to standard output.
    TracePrinter accepts "disabled, text, json, json_indent or counter" {
        /// Nothing is printed.
        Disabled = "disabled",
        /// One line per request.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
        /// JSON over several lines.
        JsonIndent = "json_indent",
        /// A running count, once a second.
        Counter = "counter",
    }
}

words! {
    /// How the tap attaches to the kernel.
    TapChoice accepts "auto, tracepoint or fexit" {
        /// The tracepoints where the kernel has them, else fexit.
        Auto = "auto",
        /// `tp_btf/sock_send_length` and `tp_btf/sock_recv_length`, Linux 6.3 and later.
        Tracepoint = "tracepoint",
        /// `fexit/tcp_sendmsg` and `fexit/tcp_recvmsg`.
        Fexit = "fexit",
    }
}

words! {
    /// What the span of a request is named after when no configured pattern matches its path.
    Unmatched accepts "heuristic, low-cardinality, path, wildcard or unset" {
        /// The path with segments that look like identifiers replaced.
        Heuristic = "heuristic",
        /// Like `heuristic`, and segments that turn out to have many values are replaced too.
        LowCardinality = "low-cardinality",
        /// The raw path. Any number of span names may follow from this.
        Path = "path",
        /// The route `/**`.
        Wildcard = "wildcard",
        /// No route: the span is named after the method alone.
        Unset = "unset",
    }
}

words! {
    /// What happens to requests that match an ignored pattern.
    IgnoreMode accepts "all, traces or metrics" {
        /// They are left out of every signal.
        All = "all",
        /// They are left out of traces.
        Traces = "traces",
        /// They are left out of metrics.
        Metrics = "metrics",
    }
}

/// Reads a boolean in one of the forms Go's `strconv.ParseBool` accepts, since OBI reads them so.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case() {
        assert_eq!("info".parse(), Ok(LogLevel::Info));
        assert_eq!("JSON_INDENT".parse(), Ok(TracePrinter::JsonIndent));
        assert_eq!(" fexit ".parse(), Ok(TapChoice::Fexit));
        assert_eq!("verbose".parse::<LogLevel>(), Err(()));
    }

    #[test]
    fn booleans_are_those_of_go() {
        assert_eq!(parse_bool("true"), Some(true));
        assert_eq!(parse_bool("0"), Some(false));
        assert_eq!(parse_bool("yes"), None);
    }
}
