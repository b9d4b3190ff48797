//! `/process-order`: three calls to the backend and work of its own between them.

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tracing::{error, info, warn};

use super::ended;
use crate::{
    app::App,
    backend::{BackendError, Payment},
};

/// An order as it comes in; chance decides what is ordered.
#[derive(Debug, Clone, Copy)]
struct Order {
    order_id: u32,
    customer_id: u32,
    item_count: u32,
    base_price: f64,
}

/// How an order ended.
#[derive(Debug, Clone, Copy)]
enum End {
    Completed { total: f64, receipt_id: u64 },
    OutOfStock,
    Declined,
}

/// Answers 200 with a receipt, 409 where the items are out of stock, 402 where the payment is declined and 503 where
/// the backend gives no usable answer.
pub async fn process(State(app): State<Arc<App>>) -> Response {
    let order = place(&app);
    match fulfil(&app, order).await {
        Ok(End::Completed { total, receipt_id }) => completed(&app, order, total, receipt_id),
        Ok(End::OutOfStock) => {
            app.metrics.order("out_of_stock");
            failed(order, StatusCode::CONFLICT, "Items out of stock")
        }
        Ok(End::Declined) => {
            error!(order_id = order.order_id, "Payment declined");
            app.metrics.order("declined");
            app.metrics.error("payment_declined");
            failed(order, StatusCode::PAYMENT_REQUIRED, "Payment was declined")
        }
        Err(problem) => {
            error!(order_id = order.order_id, error = %problem, "Backend service error");
            app.metrics.order("error");
            app.metrics.error("backend_error");
            unavailable(order)
        }
    }
}

fn place(app: &App) -> Order {
    let item_count = app.dice.between(1..=5);
    let order = Order {
        order_id: app.dice.between(1_000..=9_999),
        customer_id: app.dice.between(100..=999),
        item_count,
        base_price: app.dice.between(10.0..=100.0) * f64::from(item_count),
    };
    let Order { order_id, customer_id, .. } = order;
    info!(order_id, customer_id, item_count, operation = "order_start", "Processing order");
    order
}

async fn fulfil(app: &App, order: Order) -> Result<End, BackendError> {
    let Order { order_id, customer_id, item_count, base_price } = order;
    info!(order_id, step = "validation", "Validating order");
    app.dice.work(0.02..0.05).await;
    info!(order_id, step = "validation", "Order validation successful");

    info!(item_count, step = "inventory_check", "Checking inventory");
    if !queued(app, app.backend.in_stock(item_count)).await? {
        warn!(item_count, reason = "out_of_stock", "Items not available");
        return Ok(End::OutOfStock);
    }
    info!(item_count, status = "available", "Inventory check complete");

    info!(item_count, base_price = cents(base_price), "Calculating order pricing");
    let total = queued(app, app.backend.price(item_count, base_price)).await?;
    info!(total_price = cents(total), step = "pricing", "Pricing calculation complete");

    info!(item_count, step = "reservation", "Reserving inventory");
    app.dice.work(0.06..0.1).await;
    info!(item_count, "Inventory reserved");

    info!(amount = cents(total), step = "payment", "Processing payment");
    let Payment::Accepted { receipt_id } = queued(app, app.backend.pay(total)).await? else {
        return Ok(End::Declined);
    };
    info!(receipt_id, "Payment successful");
    info!(customer_id, "Sending confirmation to customer");
    app.dice.work(0.04..0.08).await;
    info!(customer_id, "Confirmation sent");
    info!(order_id, "Order completed successfully");
    Ok(End::Completed { total, receipt_id })
}

/// Counts the order as waiting while the backend is asked.
async fn queued<T>(app: &App, call: impl Future<Output = T>) -> T {
    let _waiting = app.metrics.waiting();
    call.await
}

fn completed(app: &App, order: Order, total: f64, receipt_id: u64) -> Response {
    app.metrics.order("success");
    app.metrics.order_value(total);
    let body = json!({
        "status": "success",
        "order_id": order.order_id,
        "customer_id": order.customer_id,
        "items": order.item_count,
        "total": cents(total),
        "receipt_id": receipt_id,
        "message": "Order processed successfully",
    });
    (ended("success"), Json(body)).into_response()
}

fn failed(order: Order, status: StatusCode, message: &str) -> Response {
    let body = json!({"status": "failed", "order_id": order.order_id, "message": message});
    (status, ended("failed"), Json(body)).into_response()
}

fn unavailable(order: Order) -> Response {
    let message = "Service temporarily unavailable";
    let body = json!({"status": "error", "order_id": order.order_id, "message": message});
    (StatusCode::SERVICE_UNAVAILABLE, ended("error"), Json(body)).into_response()
}

fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}
