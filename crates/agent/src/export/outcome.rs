//! What a failed export means: try again, or give the spans up.

use opentelemetry_sdk::error::OTelSdkError;

/// Whether spans that could not be exported are worth another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No answer: the collector is away or the connection broke. Worth any number of attempts.
    Unreachable,
    /// The collector answered that it cannot take the request now. Worth attempts for a while.
    Busy,
    /// The collector refuses this request and would refuse it again.
    Permanent,
}

/// gRPC codes after which OTLP asks for another attempt (OTLP specification, "OTLP/gRPC Response / Failures").
/// `RESOURCE_EXHAUSTED` is one only with a `RetryInfo`, which the library acts upon and does not pass on; as
/// attempts after an answer are limited in any case, it is taken for one.
const RETRYABLE_GRPC: [&str; 7] = [
    "Cancelled",
    "DeadlineExceeded",
    "Aborted",
    "OutOfRange",
    "DataLoss",
    "Unavailable",
    "ResourceExhausted",
];

/// Status codes after which OTLP asks for another attempt (OTLP specification, "OTLP/HTTP Response / Failures").
const RETRYABLE_HTTP: [&str; 4] = ["429", "502", "503", "504"];

/// Classifies an error of `opentelemetry-otlp`.
///
/// The SDK's error type carries text alone, so the code is found in it. The integration tests provoke each kind
/// with a real server, which pins the text of the pinned release. Text that is not recognised is permanent: a
/// batch that can never be delivered must not block the ones behind it.
pub(super) fn classify(error: &OTelSdkError) -> Failure {
    let text = match error {
        OTelSdkError::Timeout(_) => return Failure::Unreachable,
        OTelSdkError::AlreadyShutdown => return Failure::Permanent,
        OTelSdkError::InternalFailure(text) => text,
    };
    if let Some((_, code)) = text.split_once("gRPC code: ") {
        // A cause behind the code is appended only when the status was made by the local transport, so the
        // request broke on its way whatever the code says.
        if code.contains(':') {
            return Failure::Unreachable;
        }
        return answered(RETRYABLE_GRPC.contains(&code.trim()));
    }
    if let Some((_, code)) = text.split_once("status code: ") {
        return answered(RETRYABLE_HTTP.contains(&code.trim()));
    }
    if text.contains("network error") { Failure::Unreachable } else { Failure::Permanent }
}

fn answered(retryable: bool) -> Failure {
    if retryable { Failure::Busy } else { Failure::Permanent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_as_otlp_says() {
        let cases = [
            (
                "TonicTracesClient export failed with gRPC code: Unavailable: tcp connect error",
                Failure::Unreachable,
            ),
            ("TonicTracesClient export failed with gRPC code: Unavailable", Failure::Busy),
            (
                "TonicTracesClient export failed with gRPC code: Unknown: transport error",
                Failure::Unreachable,
            ),
            ("TonicTracesClient export failed with gRPC code: Unknown", Failure::Permanent),
            ("TonicTracesClient export failed with gRPC code: InvalidArgument", Failure::Permanent),
            ("TonicTracesClient export failed with gRPC code: Unauthenticated", Failure::Permanent),
            ("HTTP export failed with status code: 503", Failure::Busy),
            ("HTTP export failed with status code: 400", Failure::Permanent),
            ("HTTP export failed: network error", Failure::Unreachable),
            ("request body is 99 bytes, exceeding the configured limit", Failure::Permanent),
        ];
        for (text, expected) in cases {
            assert_eq!(classify(&OTelSdkError::InternalFailure(text.to_owned())), expected, "{text}");
        }
    }
}
