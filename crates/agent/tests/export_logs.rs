//! What the log says while the collector is away: one warning, and one line when it is back.

mod export_support;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use export_support::{Collector, assert_balanced, eventually, free_address, service, settings, span};
use otel_ebpf_agent::config::OtlpProtocol;
use otel_ebpf_agent::export::{DropCounters, Exporter};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no writer panics").clone();
        String::from_utf8(bytes).expect("logs are UTF-8").lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The only test of this file: the worker logs to the subscriber of the process.
#[tokio::test]
async fn outage_is_told_once_and_its_end_too() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();

    let protocol = OtlpProtocol::HttpProtobuf;
    let address = free_address().await;
    let counters = Arc::new(DropCounters::default());
    let (sink, task) = Exporter::start(&settings(protocol, address), Arc::clone(&counters)).expect("start");
    sink.offer(span(&service("shop"), "kept"));
    eventually("the outage is told", || !log.lines().is_empty()).await;
    let collector = Collector::start_at(protocol, address).await;
    // Answers that ask for patience follow the outage; the warning was just written, so they are not told.
    collector.reply_with(vec![export_support::Reply::Http(503, None); 6]);
    eventually("the span is exported", || counters.read().exported == 1).await;
    task.shutdown(Duration::from_secs(20)).await;
    assert_balanced(&counters);

    let lines = log.lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].contains("export failed, will retry"), "{lines:#?}");
    assert!(lines[0].contains(&address.to_string()) && lines[0].contains("suppressed=0"), "{lines:#?}");
    assert!(lines[1].contains("INFO") && lines[1].contains("collector is reachable again"), "{lines:#?}");
}
