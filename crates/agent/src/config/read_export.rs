//! Reads where finished spans go.

use std::time::Duration;

use super::otlp::{
    ENDPOINT_ACCEPTED, Endpoint, ExportSettings, HEADERS_ACCEPTED, OtlpProtocol, OtlpSettings,
    OwnMetricsSettings, PROTOCOL_ACCEPTED, parse_pairs, valid_header,
};
use super::read::Reader;
use super::values::TracePrinter;

/// Reads the export. Spans that would go nowhere are a problem.
pub(crate) fn read(reader: &mut Reader<'_>) -> ExportSettings {
    let defaults = ExportSettings::default();
    let printer =
        reader.parsed(&["OTEL_EBPF_TRACE_PRINTER"], "trace_printer", TracePrinter::ACCEPTED, |text| {
            text.parse().ok()
        });
    let problems_before = reader.findings.problems.len();
    let otlp = read_otlp(reader);
    let printer_given = reader.layers.find(&["OTEL_EBPF_TRACE_PRINTER"], "trace_printer").is_some();
    let prints = printer.is_some_and(|printer| printer != TracePrinter::Disabled);
    // A printer that was given wrongly is a problem already.
    let printer_wrong = printer_given && printer.is_none();
    if otlp.is_none() && !prints && !printer_wrong && reader.findings.problems.len() == problems_before {
        reader.findings.invalid(
            "spans would go nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT (such as http://localhost:4317), \
             or OTEL_EBPF_TRACE_PRINTER=text to print them",
        );
    }
    let most = 1 << 20;
    let queue_size = reader
        .number(
            &["OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "OTEL_EBPF_OTLP_TRACES_MAX_QUEUE_SIZE"],
            "otel_traces_export.queue_size",
            1,
            most,
        )
        .map_or(defaults.queue_size, |number| number as usize);
    ExportSettings {
        otlp,
        printer: printer.unwrap_or(defaults.printer),
        batch_max_size: reader
            .number(
                &["OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE", "OTEL_EBPF_OTLP_TRACES_MAX_EXPORT_BATCH_SIZE"],
                "otel_traces_export.batch_max_size",
                1,
                most,
            )
            .map_or(defaults.batch_max_size, |number| number as usize),
        batch_timeout: reader
            .duration(&["OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT"], "otel_traces_export.batch_timeout")
            .unwrap_or(defaults.batch_timeout),
        queue_size,
        // Whoever asks for more spans asks for the memory that they take.
        queue_bytes: defaults.queue_bytes.max(queue_size.saturating_mul(BYTES_OF_SPAN)),
    }
}

/// What a span takes while it waits, about.
const BYTES_OF_SPAN: usize = 512;

/// Time between two exports of the agent's own metrics: short enough for a screen.
const OWN_METRICS_INTERVAL: Duration = Duration::from_secs(10);

/// Reads whether, and how often, the agent's own metrics are exported to where the spans go.
pub(crate) fn read_own_metrics(
    reader: &mut Reader<'_>,
    export: &ExportSettings,
) -> Option<OwnMetricsSettings> {
    let names = ["OTEL_EBPF_INTERNAL_METRICS_EXPORTER", "OTEL_METRICS_EXPORTER"];
    // A list, as of exporters that other programs on the host have and the agent has not.
    let mut others = Vec::new();
    let is_on = reader.parsed(&names, "internal_metrics.exporter", "otlp or none", |text| {
        let mut is_on = false;
        for name in text.split(',').map(str::trim) {
            match name {
                "otlp" | "otel" => is_on = true,
                "none" | "disabled" => {}
                "prometheus" | "console" | "logging" => others.push(name.to_owned()),
                _ => return None,
            }
        }
        Some(is_on)
    });
    if !others.is_empty() {
        let others = others.join(", ");
        reader.findings.warn(format!("the agent's own metrics go out as otlp only, and not by {others}"));
    }
    let accepted = "a number of milliseconds such as 10000";
    let interval = reader.parsed(&["OTEL_METRIC_EXPORT_INTERVAL"], "", accepted, |text| {
        let millis: u64 = text.parse().ok().filter(|millis| *millis > 0)?;
        Some(Duration::from_millis(millis.clamp(100, 3_600_000)))
    });
    let otlp = export.otlp.as_ref()?.for_metrics()?;
    is_on
        .unwrap_or(true)
        .then(|| OwnMetricsSettings { otlp, interval: interval.unwrap_or(OWN_METRICS_INTERVAL) })
}

fn read_otlp(reader: &mut Reader<'_>) -> Option<OtlpSettings> {
    const SIGNAL: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let protocol = reader.parsed(
        &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        "otel_traces_export.protocol",
        PROTOCOL_ACCEPTED,
        OtlpProtocol::parse,
    );
    let headers = read_headers(reader);
    let timeout_names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let timeout = reader.parsed(&timeout_names, "", "a number of milliseconds such as 10000", |text| {
        text.parse().ok().filter(|millis| (1..=3_600_000).contains(millis)).map(Duration::from_millis)
    });
    let compression_names = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
    let gzip = reader.parsed(&compression_names, "", "gzip or none", |text| match text {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    });
    let given = reader.layers.find(&[SIGNAL, BASE], "otel_traces_export.endpoint")?;
    // The file's key belongs to traces, so it is used as it is; only the shared endpoint gets a path.
    let is_base = given.name == BASE || given.name.starts_with("--");
    let name = given.name.clone();
    let endpoint = reader.parse_given(given, ENDPOINT_ACCEPTED, Endpoint::parse)?;
    let protocol = protocol.unwrap_or_else(|| OtlpProtocol::guess(&endpoint));
    if protocol == OtlpProtocol::Grpc && endpoint.has_path() {
        reader.findings.warn(format!("{name}: the path of the URL is not used over gRPC"));
    }
    Some(OtlpSettings {
        endpoint: if is_base { endpoint.base(protocol) } else { endpoint.per_signal() },
        protocol,
        headers,
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        gzip: gzip.unwrap_or(false),
    })
}

/// Reads headers. Their values may be secrets, so a problem does not show them.
fn read_headers(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let Some(given) = reader.layers.find(&names, "") else { return Vec::new() };
    let headers = parse_pairs(&given.value)
        .filter(|headers| headers.iter().all(|(name, value)| valid_header(name, value)));
    headers.unwrap_or_else(|| {
        reader.findings.bad_value(given.name, "(not shown)", HEADERS_ACCEPTED);
        Vec::new()
    })
}
