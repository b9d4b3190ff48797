//! The routes, by what they show; all but `/health` are counted and timed.

mod faults;
mod greeting;
mod order;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    handler::Handler,
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get},
};
use ebpf_demo_service::{
    json,
    reply::{healthy, with_fallbacks},
};

use crate::app::App;

/// What `/` lists.
const ENDPOINTS: [&str; 11] = [
    "/",
    "/hello",
    "/calculate",
    "/process-order",
    "/error",
    "/not-found",
    "/redirect",
    "/server-error",
    "/rate-limit",
    "/unauthorized",
    "/health",
];

/// How a request ended, where its endpoint can end in several ways; set on the response by the handler.
#[derive(Debug, Clone, Copy)]
struct Outcome(&'static str);

/// Builds the service's router.
pub fn router(app: Arc<App>) -> Router {
    let measured = Measured(&app);
    let routes = Router::new()
        .route("/", measured.get("home", greeting::home))
        .route("/hello", measured.get("hello", greeting::hello))
        .route("/calculate", measured.get("calculate", greeting::calculate))
        .route("/process-order", measured.get("process_order", order::process))
        .route("/error", measured.get("error", faults::error))
        .route("/not-found", measured.get("not_found", faults::not_found))
        .route("/redirect", measured.get("redirect", faults::redirect))
        .route("/server-error", measured.get("server_error", faults::server_error))
        .route("/rate-limit", measured.get("rate_limit", faults::rate_limit))
        .route("/unauthorized", measured.get("unauthorized", faults::unauthorized))
        .route("/health", get(|| async { healthy("frontend") }));
    with_fallbacks(routes).layer(middleware::from_fn(json::refuse_malformed)).with_state(app)
}

/// Makes routes that are counted and timed under a name.
struct Measured<'a>(&'a Arc<App>);

impl Measured<'_> {
    fn get<H, T>(&self, name: &'static str, handler: H) -> MethodRouter<Arc<App>>
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let endpoint = Endpoint { app: Arc::clone(self.0), name };
        get(handler).route_layer(middleware::from_fn_with_state(endpoint, measure))
    }
}

#[derive(Clone)]
struct Endpoint {
    app: Arc<App>,
    name: &'static str,
}

async fn measure(State(endpoint): State<Endpoint>, request: Request, next: Next) -> Response {
    let guard = endpoint.app.metrics.request(endpoint.name, request.method().to_string());
    let response = next.run(request).await;
    let outcome = response.extensions().get::<Outcome>();
    guard.finish(outcome.map(|outcome| outcome.0));
    response
}

/// Marks a response with how the request ended.
fn ended(outcome: &'static str) -> Extension<Outcome> {
    Extension(Outcome(outcome))
}
