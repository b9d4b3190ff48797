//! Spans on standard output: the formats, and an output that is slower than the traffic.

mod export_support;

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use export_support::{Collector, assert_balanced, eventually, service, settings, span};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceFlags, TraceState};
use otel_ebpf_agent::config::{ExportSettings, OtlpProtocol, TracePrinter};
use otel_ebpf_agent::export::{DropCounters, Exporter, SpanBatchItem};

const GENEROUS: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("the printer writes UTF-8")
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn printing(printer: TracePrinter) -> ExportSettings {
    ExportSettings { printer, ..ExportSettings::default() }
}

/// The `processing` child of a span, of 942.583 µs.
fn processing(parent: &SpanBatchItem) -> SpanBatchItem {
    let mut child = parent.clone();
    let context = &parent.span.span_context;
    child.span.parent_span_id = context.span_id();
    child.span.span_context = SpanContext::new(
        context.trace_id(),
        SpanId::from(7),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    child.span.span_kind = SpanKind::Internal;
    child.span.name = "processing".into();
    child.span.attributes.clear();
    child.span.start_time = child.span.end_time - Duration::from_nanos(942_583);
    child
}

async fn print(printer: TracePrinter, items: Vec<SpanBatchItem>) -> String {
    let page = Page::default();
    let counters = Arc::new(DropCounters::default());
    let output = Box::new(page.clone());
    let (sink, task) =
        Exporter::start_with_output(&printing(printer), Arc::clone(&counters), output).expect("start");
    let count = items.len() as u64;
    for item in items {
        sink.offer(item);
    }
    task.shutdown(GENEROUS).await;
    assert_eq!(counters.read().printed, count);
    page.text()
}

#[tokio::test]
async fn text_is_a_line_per_request() {
    let request = span(&service("shop"), "GET /path");
    let mut odd = request.clone();
    odd.span.attributes.retain(|pair| pair.key.as_str() != "url.path");
    odd.span.attributes.push(opentelemetry::KeyValue::new("url.path", "/a\nb\u{1b}[31m"));
    let text = print(TracePrinter::Text, vec![processing(&request), request.clone(), request, odd]).await;
    let lines: Vec<_> = text.lines().collect();
    let rest = "200 GET /path [172.17.0.1]->[localhost:18443] size:0B svc=[shop]";
    assert_eq!(
        lines,
        [
            format!("2026-05-22 14:03:53.5222353 (19.066625ms[942.583µs]) {rest}"),
            format!("2026-05-22 14:03:53.5222353 (19.066625ms[19.066625ms]) {rest}"),
            format!("2026-05-22 14:03:53.5222353 (19.066625ms[19.066625ms]) {rest}")
                .replace("/path", "/a\u{fffd}b\u{fffd}[31m"),
        ]
    );
}

#[tokio::test]
async fn json_is_an_object_per_line() {
    let request = span(&service("shop"), "GET /path");
    let text = print(TracePrinter::Json, vec![request.clone(), processing(&request)]).await;
    let spans: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0]["service"], "shop");
    assert_eq!(spans[0]["kind"], "server");
    assert_eq!(spans[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(spans[0]["span_id"], "b7ad6b7169203331");
    assert_eq!(spans[0]["parent_span_id"], serde_json::Value::Null);
    assert_eq!(spans[0]["start_time_unix_nano"], "1779458633522235300");
    assert_eq!(spans[0]["attributes"]["http.response.status_code"], 200);
    assert_eq!(spans[0]["resource"]["attributes"]["process.pid"], 4711);
    assert_eq!(spans[0]["scope"]["name"], "otel-ebpf-agent");
    assert_eq!(spans[1]["parent_span_id"], "b7ad6b7169203331");

    let text = print(TracePrinter::JsonIndent, vec![request]).await;
    assert!(text.lines().count() > 20, "{text}");
    let one: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(one, spans[0]);
}

#[tokio::test]
async fn counter_ends_with_the_final_count() {
    let request = span(&service("shop"), "GET /path");
    let text = print(TracePrinter::Counter, vec![request.clone(), processing(&request), request]).await;
    assert_eq!(text.lines().last(), Some("2 requests, 3 spans"));
}

/// An output that takes nothing until it is let go.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An error means that the test let go by dropping its end.
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn stuck_output_holds_up_neither_offers_nor_export() {
    let collector = Collector::start(OtlpProtocol::Grpc).await;
    let settings = ExportSettings {
        printer: TracePrinter::Json,
        queue_size: 50_000,
        queue_bytes: 64 << 20,
        ..settings(OtlpProtocol::Grpc, collector.address)
    };
    let counters = Arc::new(DropCounters::default());
    let (let_go, stuck) = channel();
    let (sink, task) =
        Exporter::start_with_output(&settings, Arc::clone(&counters), Box::new(Stuck(stuck))).expect("start");
    let shop = service("shop");
    for index in 0..20_000 {
        sink.offer(span(&shop, format!("{index}")));
    }
    eventually("all spans are exported", || counters.read().exported == 20_000).await;
    let counts = counters.read();
    assert!(counts.printer_dropped > 10_000, "{counts:?}");
    task.shutdown(Duration::from_millis(100)).await;
    assert_balanced(&counters);
    drop(let_go);
}
