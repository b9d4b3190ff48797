//! Calls to the backend: plain HTTP with JSON, nothing added to the headers.

use std::{error::Error as _, time::Duration};

use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A call that gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No connection, no answer in time, or an answer of another shape.
    #[error("{path}: {}", chain(.source))]
    Call {
        /// The path called.
        path: &'static str,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// A status that the call does not have.
    #[error("{path}: unexpected status {status}")]
    Status {
        /// The path called.
        path: &'static str,
        /// The status answered.
        status: StatusCode,
    },
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payment {
    /// Accepted, with the number of its receipt.
    Accepted {
        /// The receipt's number.
        receipt_id: u64,
    },
    /// The gateway said no.
    Declined,
}

/// A client of the backend.
#[derive(Debug)]
pub struct Backend {
    client: Client,
    url: Url,
}

#[derive(Deserialize)]
struct Inventory {
    available: bool,
}

#[derive(Deserialize)]
struct Price {
    total: f64,
}

#[derive(Deserialize)]
struct Receipt {
    receipt_id: u64,
}

impl Backend {
    /// Makes a client; `url` ends in a slash. Nothing is connected yet.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(url: Url) -> reqwest::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .user_agent(concat!("ebpf-frontend/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, url })
    }

    /// Asks whether `items` items are in stock.
    ///
    /// # Errors
    /// The call gave no usable answer.
    pub async fn in_stock(&self, items: u32) -> Result<bool, BackendError> {
        let path = "check-inventory";
        let response = self.post(path, &json!({"items": items})).await?;
        Ok(read::<Inventory>(path, response).await?.available)
    }

    /// Asks for the price of `items` items, with discount and tax.
    ///
    /// # Errors
    /// The call gave no usable answer.
    pub async fn price(&self, items: u32, base_price: f64) -> Result<f64, BackendError> {
        let path = "calculate-price";
        let response = self.post(path, &json!({"items": items, "base_price": base_price})).await?;
        Ok(read::<Price>(path, response).await?.total)
    }

    /// Pays.
    ///
    /// # Errors
    /// The call gave no usable answer; a declined payment is an answer.
    pub async fn pay(&self, amount: f64) -> Result<Payment, BackendError> {
        let path = "process-payment";
        let response = self.post(path, &json!({"amount": amount})).await?;
        if response.status() == StatusCode::PAYMENT_REQUIRED {
            return Ok(Payment::Declined);
        }
        let receipt_id = read::<Receipt>(path, response).await?.receipt_id;
        Ok(Payment::Accepted { receipt_id })
    }

    async fn post(&self, path: &'static str, body: &Value) -> Result<Response, BackendError> {
        let url = self.url.join(path).expect("a plain word joins any http URL");
        let sent = self.client.post(url).json(body).send().await;
        sent.map_err(|source| BackendError::Call { path, source })
    }
}

async fn read<T: for<'de> Deserialize<'de>>(
    path: &'static str,
    response: Response,
) -> Result<T, BackendError> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(BackendError::Status { path, status });
    }
    response.json().await.map_err(|source| BackendError::Call { path, source })
}

/// Writes an error and its causes in one line; reqwest's own text stops at the first.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
