//! `/calculate-price`: discount, then tax.

use std::sync::Arc;

use axum::{Json, extract::State};
use ebpf_demo_service::reply::Problem;
use serde_json::{Value, json};
use tracing::info;

use crate::{
    order_body::OrderBody,
    shop::{Shop, cents},
};

/// What the shop may grant, each as likely as the next; nothing is granted twice as often as each of the others.
const DISCOUNT_RATES: [f64; 5] = [0.0, 0.0, 0.1, 0.15, 0.2];
const TAX_RATE: f64 = 0.08;

/// A price and its parts, not rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Price {
    discount: f64,
    tax: f64,
    total: f64,
}

fn price(base_price: f64, discount_rate: f64) -> Price {
    let discount = base_price * discount_rate;
    let subtotal = base_price - discount;
    let tax = subtotal * TAX_RATE;
    Price { discount, tax, total: subtotal + tax }
}

/// Answers with the price's parts, after simulated work for each.
pub async fn calculate(State(shop): State<Arc<Shop>>, body: OrderBody) -> Result<Json<Value>, Problem> {
    let item_count = body.items()?;
    let base_price = body.amount("base_price", 50.0)?;
    info!(item_count, base_price = cents(base_price), operation = "price_calculation", "Calculating price");
    shop.dice.work(0.02..0.05).await;

    let discount_rate = shop.dice.pick(&DISCOUNT_RATES);
    let price = price(base_price, discount_rate);
    info!(discount_rate, discount = cents(price.discount), "Discount applied");
    shop.dice.work(0.01..0.03).await;

    info!(total = cents(price.total), "Price calculation complete");
    shop.dice.work(0.01..0.02).await;
    Ok(Json(json!({
        "base_price": cents(base_price),
        "discount": cents(price.discount),
        "tax": cents(price.tax),
        "total": cents(price.total),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_discount_comes_before_the_tax() {
        for (base, rate, discount, tax, total) in
            [(100.0, 0.2, 20.0, 6.4, 86.4), (50.0, 0.0, 0.0, 4.0, 54.0), (0.0, 0.1, 0.0, 0.0, 0.0)]
        {
            let price = price(base, rate);
            assert_eq!((cents(price.discount), cents(price.tax), cents(price.total)), (discount, tax, total));
        }
    }
}
