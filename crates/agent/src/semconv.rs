//! Attribute keys, as the pinned release of the semantic conventions spells them, and the few of our own.

pub use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, CLIENT_PORT, CONTAINER_ID, ERROR_TYPE, HOST_NAME, HTTP_REQUEST_BODY_SIZE,
    HTTP_REQUEST_METHOD, HTTP_REQUEST_METHOD_ORIGINAL, HTTP_RESPONSE_BODY_SIZE, HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE, K8S_DEPLOYMENT_NAME, K8S_NAMESPACE_NAME, K8S_POD_NAME, K8S_POD_UID, NETWORK_PEER_ADDRESS,
    NETWORK_PEER_PORT, NETWORK_PROTOCOL_VERSION, OS_TYPE, PROCESS_EXECUTABLE_NAME, PROCESS_EXECUTABLE_PATH,
    PROCESS_PID, SERVER_ADDRESS, SERVER_PORT, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE,
    SERVICE_VERSION, TELEMETRY_DISTRO_NAME, TELEMETRY_DISTRO_VERSION, TELEMETRY_SDK_LANGUAGE,
    TELEMETRY_SDK_NAME, TELEMETRY_SDK_VERSION, URL_FULL, URL_PATH, URL_QUERY, URL_SCHEME,
    USER_AGENT_ORIGINAL,
};

/// What a server span's start is: `arrival` (the first byte reached the socket) or `read` (the process read it, because
/// the arrival is not known).
pub const EBPF_START_SOURCE: &str = "ebpf.start.source";
/// True where the end of the response was inferred, not seen.
pub const EBPF_END_ESTIMATED: &str = "ebpf.end.estimated";
/// Names a request whose other end this agent did not see, as an agent that sees it would: TCP sequence number of the
/// request's first byte and of the response's, eight lower-case hexadecimal digits each.
pub const EBPF_LINK_ID: &str = "ebpf.link.id";
/// How the tap of the agent whose metrics these are is attached: `tracepoint` or `fexit`.
pub const EBPF_AGENT_TAP: &str = "ebpf.agent.tap";
/// Evidence for a span's parent: `header`, `tcp_seq`, `task`, `thread` or `sole`. A span without it begins a trace, or is part
/// of its parent.
pub const EBPF_LINK_SOURCE: &str = "ebpf.link.source";
