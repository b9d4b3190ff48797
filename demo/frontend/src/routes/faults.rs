//! Routes that fail, each in its own way.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use ebpf_demo_service::reply::Problem;
use tracing::{error, info, warn};

use crate::app::App;

/// The failures of `/server-error`: status, log message, answer.
const SERVER_ERRORS: [(StatusCode, &str, &str); 4] = [
    (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error", "Internal server error"),
    (StatusCode::BAD_GATEWAY, "Bad gateway", "Bad gateway - upstream service failed"),
    (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", "Service temporarily unavailable"),
    (StatusCode::GATEWAY_TIMEOUT, "Gateway timeout", "Gateway timeout"),
];

/// An error that no handler deals with.
#[derive(Debug, thiserror::Error)]
#[error("simulated error for testing")]
pub struct SimulatedError;

impl IntoResponse for SimulatedError {
    fn into_response(self) -> Response {
        error!("exception.type" = "SimulatedError", "exception.message" = %self, "Unhandled error in a request");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error").into_response()
    }
}

/// `/error`: 500, by an answer that says so or by an error that nobody handles.
pub async fn error(State(app): State<Arc<App>>) -> Result<Problem, SimulatedError> {
    app.metrics.error("intentional");
    error!("Error endpoint called: simulating failure");
    if app.dice.chance(app.chances.unhandled_error) {
        error!("Raising an error");
        return Err(SimulatedError);
    }
    warn!("Returning error response");
    Ok(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong"))
}

/// `/not-found`: 404.
pub async fn not_found(State(app): State<Arc<App>>) -> Problem {
    app.metrics.error("not_found");
    warn!("Resource not found");
    Problem::new(StatusCode::NOT_FOUND, "Resource not found")
}

/// `/unauthorized`: 401.
pub async fn unauthorized(State(app): State<Arc<App>>) -> Problem {
    app.metrics.error("unauthorized");
    warn!("Unauthorized access attempt");
    Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized - please login")
}

/// `/rate-limit`: 429.
pub async fn rate_limit(State(app): State<Arc<App>>) -> Problem {
    app.metrics.error("rate_limit");
    warn!("Rate limit exceeded");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later")
}

/// `/redirect`: 302 to `/`.
pub async fn redirect() -> impl IntoResponse {
    info!("Redirecting to home");
    (StatusCode::FOUND, [(LOCATION, "/")])
}

/// `/server-error`: 500, 502, 503 or 504, each as likely as the next.
pub async fn server_error(State(app): State<Arc<App>>) -> Problem {
    app.metrics.error("server_error");
    let (status, event, answer) = app.dice.pick(&SERVER_ERRORS);
    error!(status = status.as_u16(), "{event}");
    Problem::new(status, answer)
}
