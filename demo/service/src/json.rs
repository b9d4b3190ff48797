//! Request bodies that have to be JSON.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::reply::Problem;

/// Reads a request's body as JSON.
///
/// # Errors
/// 415 where the content type is not JSON, 413 where the body is longer than axum's limit, 400 where it is malformed.
pub async fn read(request: Request) -> Result<Value, Problem> {
    if !is_json(request.headers()) {
        let message = "expected a body with content-type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    parse(&bytes(request).await?)
}

/// Middleware for routes that take no body: a body that says it is JSON and is not gets 400.
pub async fn refuse_malformed(request: Request, next: Next) -> Response {
    if !is_json(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let checked = match bytes(Request::new(body)).await {
        Ok(body) if body.is_empty() => Ok(body),
        Ok(body) => parse(&body).map(|_| body),
        Err(problem) => Err(problem),
    };
    match checked {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(problem) => problem.into_response(),
    }
}

async fn bytes(request: Request) -> Result<Bytes, Problem> {
    let body = Bytes::from_request(request, &()).await;
    body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))
}

fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("malformed JSON: {error}")))
}

/// Whether the content type is `application/json` or has the suffix `+json` (RFC 6839 section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content_type: &str, body: &'static str) -> Request {
        let builder = Request::builder().header(CONTENT_TYPE, content_type);
        builder.body(Body::from(body)).expect("valid request")
    }

    #[tokio::test]
    async fn bodies_are_accepted_or_refused_with_a_fitting_status() {
        for (name, content_type, body, expected) in [
            ("plain", "application/json", "{}", Ok(())),
            ("charset", "Application/JSON; charset=utf-8", "[1]", Ok(())),
            ("suffix", "application/vnd.order+json", "1", Ok(())),
            ("form", "application/x-www-form-urlencoded", "{}", Err(415)),
            ("cut", "application/json", "{\"items\":", Err(400)),
            ("empty", "application/json", "", Err(400)),
            ("trailing", "application/json", "{} {}", Err(400)),
            ("deep", "application/json", DEEP, Err(400)),
        ] {
            let result = read(request(content_type, body)).await;
            let result = result.map(|_| ()).map_err(|problem| problem.status.as_u16());
            assert_eq!(result, expected, "{name}");
        }
    }

    /// Deeper than serde_json's limit of 128.
    const DEEP: &str = concat!(
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
    );
}
