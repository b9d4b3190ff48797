//! Metrics and logs through the OpenTelemetry SDK. There is nothing here about traces.

mod export;
pub mod logs;
pub mod settings;
mod watch;

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ebpf_demo_service::failure::Failure;
use opentelemetry::{
    InstrumentationScope,
    metrics::{Meter, MeterProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::SdkLoggerProvider,
    metrics::{
        Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, exporter::PushMetricExporter,
    },
};
use tracing::warn;

use self::{
    settings::{Destination, TelemetrySettings},
    watch::Watched,
};
use crate::metrics::EXPONENTIAL_HISTOGRAM;

/// The running SDK.
#[derive(Debug)]
pub struct Telemetry {
    meters: SdkMeterProvider,
    loggers: SdkLoggerProvider,
}

impl Telemetry {
    /// Starts both exports, or none where the SDK is disabled. Runs inside a tokio runtime, which has to outlive
    /// [`Self::shutdown`]. A collector that is away is no error.
    ///
    /// # Errors
    /// A variable that only the SDK reads has a value that it refuses.
    pub fn start(settings: &TelemetrySettings) -> Result<Self, Failure> {
        let resource = resource(settings);
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone());
        let mut loggers = SdkLoggerProvider::builder().with_resource(resource);
        if let Some(Destination { metrics, logs, metric_interval }) = settings.destination {
            let exporter = Watched::new("metrics", export::metrics(metrics)?);
            meters = meters.with_reader(reader(exporter, metric_interval)).with_view(exponential);
            loggers = loggers.with_batch_exporter(Watched::new("logs", export::logs(logs)?));
        }
        Ok(Self { meters: meters.build(), loggers: loggers.build() })
    }

    /// Gives the meter of the service's instruments.
    #[must_use]
    pub fn meter(&self) -> Meter {
        let scope = InstrumentationScope::builder("ebpf-frontend").with_version(env!("CARGO_PKG_VERSION"));
        self.meters.meter_with_scope(scope.build())
    }

    /// Gives the provider that log records go to.
    #[must_use]
    pub fn log_provider(&self) -> &SdkLoggerProvider {
        &self.loggers
    }

    /// Exports what is left and stops, within `deadline`. Blocks; runs outside the runtime.
    pub fn shutdown(self, deadline: Duration) {
        let until = Instant::now() + deadline;
        let (done, results) = mpsc::channel::<(&str, OTelSdkResult)>();
        let metrics_done = done.clone();
        let Self { meters, loggers } = self;
        // Threads, because the SDK's own time limit does not cover an exporter that waits for an answer.
        thread::spawn(move || metrics_done.send(("metrics", meters.shutdown())));
        thread::spawn(move || done.send(("logs", loggers.shutdown_with_timeout(deadline))));
        for _ in 0..2 {
            match results.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok((_, Ok(()))) => {}
                Ok((signal, Err(error))) => warn!(signal, %error, "Last telemetry export failed"),
                Err(_) => {
                    warn!(
                        deadline_s = deadline.as_secs_f64(),
                        "Last telemetry export cut off at its deadline"
                    );
                    return;
                }
            }
        }
    }
}

/// Describes the service: the SDK's detectors, and the default name where no variable has one.
fn resource(settings: &TelemetrySettings) -> Resource {
    let builder = Resource::builder();
    match &settings.default_service_name {
        Some(name) => builder.with_service_name(*name).build(),
        None => builder.build(),
    }
}

fn reader<E: PushMetricExporter>(exporter: E, interval: Duration) -> PeriodicReader<E> {
    PeriodicReader::builder(exporter).with_interval(interval).build()
}

/// The view that makes one histogram exponential, with the size and scale that the specification has as defaults.
fn exponential(instrument: &Instrument) -> Option<Stream> {
    if instrument.name() != EXPONENTIAL_HISTOGRAM {
        return None;
    }
    let aggregation =
        Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
    Stream::builder().with_aggregation(aggregation).build().ok()
}
