//! Metrics as OTLP has them (opentelemetry-proto, `metrics/v1/metrics.proto`): the agent's own, whole each time.

use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tracing::{debug, info};

use crate::config::OtlpSettings;

use super::encode::{self, unix_nanos};
use super::outcome::Failure;
use super::pipeline::StartError;
use super::proto::Write as _;
use super::transport::{Client, Signal};
use super::{SCHEMA_URL, instrumentation_scope};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// How the values of a metric relate to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from the agent's start on.
    Counter,
    /// What is there now; over several agents the sum means something.
    UpDownCounter,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Count(u64),
    /// Another.
    Real(f64),
}

/// One series of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// What sets it apart from the others.
    pub attributes: Vec<KeyValue>,
    /// Its value.
    pub value: Number,
}

/// A metric and all its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name, such as `ebpf.agent.spans.seen`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub description: &'static str,
    /// Unit (UCUM).
    pub unit: &'static str,
    /// How its values relate.
    pub kind: Kind,
    /// Its series; a metric without any is not sent.
    pub points: Vec<Point>,
}

/// Sends the agent's own metrics to where its spans go.
pub struct MetricsExporter {
    client: Client,
    /// `ResourceMetrics.resource` and, behind the metrics, nothing else that changes.
    resource: Vec<u8>,
    scope: Vec<u8>,
    started: SystemTime,
    /// Times in a row that the collector said that it takes no metrics.
    refusals: u32,
}

/// A collector that says so once may be on its way up.
const REFUSALS: u32 = 3;

impl MetricsExporter {
    /// An exporter of the metrics of `resource`, which count from `started` on. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The endpoint or a header cannot be used.
    pub fn new(
        settings: &OtlpSettings,
        resource: &Resource,
        started: SystemTime,
    ) -> Result<Self, StartError> {
        let (mut encoded, mut scope) = (Vec::new(), Vec::new());
        encode::resource(&mut encoded, 1, resource);
        encode::scope(&mut scope, 1, &instrumentation_scope());
        Ok(Self {
            client: Client::new(settings, Signal::Metrics)?,
            resource: encoded,
            scope,
            started,
            refusals: 0,
        })
    }

    /// Whether the collector has said that it takes no metrics.
    pub fn is_unwanted(&self) -> bool {
        self.refusals >= REFUSALS
    }

    /// Sends the values of this moment, once: those that do not arrive are part of the next ones.
    pub async fn export(&mut self, metrics: &[Metric], now: SystemTime) {
        if self.is_unwanted() {
            return;
        }
        let body = self.request(metrics, now);
        let answer = self.client.send(body.into()).await;
        let is_refusal = matches!(&answer, Err(error) if error.failure == Failure::Unsupported);
        self.refusals = if is_refusal { self.refusals + 1 } else { 0 };
        match answer {
            Ok(0) => {}
            Ok(refused) => debug!(refused, "collector refused a part of the agent's metrics"),
            Err(error) if self.is_unwanted() => {
                let endpoint = self.client.endpoint();
                info!(%error, endpoint, "collector takes no metrics: the agent's own are not sent any more");
            }
            // What keeps metrics from arriving keeps spans too, and is told there.
            Err(error) => debug!(%error, "the agent's metrics were not exported"),
        }
    }

    /// An `ExportMetricsServiceRequest`.
    fn request(&self, metrics: &[Metric], now: SystemTime) -> Vec<u8> {
        let mut body = Vec::with_capacity(4096);
        body.message(1, |body| {
            body.extend_from_slice(&self.resource);
            body.message(2, |body| {
                body.extend_from_slice(&self.scope);
                for metric in metrics.iter().filter(|metric| !metric.points.is_empty()) {
                    body.message(2, |body| self.metric(body, metric, now));
                }
                body.bytes(3, SCHEMA_URL.as_bytes());
            });
            body.bytes(3, SCHEMA_URL.as_bytes());
        });
        body
    }

    fn metric(&self, buffer: &mut Vec<u8>, metric: &Metric, now: SystemTime) {
        buffer.bytes(1, metric.name.as_bytes());
        buffer.bytes(2, metric.description.as_bytes());
        buffer.bytes(3, metric.unit.as_bytes());
        buffer.message(7, |sum| {
            for point in &metric.points {
                sum.message(1, |buffer| {
                    buffer.fixed64(2, unix_nanos(self.started));
                    buffer.fixed64(3, unix_nanos(now));
                    match point.value {
                        Number::Count(count) => buffer.fixed64(6, count),
                        Number::Real(real) => buffer.fixed64(4, real.to_bits()),
                    }
                    encode::attributes(buffer, 7, &point.attributes);
                });
            }
            sum.uint(2, CUMULATIVE);
            sum.uint(3, u64::from(metric.kind == Kind::Counter));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
    use prost::Message as _;

    use super::*;
    use crate::config::OtlpProtocol;

    #[tokio::test]
    async fn metrics_are_encoded_as_the_protocol_has_them() {
        let settings = OtlpSettings {
            endpoint: "http://127.0.0.1:4317".to_owned(),
            protocol: OtlpProtocol::Grpc,
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            gzip: false,
        };
        let resource = Resource::builder_empty().with_service_name("agent").build();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let exporter = MetricsExporter::new(&settings, &resource, at(10)).expect("a valid endpoint");
        let point =
            |cause: &'static str, value| Point { attributes: vec![KeyValue::new("cause", cause)], value };
        let metric = |name, kind, points| Metric { name, description: "What.", unit: "s", kind, points };
        let metrics = [
            metric(
                "a",
                Kind::Counter,
                vec![point("x", Number::Count(0)), point("y", Number::Count(1 << 40))],
            ),
            metric("b", Kind::UpDownCounter, vec![point("z", Number::Real(0.5))]),
            metric("empty", Kind::Counter, Vec::new()),
        ];
        let body = exporter.request(&metrics, at(20));
        let mut request = ExportMetricsServiceRequest::decode(&body[..]).expect("valid protobuf");
        let mut resource_metrics = request.resource_metrics.remove(0);
        assert_eq!(resource_metrics.resource.expect("a resource").attributes[0].key, "service.name");
        assert_eq!(resource_metrics.schema_url, SCHEMA_URL);
        let scope_metrics = resource_metrics.scope_metrics.remove(0);
        assert_eq!(scope_metrics.scope.expect("a scope").name, "otel-ebpf-agent");
        let decoded: Vec<_> = scope_metrics
            .metrics
            .into_iter()
            .map(|metric| {
                assert_eq!((metric.description.as_str(), metric.unit.as_str()), ("What.", "s"));
                let Some(Data::Sum(sum)) = metric.data else { panic!("a sum") };
                assert_eq!(sum.aggregation_temporality, 2);
                let points = sum.data_points.into_iter().map(|mut point| {
                    assert_eq!(point.start_time_unix_nano, 10_000_000_000);
                    assert_eq!(point.time_unix_nano, 20_000_000_000);
                    let cause = point.attributes.remove(0).value.and_then(|value| value.value);
                    let Some(any_value::Value::StringValue(cause)) = cause else { panic!("a text") };
                    (cause, point.value.expect("a value"))
                });
                (metric.name, sum.is_monotonic, points.collect::<Vec<_>>())
            })
            .collect();
        let text = str::to_owned;
        let a = vec![(text("x"), Value::AsInt(0)), (text("y"), Value::AsInt(1 << 40))];
        let b = vec![(text("z"), Value::AsDouble(0.5))];
        assert_eq!(decoded, [(text("a"), true, a), (text("b"), false, b)]);
    }
}
