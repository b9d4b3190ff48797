//! Routes that only do some work of their own.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{Json, extract::State};
use serde_json::{Value, json};
use tracing::info;

use super::ENDPOINTS;
use crate::app::App;

/// `/`: what there is.
pub async fn home(State(app): State<Arc<App>>) -> Json<Value> {
    info!("Home endpoint called");
    Json(json!({
        "message": "eBPF demo frontend",
        "endpoints": ENDPOINTS,
        "auto_traffic": if app.auto_traffic { "enabled" } else { "disabled" },
    }))
}

/// `/hello`: greets somebody.
pub async fn hello(State(app): State<Arc<App>>) -> Json<Value> {
    let name = app.dice.pick(&["Alice", "Bob", "Charlie", "Diana"]);
    info!(name, "Greeting user");
    app.dice.work(0.1..0.5).await;
    info!(name, "Completed greeting");
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    Json(json!({"message": format!("Hello, {name}!"), "timestamp": timestamp}))
}

/// `/calculate`: adds two numbers, slowly.
pub async fn calculate(State(app): State<Arc<App>>) -> Json<Value> {
    info!("Starting calculation");
    let (a, b) = (app.dice.between(1..=100), app.dice.between(1..=100));
    info!(a, b, "Calculating sum");
    app.dice.work(0.2..0.8).await;
    let result: i32 = a + b;
    info!(result, "Calculation complete");
    Json(json!({"operation": "addition", "a": a, "b": b, "result": result}))
}
