//! Exporters that say when exporting stops working and when it works again: two lines for an outage of any length.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use tracing::{info, warn};

/// An exporter whose failures are counted until the next success.
#[derive(Debug)]
pub(super) struct Watched<E> {
    signal: &'static str,
    exporter: E,
    failed: AtomicU64,
}

impl<E> Watched<E> {
    pub(super) fn new(signal: &'static str, exporter: E) -> Self {
        Self { signal, exporter, failed: AtomicU64::new(0) }
    }

    fn note(&self, result: &OTelSdkResult) {
        match result {
            Ok(()) => {
                let failed_exports = self.failed.swap(0, Ordering::Relaxed);
                if failed_exports > 0 {
                    info!(signal = self.signal, failed_exports, "Telemetry export works again");
                }
            }
            Err(error) => {
                if self.failed.fetch_add(1, Ordering::Relaxed) == 0 {
                    warn!(signal = self.signal, %error, "Telemetry export fails; it is tried again with the next batch");
                }
            }
        }
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.note(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.note(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
