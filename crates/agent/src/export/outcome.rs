//! What a failed export means: try again, or give it up.

use std::time::Duration;

use tonic::Code;

/// Whether what could not be exported is worth another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer: the collector is away or the connection broke. Worth any number of attempts.
    Unreachable,
    /// The collector answered that it cannot take the request now. Worth attempts for a while.
    Busy,
    /// The collector refuses this request and would refuse it again.
    Permanent,
    /// The collector does not take this signal at all, or not there.
    Unsupported,
}

/// An export that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct SendError {
    /// What to do about it.
    pub(super) failure: Failure,
    /// What happened, for the log.
    pub(super) message: String,
    /// How long the collector asks to be left alone.
    pub(super) delay: Option<Duration>,
}

/// What a gRPC code means (OTLP specification, "OTLP/gRPC Response / Failures"). `RESOURCE_EXHAUSTED` is worth another
/// attempt only with a `RetryInfo`, says the specification; as attempts after an answer are limited in any case, it is
/// taken so without.
pub(super) fn of_grpc(code: Code) -> Failure {
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::DataLoss
        | Code::Unavailable
        | Code::ResourceExhausted => Failure::Busy,
        Code::Unimplemented => Failure::Unsupported,
        _ => Failure::Permanent,
    }
}

/// What an HTTP status means (OTLP specification, "OTLP/HTTP Response / Failures").
pub(super) fn of_http(status: u16) -> Failure {
    match status {
        429 | 502 | 503 | 504 => Failure::Busy,
        404 | 405 | 501 => Failure::Unsupported,
        _ => Failure::Permanent,
    }
}
