//! Telemetry in, as OTLP/JSON.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Context;
use super::params::Params;
use super::problem::Problem;

/// `POST /api/import`
pub(super) async fn import(State(context): State<Context>, request: Request) -> Result<Response, Problem> {
    Params::of(request.uri())?.finish()?;
    // Pages of other sites cannot send this type without asking first.
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content type: use application/json"));
    }
    match context.receiver.import(request.into_body()).await {
        Ok(imported) => Ok(Json(json!({
            "spans": imported.spans, "logs": imported.logs, "metric_points": imported.metric_points,
            "rejected": imported.rejected,
        }))
        .into_response()),
        Err(refused) => {
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = Problem::new(status, refused.reason).into_response();
            if let Some(seconds) = refused.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(response)
        }
    }
}
