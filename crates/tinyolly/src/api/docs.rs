//! `GET /docs`: the OpenAPI document as a page. It works offline, and runs no inline script.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The page and its two files.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    const FILES: [(&str, &str, &str); 3] = [
        ("/docs", "text/html; charset=utf-8", include_str!("docs/docs.html")),
        ("/docs/docs.css", "text/css; charset=utf-8", include_str!("docs/docs.css")),
        ("/docs/docs.js", "text/javascript; charset=utf-8", include_str!("docs/docs.js")),
    ];
    FILES.into_iter().fold(Router::new(), |router, (path, media_type, text)| {
        router.route(path, get(async move || file(media_type, text)))
    })
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, text).into_response()
}
