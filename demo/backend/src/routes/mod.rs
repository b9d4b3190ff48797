//! The routes, one module each.

mod inventory;
mod payment;
mod price;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};
use ebpf_demo_service::reply::{healthy, with_fallbacks};

use crate::shop::Shop;

/// Builds the service's router.
pub fn router(shop: Arc<Shop>) -> Router {
    let routes = Router::new()
        .route("/check-inventory", post(inventory::check))
        .route("/calculate-price", post(price::calculate))
        .route("/process-payment", post(payment::process))
        .route("/health", get(|| async { healthy("backend") }));
    with_fallbacks(routes).with_state(shop)
}
