//! Export to real collectors over gRPC and HTTP: delivery, retry, refusal, overflow and shutdown.

mod export_support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use export_support::{
    Collector, PROTOCOLS, Reply, assert_balanced, eventually, free_address, service, settings, span,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_ebpf_agent::config::OtlpProtocol;
use otel_ebpf_agent::export::{DropCounters, Exporter, SCHEMA_URL};
use tonic::Code;

const GENEROUS: Duration = Duration::from_secs(20);

#[tokio::test]
async fn spans_of_two_services_arrive_complete() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(protocol).await;
        let counters = Arc::new(DropCounters::default());
        let (sink, task) =
            Exporter::start(&settings(protocol, collector.address), Arc::clone(&counters)).expect("start");
        let (shop, bank) = (service("shop"), service("bank"));
        for index in 0..10 {
            sink.offer(span(&shop, format!("shop {index}")));
            sink.offer(span(&bank, format!("bank {index}")));
        }
        eventually("all spans are there", || collector.span_names().len() == 20).await;
        assert_eq!(collector.header().as_deref(), Some("secret"), "{protocol:?}");

        let mut names = BTreeSet::new();
        for resource_spans in collector.resource_spans() {
            assert_eq!(resource_spans.schema_url, SCHEMA_URL);
            let resource = resource_spans.resource.expect("a resource");
            let attribute = |key: &str| {
                let pair = resource.attributes.iter().find(|pair| pair.key == key).expect(key);
                pair.value.clone().expect("a value").value.expect("a typed value")
            };
            let Value::StringValue(service_name) = attribute("service.name") else {
                panic!("service.name is a string")
            };
            assert_eq!(attribute("process.pid"), Value::IntValue(4711));
            for scope_spans in resource_spans.scope_spans {
                let scope = scope_spans.scope.expect("a scope");
                assert_eq!((scope.name.as_str(), scope.version.is_empty()), ("otel-ebpf-agent", false));
                assert_eq!(scope_spans.schema_url, SCHEMA_URL);
                for span in scope_spans.spans {
                    assert!(span.name.starts_with(&service_name), "{} of {service_name}", span.name);
                    assert_eq!(span.kind(), SpanKind::Server);
                    assert_eq!(span.attributes.len(), 8);
                    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 19_066_625);
                    assert!(span.parent_span_id.is_empty());
                    assert!(names.insert(span.name), "a span came twice");
                }
            }
        }
        assert_eq!(names.len(), 20);
        task.shutdown(GENEROUS).await;
        assert_eq!(counters.read().exported, 20, "{protocol:?}");
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn compressed_requests_are_understood() {
    let collector = Collector::start(OtlpProtocol::Grpc).await;
    let mut settings = settings(OtlpProtocol::Grpc, collector.address);
    settings.otlp.as_mut().expect("a collector").gzip = true;
    let counters = Arc::new(DropCounters::default());
    let (sink, task) = Exporter::start(&settings, Arc::clone(&counters)).expect("start");
    sink.offer(span(&service("shop"), "zipped"));
    task.shutdown(GENEROUS).await;
    assert_eq!(collector.span_names(), ["zipped"]);
}

#[tokio::test]
async fn collector_that_comes_late_gets_everything() {
    for protocol in PROTOCOLS {
        let address = free_address().await;
        let counters = Arc::new(DropCounters::default());
        let (sink, task) =
            Exporter::start(&settings(protocol, address), Arc::clone(&counters)).expect("start");
        let shop = service("shop");
        for index in 0..300 {
            sink.offer(span(&shop, format!("early {index}")));
        }
        // Long enough for the first attempts to have failed.
        let offered_for = std::time::Instant::now();
        eventually("attempts were made in vain", || offered_for.elapsed() > Duration::from_millis(600)).await;
        assert_eq!(counters.read().exported, 0);
        let collector = Collector::start_at(protocol, address).await;
        eventually("all spans are there", || counters.read().exported == 300).await;
        let names: BTreeSet<_> = collector.span_names().into_iter().collect();
        assert_eq!(names.len(), 300, "{protocol:?}");
        task.shutdown(GENEROUS).await;
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn collector_that_restarts_loses_nothing() {
    for protocol in PROTOCOLS {
        let first = Collector::start(protocol).await;
        let address = first.address;
        let counters = Arc::new(DropCounters::default());
        let (sink, task) =
            Exporter::start(&settings(protocol, address), Arc::clone(&counters)).expect("start");
        let shop = service("shop");
        sink.offer(span(&shop, "before"));
        eventually("the first span is there", || counters.read().exported == 1).await;
        drop(first);
        for index in 0..100 {
            sink.offer(span(&shop, format!("between {index}")));
        }
        let second = Collector::start_at(protocol, address).await;
        eventually("the rest is exported", || counters.read().exported == 101).await;
        assert_eq!(second.span_names().len(), 100, "{protocol:?}");
        task.shutdown(GENEROUS).await;
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn a_million_offers_to_a_dead_collector_return() {
    for protocol in PROTOCOLS {
        let address = free_address().await;
        let counters = Arc::new(DropCounters::default());
        let settings = settings(protocol, address);
        let (sink, task) = Exporter::start(&settings, Arc::clone(&counters)).expect("start");
        let shop = service("shop");
        let item = span(&shop, "lost");
        let offering = tokio::task::spawn_blocking(move || {
            for _ in 0..1_000_000 {
                sink.offer(item.clone());
            }
        });
        offering.await.expect("every offer returns");
        let counts = counters.read();
        assert_eq!(counts.offered, 1_000_000);
        // What is neither dropped nor exported waits, in the requests being retried too.
        let held = settings.queue_size as u64;
        assert!(counts.queue_full >= 1_000_000 - held, "{counts:?}");
        task.shutdown(Duration::from_millis(50)).await;
        let counts = counters.read();
        assert_eq!((counts.exported, counts.rejected), (0, 0));
        assert!(counts.shutdown > 0 && counts.shutdown <= held, "{counts:?}");
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn refused_spans_are_given_up_at_once() {
    let grpc = [
        Code::InvalidArgument,
        Code::Unauthenticated,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::NotFound,
        Code::AlreadyExists,
        Code::FailedPrecondition,
        Code::Internal,
        Code::Unknown,
    ];
    refuse(OtlpProtocol::Grpc, grpc.map(Reply::Grpc).to_vec()).await;
    let http = [400, 401, 403, 404, 413, 500].map(|code| Reply::Http(code, None));
    refuse(OtlpProtocol::HttpProtobuf, http.to_vec()).await;
}

async fn refuse(protocol: OtlpProtocol, replies: Vec<Reply>) {
    for reply in replies {
        let collector = Collector::start(protocol).await;
        collector.reply_with([reply.clone()]);
        let counters = Arc::new(DropCounters::default());
        let (sink, task) =
            Exporter::start(&settings(protocol, collector.address), Arc::clone(&counters)).expect("start");
        let shop = service("shop");
        sink.offer(span(&shop, "refused"));
        eventually(&format!("{reply:?} is final"), || counters.read().rejected == 1).await;
        sink.offer(span(&shop, "taken"));
        task.shutdown(GENEROUS).await;
        assert_eq!(collector.span_names(), ["taken"], "{reply:?}");
        assert_eq!(collector.attempts().len(), 2, "{reply:?}");
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn busy_collector_is_asked_again() {
    let grpc = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::DeadlineExceeded,
        Code::Aborted,
        Code::Cancelled,
        Code::OutOfRange,
        Code::DataLoss,
    ];
    insist(OtlpProtocol::Grpc, grpc.map(Reply::Grpc).to_vec()).await;
    let http = [429, 502, 503, 504].map(|code| Reply::Http(code, None));
    insist(OtlpProtocol::HttpProtobuf, http.to_vec()).await;
}

async fn insist(protocol: OtlpProtocol, replies: Vec<Reply>) {
    for reply in replies {
        let collector = Collector::start(protocol).await;
        collector.reply_with(vec![reply.clone(); 2]);
        let counters = Arc::new(DropCounters::default());
        let (sink, task) =
            Exporter::start(&settings(protocol, collector.address), Arc::clone(&counters)).expect("start");
        sink.offer(span(&service("shop"), "patient"));
        eventually(&format!("{reply:?} passes"), || counters.read().exported == 1).await;
        assert_eq!(collector.span_names(), ["patient"], "{reply:?}");
        task.shutdown(GENEROUS).await;
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn delay_asked_for_by_the_collector_is_kept() {
    let protocol = OtlpProtocol::HttpProtobuf;
    let collector = Collector::start(protocol).await;
    collector.reply_with([Reply::Http(429, Some(1))]);
    let counters = Arc::new(DropCounters::default());
    let (sink, task) =
        Exporter::start(&settings(protocol, collector.address), Arc::clone(&counters)).expect("start");
    sink.offer(span(&service("shop"), "slow"));
    eventually("the span is there", || counters.read().exported == 1).await;
    let attempts = collector.attempts();
    assert!(attempts[1] - attempts[0] >= Duration::from_secs(1), "{attempts:?}");
    task.shutdown(GENEROUS).await;
}

#[tokio::test]
async fn spans_refused_out_of_a_request_are_counted() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(protocol).await;
        collector.reply_with([Reply::Partial(3)]);
        let counters = Arc::new(DropCounters::default());
        let (sink, task) =
            Exporter::start(&settings(protocol, collector.address), Arc::clone(&counters)).expect("start");
        let shop = service("shop");
        for index in 0..10 {
            sink.offer(span(&shop, format!("{index}")));
        }
        task.shutdown(GENEROUS).await;
        let counts = counters.read();
        assert_eq!((counts.exported, counts.rejected), (7, 3), "{protocol:?}");
        assert_balanced(&counters);
    }
}

#[tokio::test]
async fn shutdown_drains_and_later_offers_are_counted() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(protocol).await;
        let mut settings = settings(protocol, collector.address);
        // Nothing would leave by itself: only the shutdown can end the wait for a full batch.
        settings.batch_timeout = Duration::from_secs(3600);
        settings.batch_max_size = 1000;
        let counters = Arc::new(DropCounters::default());
        let (sink, task) = Exporter::start(&settings, Arc::clone(&counters)).expect("start");
        let shop = service("shop");
        for index in 0..500 {
            sink.offer(span(&shop, format!("{index}")));
        }
        task.shutdown(GENEROUS).await;
        assert_eq!(collector.span_names().len(), 500, "{protocol:?}");
        sink.offer(span(&shop, "too late"));
        let counts = counters.read();
        assert_eq!((counts.exported, counts.shutdown), (500, 1));
        assert_balanced(&counters);
    }
}
