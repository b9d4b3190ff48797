//! Answers that both services give in the same shape.

use axum::{
    Json, Router,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// A refusal: a status and `{"error": message}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The response's status.
    pub status: StatusCode,
    /// The text under `error`.
    pub message: String,
}

impl Problem {
    /// Makes a refusal.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Makes a refusal of what the client sent: 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.message}))).into_response()
    }
}

/// Answers `/health`.
pub fn healthy(service: &str) -> Json<serde_json::Value> {
    Json(json!({"status": "healthy", "service": service}))
}

/// Adds JSON answers for paths (404) and methods (405) that the router does not know.
pub fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(|uri: Uri| async move {
            Problem::new(StatusCode::NOT_FOUND, format!("no such path: {}", uri.path()))
        })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let message = format!("method {method} is not allowed on {}", uri.path());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, message)
        })
}
