//! Refusals as OTLP's clients expect them: `google.rpc.Status`, with a retry delay where sending again makes sense.

use prost::Message;
use tonic::Code;

use super::Refusal;

/// `google.rpc.Status` (googleapis, google/rpc/status.proto).
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<AnyMessage>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyMessage {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `google.rpc.RetryInfo` (googleapis, google/rpc/error_details.proto).
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// Seconds after which a refused client may try again.
pub(super) const RETRY_SECONDS: i64 = 1;

impl Refusal {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::TooLarge(_) | Self::TooMany(_) => Code::InvalidArgument,
            Self::Unsupported(_) => Code::Unimplemented,
            Self::Overloaded => Code::ResourceExhausted,
            Self::Unavailable(_) => Code::Unavailable,
        }
    }

    pub(super) fn http_status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooLarge(_) | Self::TooMany(_) => 413,
            Self::Unsupported(_) => 415,
            Self::Overloaded => 429,
            Self::Unavailable(_) => 503,
        }
    }

    /// Whether the same request may succeed later.
    pub(super) fn retryable(&self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable(_))
    }

    pub(super) fn rpc_status(&self) -> RpcStatus {
        let mut details = Vec::new();
        if self.retryable() {
            // Without it, clients take RESOURCE_EXHAUSTED as final (OTLP specification, "OTLP/gRPC Throttling").
            let value = RetryInfo { retry_delay: Some(Delay { seconds: RETRY_SECONDS }) }.encode_to_vec();
            details.push(AnyMessage { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value });
        }
        RpcStatus { code: self.code() as i32, message: self.to_string(), details }
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        let details = refusal.rpc_status().encode_to_vec();
        Self::with_details(refusal.code(), refusal.to_string(), details.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn only_what_may_succeed_later_carries_a_retry_delay() {
        let status = tonic::Status::from(Refusal::Overloaded);
        assert_eq!(status.code(), Code::ResourceExhausted);
        let details = RpcStatus::decode(status.details()).unwrap();
        let retry = RetryInfo::decode(details.details[0].value.as_slice()).unwrap();
        assert_eq!(retry.retry_delay, Some(Delay { seconds: RETRY_SECONDS }));
        assert!(Refusal::Malformed("x".into()).rpc_status().details.is_empty());
        assert!(!Refusal::TooLarge(1).retryable());
        assert!(Refusal::Unavailable("x".into()).retryable());
    }
}
