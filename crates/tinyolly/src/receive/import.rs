//! Import: OTLP/JSON files of any signal, or of several, by the intake of the receivers and under their limits.

use axum::body::Body;
use http_body_util::{BodyExt, Limited};

use super::census::FileCensus;
use super::intake::{Intake, Metered};
use super::json::{self, Everything};
use super::{Read, Receiver, Refusal, Signal};

/// What an import stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Spans, duplicates among them.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Metric data points.
    pub metric_points: u64,
    /// Items that were left out.
    pub rejected: u64,
}

/// Why nothing, or not all, was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRefused {
    /// HTTP's status.
    pub status: u16,
    /// Why.
    pub reason: String,
    /// Seconds after which it may be tried again, where that makes sense.
    pub retry_after: Option<i64>,
}

impl From<Refusal> for ImportRefused {
    fn from(refusal: Refusal) -> Self {
        let retry_after = refusal.retryable().then_some(super::status::RETRY_SECONDS);
        Self { status: refusal.http_status(), reason: refusal.to_string(), retry_after }
    }
}

impl Receiver {
    /// Stores what a file holds: one JSON document, or several in a row, as the collector's file exporter writes them.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or there is no room. Signals are stored one after the other, so after an
    /// error of the store some may be stored; sending the file again stores spans once, but logs and points twice.
    pub async fn import(&self, body: Body) -> Result<Imported, ImportRefused> {
        let refused = |refusal: Refusal| match refusal {
            Refusal::Malformed(reason) => self.malformed(reason).into(),
            other => ImportRefused::from(other),
        };
        self.read_and_store(body).await.map_err(refused)
    }

    async fn read_and_store(&self, body: Body) -> Result<Imported, Refusal> {
        let limit = self.max_request_bytes;
        let intake = Intake::new(self);
        let body = Limited::new(Metered::new(body, &intake), limit).collect().await;
        let body = body.map_err(|error| match error.downcast::<Refusal>() {
            Ok(refusal) => *refusal,
            Err(_) => Refusal::TooLarge(limit),
        })?;
        let body = body.to_bytes();
        let census = FileCensus::of_json(&body).check(limit)?;
        intake.take(census.bytes())?;
        let all =
            json::decode_all(&body).map_err(|error| Refusal::Malformed(format!("not OTLP/JSON: {error}")))?;
        let Everything { traces, logs, metrics } = all;
        let (spans, no_spans) = self.part(traces, body.len(), census.traces.items, &intake).await?;
        let (logs, no_logs) = self.part(logs, body.len(), census.logs.items, &intake).await?;
        let (metric_points, no_points) =
            self.part(metrics, body.len(), census.metrics.items, &intake).await?;
        Ok(Imported { spans, logs, metric_points, rejected: no_spans + no_logs + no_points })
    }

    /// Stores one signal's part; how many items were stored and how many left out.
    async fn part<S: Signal>(
        &self,
        message: S,
        bytes: usize,
        items: usize,
        intake: &Intake,
    ) -> Result<(u64, u64), Refusal> {
        if message.encoded_len() == 0 {
            return Ok((0, 0));
        }
        let read = Read { message, bytes, items };
        let (stored, rejected) = self.take(read, intake).await?;
        Ok((stored as u64, rejected.count))
    }
}
