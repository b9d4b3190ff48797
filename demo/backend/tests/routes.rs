//! The router without a server: statuses, shapes and branches.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode, header::CONTENT_TYPE},
};
use ebpf_backend::{
    routes::router,
    shop::{Chances, Shop},
};
use ebpf_demo_service::dice::Dice;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

fn shop(in_stock: f64, payment_accepted: f64) -> Router {
    router(Arc::new(Shop {
        dice: Dice::seeded(1).with_pace(0.0),
        chances: Chances { in_stock, payment_accepted },
    }))
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let status = response.status();
    let body = response.into_body().collect().await.expect("body").to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON answer"))
}

async fn post(router: &Router, path: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    send(router, request.body(Body::from(body.to_owned())).expect("request")).await
}

#[tokio::test]
async fn inventory_answers_in_both_branches() {
    for (in_stock, available) in [(1.0, true), (0.0, false)] {
        let answer = post(&shop(in_stock, 1.0), "/check-inventory", r#"{"items": 3}"#).await;
        assert_eq!(answer, (StatusCode::OK, json!({"available": available, "checked_items": 3})));
    }
    let (_, body) = post(&shop(1.0, 1.0), "/check-inventory", "{}").await;
    assert_eq!(body["checked_items"], 1);
}

#[tokio::test]
async fn prices_add_up_whatever_the_discount() {
    let router = shop(1.0, 1.0);
    let mut rates = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let (status, body) = post(&router, "/calculate-price", r#"{"items": 2, "base_price": 100}"#).await;
        assert_eq!(status, StatusCode::OK);
        let part = |name: &str| body[name].as_f64().expect("number");
        assert_eq!(part("base_price"), 100.0);
        assert!((part("total") - (100.0 - part("discount")) * 1.08).abs() < 0.005, "{body}");
        assert!((part("tax") - (100.0 - part("discount")) * 0.08).abs() < 0.005, "{body}");
        rates.insert(body["discount"].to_string());
    }
    assert_eq!(rates.into_iter().collect::<Vec<_>>(), ["0.0", "10.0", "15.0", "20.0"]);
}

#[tokio::test]
async fn prices_default_to_fifty() {
    let (_, body) = post(&shop(1.0, 1.0), "/calculate-price", "{}").await;
    assert_eq!(body["base_price"], 50.0);
}

#[tokio::test]
async fn an_accepted_payment_has_a_receipt() {
    let (status, body) = post(&shop(1.0, 1.0), "/process-payment", r#"{"amount": 12.345}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&body["success"], &body["amount"]), (&json!(true), &json!(12.35)));
    assert!((10_000..=99_999).contains(&body["receipt_id"].as_u64().expect("receipt")));
}

#[tokio::test]
async fn a_declined_payment_is_402() {
    let answer = post(&shop(1.0, 0.0), "/process-payment", r#"{"amount": 5}"#).await;
    let expected = json!({"success": false, "error": "Payment declined"});
    assert_eq!(answer, (StatusCode::PAYMENT_REQUIRED, expected));
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said() {
    let router = shop(1.0, 1.0);
    for (path, body, expected) in [
        ("/check-inventory", "{", "malformed JSON: EOF while parsing an object at line 1 column 1"),
        ("/check-inventory", "[3]", "expected a JSON object, got an array"),
        ("/check-inventory", "null", "expected a JSON object, got null"),
        (
            "/check-inventory",
            r#"{"items": "3"}"#,
            r#"field "items": expected a whole number from 0 to 4294967295, got a string"#,
        ),
        (
            "/check-inventory",
            r#"{"items": -1}"#,
            r#"field "items": expected a whole number from 0 to 4294967295, got -1"#,
        ),
        (
            "/calculate-price",
            r#"{"items": 1.5}"#,
            r#"field "items": expected a whole number from 0 to 4294967295, got 1.5"#,
        ),
        (
            "/calculate-price",
            r#"{"base_price": true}"#,
            r#"field "base_price": expected a number from 0 to 1000000000, got true"#,
        ),
        (
            "/process-payment",
            r#"{"amount": null}"#,
            r#"field "amount": expected a number from 0 to 1000000000, got null"#,
        ),
        (
            "/process-payment",
            r#"{"amount": 1e999}"#,
            "malformed JSON: number out of range at line 1 column 16",
        ),
    ] {
        let answer = post(&router, path, body).await;
        assert_eq!(answer, (StatusCode::BAD_REQUEST, json!({"error": expected})), "{path} {body}");
    }
}

#[tokio::test]
async fn health_unknown_paths_and_methods_answer_in_json() {
    let router = shop(1.0, 1.0);
    for (request, status, body) in [
        (Request::get("/health"), 200, json!({"status": "healthy", "service": "backend"})),
        (Request::get("/nowhere"), 404, json!({"error": "no such path: /nowhere"})),
        (
            Request::get("/check-inventory"),
            405,
            json!({"error": "method GET is not allowed on /check-inventory"}),
        ),
        (
            Request::post("/check-inventory"),
            415,
            json!({"error": "expected a body with content-type: application/json"}),
        ),
    ] {
        let answer = send(&router, request.body(Body::empty()).expect("request")).await;
        assert_eq!(answer, (StatusCode::from_u16(status).expect("status"), body));
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413() {
    let long = format!("{{\"items\": 1, \"note\": \"{}\"}}", "x".repeat(3 << 20));
    let (status, body) = post(&shop(1.0, 1.0), "/check-inventory", &long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(body["error"].is_string());
}
