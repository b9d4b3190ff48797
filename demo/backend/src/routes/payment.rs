//! `/process-payment`: validate the card, charge it, write the receipt.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ebpf_demo_service::reply::Problem;
use serde_json::json;
use tracing::{error, info};

use crate::{
    order_body::OrderBody,
    shop::{Shop, cents},
};

/// Answers 200 with a receipt, or 402 where the simulated gateway declines.
pub async fn process(State(shop): State<Arc<Shop>>, body: OrderBody) -> Result<Response, Problem> {
    let amount = cents(body.amount("amount", 0.0)?);
    info!(amount, "Processing payment");
    shop.dice.work(0.03..0.06).await;
    info!("Card validated");
    shop.dice.work(0.1..0.25).await;

    if !shop.dice.chance(shop.chances.payment_accepted) {
        error!(amount, "Payment declined by gateway");
        let declined = json!({"success": false, "error": "Payment declined"});
        return Ok((StatusCode::PAYMENT_REQUIRED, Json(declined)).into_response());
    }
    let receipt_id = shop.dice.between(10_000..=99_999);
    info!(amount, receipt_id, "Payment processed successfully");
    shop.dice.work(0.02..0.04).await;
    Ok(Json(json!({"success": true, "receipt_id": receipt_id, "amount": amount})).into_response())
}
