//! `/check-inventory`: are the items in stock?

use std::sync::Arc;

use axum::{Json, extract::State};
use ebpf_demo_service::reply::Problem;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::{order_body::OrderBody, shop::Shop};

/// Answers after a simulated query, and after a second one for alternatives where the items are not in stock.
pub async fn check(State(shop): State<Arc<Shop>>, body: OrderBody) -> Result<Json<Value>, Problem> {
    let item_count = body.items()?;
    info!(item_count, operation = "inventory_check", "Checking inventory");
    shop.dice.work(0.05..0.12).await;

    let available = shop.dice.chance(shop.chances.in_stock);
    if !available {
        warn!(item_count, status = "checking_alternatives", "Items out of stock");
        shop.dice.work(0.03..0.08).await;
    }
    let status = if available { "available" } else { "out_of_stock" };
    info!(item_count, available, status, "Inventory check complete");
    Ok(Json(json!({"available": available, "checked_items": item_count})))
}
