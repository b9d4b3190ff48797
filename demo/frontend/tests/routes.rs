//! The router without a server, with a real backend behind it: statuses, shapes, branches, metrics.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use ebpf_demo_service::dice::Dice;
use ebpf_frontend::{
    app::{App, Chances},
    backend::Backend,
    metrics::Metrics,
    routes::router,
};
use http_body_util::BodyExt;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, SdkMeterProvider,
    data::{AggregatedMetrics, MetricData},
};
use reqwest::Url;
use serde_json::{Value, json};
use support::{RunningBackend, serve, unused_address, url};
use tower::ServiceExt;

struct Frontend {
    router: Router,
    meters: SdkMeterProvider,
    exported: InMemoryMetricExporter,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Frontend {
    fn new(backend: Url, unhandled_error: f64) -> Self {
        let exported = InMemoryMetricExporter::default();
        let meters = SdkMeterProvider::builder().with_periodic_exporter(exported.clone()).build();
        let dice = Arc::new(Dice::seeded(2).with_pace(0.0));
        let app = App {
            metrics: Metrics::new(&meters.meter("test"), Arc::clone(&dice)),
            dice,
            backend: Backend::new(backend).expect("client"),
            chances: Chances { unhandled_error },
            auto_traffic: false,
        };
        Self { router: router(Arc::new(app)), meters, exported }
    }

    /// Makes a frontend whose backend is never asked.
    fn alone() -> Self {
        Self::new("http://127.0.0.1:1/".parse().expect("URL"), 0.5)
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("body").to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("JSON") };
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).expect("request")).await
    }

    /// Collects all sums of whole numbers, by name and attributes.
    fn sums(&self) -> BTreeMap<String, i64> {
        self.meters.force_flush().expect("flush");
        let mut sums = BTreeMap::new();
        let exports = self.exported.get_finished_metrics().expect("metrics");
        let last = exports.last().expect("one export");
        for metric in last.scope_metrics().flat_map(|scope| scope.metrics()) {
            let mut add = |attributes: Vec<String>, value| {
                sums.insert(format!("{}{{{}}}", metric.name(), attributes.join(",")), value);
            };
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                    for point in sum.data_points() {
                        add(attributes(point.attributes()), i64::try_from(point.value()).expect("small"));
                    }
                }
                AggregatedMetrics::I64(MetricData::Sum(sum)) => {
                    for point in sum.data_points() {
                        add(attributes(point.attributes()), point.value());
                    }
                }
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    for point in histogram.data_points() {
                        add(attributes(point.attributes()), i64::try_from(point.count()).expect("small"));
                    }
                }
                _ => {}
            }
        }
        sums
    }
}

fn attributes<'a>(attributes: impl Iterator<Item = &'a opentelemetry::KeyValue>) -> Vec<String> {
    let mut list: Vec<_> = attributes.map(|pair| format!("{}={}", pair.key, pair.value)).collect();
    list.sort();
    list
}

#[tokio::test]
async fn simple_routes_have_their_status_and_shape() {
    let frontend = Frontend::alone();
    for (path, status, body) in [
        ("/health", 200, json!({"status": "healthy", "service": "frontend"})),
        ("/not-found", 404, json!({"error": "Resource not found"})),
        ("/unauthorized", 401, json!({"error": "Unauthorized - please login"})),
        ("/rate-limit", 429, json!({"error": "Too many requests, please try again later"})),
        ("/nowhere", 404, json!({"error": "no such path: /nowhere"})),
    ] {
        let answer = frontend.get(path).await;
        assert_eq!((answer.status, answer.body), (status, body), "{path}");
    }
    let redirect = frontend.get("/redirect").await;
    assert_eq!((redirect.status, &redirect.headers[header::LOCATION]), (302, &"/".parse().expect("value")));
}

#[tokio::test]
async fn home_lists_routes_that_exist() {
    let frontend = Frontend::alone();
    let home = frontend.get("/").await;
    assert_eq!((home.status, &home.body["auto_traffic"]), (200, &json!("disabled")));
    let endpoints = home.body["endpoints"].as_array().expect("a list");
    assert_eq!(endpoints.len(), 11);
    for path in endpoints {
        let answer = frontend.get(path.as_str().expect("text")).await;
        assert_ne!(answer.body["error"], json!(format!("no such path: {}", path.as_str().expect("text"))));
    }
}

#[tokio::test]
async fn work_routes_answer_what_they_computed() {
    let frontend = Frontend::alone();
    let hello = frontend.get("/hello").await.body;
    let name = hello["message"].as_str().and_then(|text| text.strip_prefix("Hello, ")?.strip_suffix('!'));
    assert!(["Alice", "Bob", "Charlie", "Diana"].contains(&name.expect("a greeting")));
    assert!(hello["timestamp"].as_f64().expect("seconds") > 1.6e9);

    let sum = frontend.get("/calculate").await.body;
    let part = |name: &str| sum[name].as_i64().expect("whole number");
    assert_eq!((&sum["operation"], part("result")), (&json!("addition"), part("a") + part("b")));
}

#[tokio::test]
async fn an_error_is_answered_in_both_ways() {
    for (unhandled, message) in [(0.0, "Something went wrong"), (1.0, "Internal server error")] {
        let frontend = Frontend::new("http://127.0.0.1:1/".parse().expect("URL"), unhandled);
        let answer = frontend.get("/error").await;
        assert_eq!((answer.status, answer.body), (500, json!({"error": message})));
    }
}

#[tokio::test]
async fn server_errors_come_in_four_kinds() {
    let frontend = Frontend::alone();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let answer = frontend.get("/server-error").await;
        seen.insert((answer.status, answer.body["error"].as_str().expect("text").to_owned()));
    }
    let expected = [
        (500, "Internal server error"),
        (502, "Bad gateway - upstream service failed"),
        (503, "Service temporarily unavailable"),
        (504, "Gateway timeout"),
    ];
    assert_eq!(seen, expected.map(|(status, text)| (status, text.to_owned())).into());
}

#[tokio::test]
async fn a_malformed_json_body_is_400_on_every_route() {
    let frontend = Frontend::alone();
    let request = |body: &'static str| {
        let request = Request::get("/").header(header::CONTENT_TYPE, "application/json");
        request.body(Body::from(body)).expect("request")
    };
    let refused = frontend.send(request("{\"a\":")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body["error"].as_str().expect("text").starts_with("malformed JSON: "));
    assert_eq!(frontend.send(request("{\"a\": 1}")).await.status, 200);
    assert_eq!(frontend.send(request("")).await.status, 200);
}

#[tokio::test]
async fn another_method_is_405_and_not_counted() {
    let frontend = Frontend::alone();
    let answer = frontend.send(Request::post("/hello").body(Body::empty()).expect("request")).await;
    assert_eq!((answer.status, answer.body), (405, json!({"error": "method POST is not allowed on /hello"})));
    assert_eq!(frontend.send(Request::head("/").body(Body::empty()).expect("request")).await.status, 200);
    let counted: Vec<_> =
        frontend.sums().into_iter().filter(|(name, _)| name.starts_with("frontend.requests.total")).collect();
    assert_eq!(counted, [("frontend.requests.total{endpoint=home,method=HEAD}".to_owned(), 1)]);
}

#[tokio::test]
async fn a_good_order_is_completed() {
    let backend = RunningBackend::start(1.0, 1.0).await;
    let frontend = Frontend::new(backend.url(), 0.5);
    let answer = frontend.get("/process-order").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let body = &answer.body;
    let number = |name: &str| body[name].as_u64().expect("whole number");
    assert_eq!(
        (&body["status"], &body["message"]),
        (&json!("success"), &json!("Order processed successfully"))
    );
    assert!((1_000..=9_999).contains(&number("order_id")) && (100..=999).contains(&number("customer_id")));
    assert!((1..=5).contains(&number("items")) && (10_000..=99_999).contains(&number("receipt_id")));
    assert!((8.0..=540.0).contains(&body["total"].as_f64().expect("number")));

    let sums = frontend.sums();
    for (name, value) in [
        ("frontend.requests.total{endpoint=process_order,method=GET}", 1),
        ("frontend.orders.total{status=success}", 1),
        ("frontend.order.value{status=success}", 1),
        ("frontend.response.duration{endpoint=process_order,status=success}", 1),
        ("frontend.requests.active{}", 0),
    ] {
        assert_eq!(sums.get(name), Some(&value), "{name} in {sums:?}");
    }
}

#[tokio::test]
async fn orders_fail_in_three_ways() {
    let (stocked_out, declining) =
        (RunningBackend::start(0.0, 1.0).await, RunningBackend::start(1.0, 0.0).await);
    let down = url(unused_address().await);
    for (backend, status, word, message, order, outcome, error) in [
        (stocked_out.url(), 409, "failed", "Items out of stock", "out_of_stock", "failed", None),
        (
            declining.url(),
            402,
            "failed",
            "Payment was declined",
            "declined",
            "failed",
            Some("payment_declined"),
        ),
        (down, 503, "error", "Service temporarily unavailable", "error", "error", Some("backend_error")),
    ] {
        let frontend = Frontend::new(backend, 0.5);
        let answer = frontend.get("/process-order").await;
        assert_eq!(answer.status, status);
        assert_eq!((&answer.body["status"], &answer.body["message"]), (&json!(word), &json!(message)));
        assert!(answer.body["order_id"].is_u64());
        let sums = frontend.sums();
        assert_eq!(sums.get(&format!("frontend.orders.total{{status={order}}}")), Some(&1), "{sums:?}");
        let duration = format!("frontend.response.duration{{endpoint=process_order,status={outcome}}}");
        assert_eq!(sums.get(&duration), Some(&1), "{sums:?}");
        let errors: Vec<_> = sums.keys().filter(|name| name.starts_with("frontend.errors.total")).collect();
        let expected: Vec<_> =
            error.iter().map(|kind| format!("frontend.errors.total{{type={kind}}}")).collect();
        assert_eq!(errors, expected.iter().collect::<Vec<_>>());
        assert_eq!(sums["frontend.requests.active{}"], 0);
    }
}

#[tokio::test]
async fn a_backend_that_answers_something_else_is_unavailable() {
    let odd = Router::new().fallback(|| async { "not JSON" });
    let failing = Router::new().fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR });
    for router in [odd, failing] {
        let frontend = Frontend::new(url(serve(router).await), 0.5);
        assert_eq!(frontend.get("/process-order").await.status, 503);
    }
}

#[tokio::test]
async fn calls_to_the_backend_carry_no_trace_context() {
    let backend = RunningBackend::start(1.0, 1.0).await;
    Frontend::new(backend.url(), 0.5).get("/process-order").await;
    let calls = backend.headers.lock().expect("no panic").clone();
    assert_eq!(calls.len(), 3);
    for headers in calls {
        let names: BTreeSet<_> = headers.keys().map(header::HeaderName::as_str).collect();
        let plain = ["accept", "content-length", "content-type", "host", "user-agent"];
        assert_eq!(names, BTreeSet::from(plain), "nothing but plain HTTP");
    }
}

#[tokio::test]
async fn failures_are_counted_by_type() {
    let frontend = Frontend::alone();
    for path in ["/error", "/not-found", "/unauthorized", "/rate-limit", "/server-error"] {
        frontend.get(path).await;
    }
    let sums = frontend.sums();
    for kind in ["intentional", "not_found", "unauthorized", "rate_limit", "server_error"] {
        assert_eq!(sums.get(&format!("frontend.errors.total{{type={kind}}}")), Some(&1), "{sums:?}");
    }
}
