"""The official Python SDK exporters send to tinyolly; what the REST API answers is compared field by field.

    python3 -m venv venv && venv/bin/pip install -r crates/tinyolly/tests/requirements.txt
    TINYOLLY_BIN=target/release/tinyolly venv/bin/pytest crates/tinyolly/tests/otlp_conformance.py
"""

import base64
import json
import math
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from opentelemetry import trace as trace_api
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import (
    AlwaysOnExemplarFilter,
    Counter,
    Histogram,
    MeterProvider,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from grpc import Compression as GrpcCompression

T0 = 1_763_829_600_123_456_789
LISTENING = re.compile(r"ui=http://(\S+) otlp_grpc=(\S+) otlp_http=http://(\S+)")

# The attribute types that the SDK has, and how OTLP/JSON spells them.
ATTRIBUTES = {
    "text": "žluťoučký 🐎 <b> \x00",
    "empty": "",
    "int": -(2**63),
    "double": 0.1,
    "yes": True,
    "texts": ["a", "b"],
    "ints": [1, 2**53 + 1],
    "doubles": [1.5, -2.0],
    "bools": [True, False],
    "long": "x" * 100_000,
}


def any_value(value):
    """A Python value as OTLP/JSON."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case bytes():
            return {"bytesValue": base64.b64encode(value).decode()}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
        case _:
            return {"arrayValue": {"values": [any_value(item) for item in value]}}


def attributes(values):
    return [{"key": key, "value": any_value(value)} for key, value in values.items()]


def by_key(listed):
    return sorted(listed, key=lambda attribute: attribute["key"])


class Server:
    """The program under test, on free ports."""

    def __init__(self, directory):
        binary = os.environ.get("TINYOLLY_BIN", "target/debug/tinyolly")
        ports = ["--ui-port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0"]
        self.process = subprocess.Popen(
            [binary, *ports, "--db", str(directory / "conformance.db")], stderr=subprocess.PIPE, text=True
        )
        line = self.process.stderr.readline()
        found = LISTENING.search(line)
        assert found, f"unexpected start: {line!r}"
        self.ui, self.grpc, self.http = found.groups()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.ui}{path}", timeout=10) as answer:
            return json.load(answer)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        assert self.process.wait(timeout=20) == 0


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    yield running
    running.stop()


@pytest.fixture(params=["grpc", "grpc-gzip", "http", "http-gzip"])
def exporters(request, server):
    """Makes the three exporters for one transport."""
    gzip = request.param.endswith("-gzip")
    if request.param.startswith("grpc"):
        common = {
            "endpoint": f"http://{server.grpc}",
            "insecure": True,
            "compression": GrpcCompression.Gzip if gzip else GrpcCompression.NoCompression,
        }
        return {
            "spans": lambda: GrpcSpans(**common),
            "logs": lambda: GrpcLogs(**common),
            "metrics": lambda **options: GrpcMetrics(**common, **options),
        }
    compression = HttpCompression.Gzip if gzip else HttpCompression.NoCompression

    def url(path):
        return {"endpoint": f"http://{server.http}/v1/{path}", "compression": compression}

    return {
        "spans": lambda: HttpSpans(**url("traces")),
        "logs": lambda: HttpLogs(**url("logs")),
        "metrics": lambda **options: HttpMetrics(**url("metrics"), **options),
    }


RESOURCE = {"service.name": "conformance", "service.version": "1.2.3", "host.cpus": 4}


def resource():
    return Resource(RESOURCE, schema_url="https://opentelemetry.io/schemas/1.34.0")


def assert_resource(listed):
    assert by_key(listed) == by_key(attributes(RESOURCE))


def test_spans(server, exporters):
    provider = TracerProvider(resource=resource())
    provider.add_span_processor(SimpleSpanProcessor(exporters["spans"]()))
    tracer = provider.get_tracer("lib", "0.9", "https://example.test/schema", {"scope.key": "scope value"})

    remote = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1), TraceState([("k", "v")]))
    link = Link(SpanContext(1, 2, False, TraceFlags(1), TraceState([("l", "w")])), {"why": "because"})
    parent = trace_api.set_span_in_context(trace_api.NonRecordingSpan(remote))
    span = tracer.start_span("GET /orders/{id}", parent, SpanKind.SERVER, ATTRIBUTES, [link], T0)
    span.add_event("paid", {"amount": 12}, T0 + 1)
    try:
        raise ValueError("out of stock")
    except ValueError as error:
        span.record_exception(error, timestamp=T0 + 2)
    span.set_status(Status(StatusCode.ERROR, "broken"))
    child = tracer.start_span("child", trace_api.set_span_in_context(span), SpanKind.INTERNAL, start_time=T0 + 10)
    child.set_status(StatusCode.OK)
    child.end(T0 + 20)
    span.end(T0 + 12_345_678)
    root = tracer.start_span("root", kind=SpanKind.PRODUCER, start_time=T0 + 5)
    root.end(T0 + 6)
    provider.shutdown()

    trace = server.get("/api/traces/0af7651916cd43dd8448eb211c80319c")
    assert trace["span_count"] == 2
    got, got_child = trace["spans"]
    exception = got["events"][1]["attributes"]
    assert {item["key"] for item in exception} >= {"exception.type", "exception.message", "exception.stacktrace"}
    assert {"key": "exception.message", "value": {"stringValue": "out of stock"}} in exception
    got["events"][1]["attributes"] = None
    assert_resource(got["resource"].pop("attributes"))
    context = span.get_span_context()
    assert got == {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": f"{context.span_id:016x}",
        "parentSpanId": "b7ad6b7169203331",
        "traceState": "k=v",
        # The SDK sends whether the parent is remote, not the trace flags themselves.
        "flags": 0x300,
        "name": "GET /orders/{id}",
        "kind": 2,
        "startTimeUnixNano": str(T0),
        "endTimeUnixNano": str(T0 + 12_345_678),
        "attributes": attributes(ATTRIBUTES),
        "droppedAttributesCount": 0,
        "events": [
            {
                "timeUnixNano": str(T0 + 1),
                "name": "paid",
                "attributes": attributes({"amount": 12}),
                "droppedAttributesCount": 0,
            },
            {"timeUnixNano": str(T0 + 2), "name": "exception", "attributes": None, "droppedAttributesCount": 0},
        ],
        "droppedEventsCount": 0,
        "links": [
            {
                "traceId": f"{1:032x}",
                "spanId": f"{2:016x}",
                # The SDK leaves out the trace state of links.
                "traceState": "",
                "attributes": attributes({"why": "because"}),
                "droppedAttributesCount": 0,
                "flags": 0x100,
            }
        ],
        "droppedLinksCount": 0,
        "status": {"code": 2, "message": "broken"},
        "serviceName": "conformance",
        "resource": {"droppedAttributesCount": 0, "schemaUrl": "https://opentelemetry.io/schemas/1.34.0"},
        "scope": {
            "name": "lib",
            "version": "0.9",
            "attributes": attributes({"scope.key": "scope value"}),
            "droppedAttributesCount": 0,
            "schemaUrl": "https://example.test/schema",
        },
    }
    assert (got_child["name"], got_child["parentSpanId"]) == ("child", got["spanId"])
    assert (got_child["kind"], got_child["status"]) == (1, {"code": 1, "message": ""})

    newest, first = server.get("/api/traces")
    assert (newest["root_span_name"], newest["root_span_kind"]) == ("root", 4)
    assert (first["span_count"], first["error_count"], first["duration_ns"]) == (2, 1, "12345678")
    assert first["services"] == [{"name": "conformance", "span_count": 2, "error_count": 1}]
    assert len(server.get("/api/spans")) == 3


def test_logs(server, exporters):
    provider = LoggerProvider(resource=resource())
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporters["logs"]()))
    logger = provider.get_logger("app.logger", "2", "https://example.test/schema", {"scope.key": 1})
    tracer = TracerProvider().get_tracer("t")
    span = tracer.start_span("s")
    body = {"event": "paid", "amount": 12, "tags": ["a", True, 1.5], "raw": b"\x00\xff"}
    logger.emit(
        LogRecord(
            timestamp=T0,
            observed_timestamp=T0 + 1,
            context=trace_api.set_span_in_context(span),
            severity_text="warning",
            severity_number=SeverityNumber.WARN2,
            body=body,
            attributes=ATTRIBUTES,
            event_name="order.paid",
        )
    )
    logger.emit(LogRecord(observed_timestamp=T0 + 5, severity_number=SeverityNumber.INFO, body="plain text"))
    provider.shutdown()

    plain, full = server.get("/api/logs")
    context = span.get_span_context()
    assert json.loads(full.pop("message")) == {"event": "paid", "amount": 12, "tags": ["a", True, 1.5], "raw": "00ff"}
    assert_resource(full["resource"].pop("attributes"))
    assert full == {
        "log_id": full["log_id"],
        "timestamp": str(T0),
        "observed_timestamp": str(T0 + 1),
        "severity": "warning",
        "severity_number": 14,
        "event_name": "order.paid",
        "body": any_value(body),
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "flags": int(context.trace_flags),
        "service_name": "conformance",
        "attributes": attributes(ATTRIBUTES),
        "droppedAttributesCount": 0,
        "resource": {"droppedAttributesCount": 0, "schemaUrl": "https://opentelemetry.io/schemas/1.34.0"},
        "scope": {
            "name": "app.logger",
            "version": "2",
            "attributes": attributes({"scope.key": 1}),
            "droppedAttributesCount": 0,
            "schemaUrl": "https://example.test/schema",
        },
    }
    assert (plain["message"], plain["severity"], plain["timestamp"]) == ("plain text", "INFO", str(T0 + 5))
    assert (plain["trace_id"], plain["span_id"]) == ("", "")
    assert len(server.get(f"/api/logs?trace_id={context.trace_id:032x}")) == 1


def send_metrics(exporter):
    """Records one measurement on every instrument that the SDK has, inside a span, and exports once."""
    exponential = View(instrument_name="latency.exponential", aggregation=ExponentialBucketHistogramAggregation())
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=math.inf)
    provider = MeterProvider(
        [reader], resource=resource(), views=[exponential], exemplar_filter=AlwaysOnExemplarFilter()
    )
    meter = provider.get_meter("meter", "3", "https://example.test/schema", {"scope.key": True})
    where = {"route": "/x", "code": 200}
    meter.create_counter("requests", "1", "How many").add(5, where)
    meter.create_counter("seconds", "s").add(0.5, where)
    meter.create_up_down_counter("active", "1").add(-3, where)
    meter.create_gauge("level", "m").set(1.25, where)
    meter.create_histogram("latency", "s", explicit_bucket_boundaries_advisory=[0.1, 1.0]).record(0.25, where)
    meter.create_histogram("latency.exponential", "s").record(3.0, where)
    meter.create_observable_counter("observed.total", [lambda _: [Observation(7, where)]], "1")
    meter.create_observable_up_down_counter("observed.size", [lambda _: [Observation(-7, where)]], "1")
    meter.create_observable_gauge("observed.level", [lambda _: [Observation(2.5, where)]], "1")
    provider.force_flush()
    provider.shutdown()
    return where


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_metrics(server, exporters, temporality):
    options = {}
    if temporality == "delta":
        options["preferred_temporality"] = {
            Counter: AggregationTemporality.DELTA,
            Histogram: AggregationTemporality.DELTA,
        }
    tracer = TracerProvider().get_tracer("t")
    before = time.time_ns()
    with tracer.start_as_current_span("measured") as span:
        where = send_metrics(exporters["metrics"](**options))
    after = time.time_ns()
    context = span.get_span_context()
    chosen = 1 if temporality == "delta" else 2

    def metric(name):
        got = server.get("/api/metrics/" + urllib.parse.quote(name))
        assert len(got["series"]) == 1
        series = got["series"][0]
        assert series["service_name"] == "conformance"
        assert_resource(series["resource"])
        assert series["resource_schema_url"] == "https://opentelemetry.io/schemas/1.34.0"
        assert series["scope"] == {
            "name": "meter",
            "version": "3",
            "attributes": attributes({"scope.key": True}),
            "droppedAttributesCount": 0,
            "schemaUrl": "https://example.test/schema",
        }
        assert by_key(series["attributes"]) == by_key(attributes(where))
        point = series["datapoints"][0]
        assert before <= int(point["timestamp"]) <= after
        assert point["flags"] == 0
        return got, series, point

    expected = [
        ("requests", "sum", {"asInt": "5"}, chosen, True),
        ("seconds", "sum", {"asDouble": 0.5}, chosen, True),
        ("active", "sum", {"asInt": "-3"}, 2, False),
        ("level", "gauge", {"asDouble": 1.25}, None, None),
        ("observed.total", "sum", {"asInt": "7"}, 2, True),
        ("observed.size", "sum", {"asInt": "-7"}, 2, False),
        ("observed.level", "gauge", {"asDouble": 2.5}, None, None),
    ]
    for name, kind, value, temporality_number, monotonic in expected:
        got, series, point = metric(name)
        assert (got["type"], point["value"]) == (kind, value), name
        assert (got["temporality"], got["is_monotonic"]) == (temporality_number, monotonic), name
        assert (series["temporality"], series["is_monotonic"]) == (temporality_number, monotonic), name
        for absent in ("histogram", "exponential_histogram", "summary"):
            assert absent not in point

    got, series, point = metric("requests")
    assert (got["unit"], got["description"]) == ("1", "How many")
    [exemplar] = series["exemplars"]
    assert exemplar["value"] == {"asInt": "5"}
    assert exemplar["trace_id"] == f"{context.trace_id:032x}"
    assert exemplar["span_id"] == f"{context.span_id:016x}"
    assert before <= int(exemplar["timestamp"]) <= after

    got, series, point = metric("latency")
    assert (got["type"], got["temporality"], got["is_monotonic"]) == ("histogram", chosen, None)
    assert before <= int(point["start_timestamp"]) <= int(point["timestamp"])
    assert point["histogram"] == {
        "count": "1",
        "sum": 0.25,
        "min": 0.25,
        "max": 0.25,
        "bucketCounts": ["0", "1", "0"],
        "explicitBounds": [0.1, 1.0],
    }
    assert series["exemplars"][0]["value"] == {"asDouble": 0.25}

    got, series, point = metric("latency.exponential")
    assert (got["type"], got["temporality"]) == ("exponential_histogram", chosen)
    shown = point["exponential_histogram"]
    scale = shown["scale"]
    assert shown["positive"]["bucketCounts"] == ["1"]
    # The one bucket holds the value: base ** offset < 3 <= base ** (offset + 1), base = 2 ** (2 ** -scale).
    exponent = math.log2(3.0) * 2**scale
    assert shown["positive"]["offset"] < exponent <= shown["positive"]["offset"] + 1
    assert (shown["count"], shown["sum"], shown["min"], shown["max"]) == ("1", 3.0, 3.0, 3.0)
    assert (shown["zeroCount"], shown["zeroThreshold"]) == ("0", 0.0)
    assert sum(map(int, shown["negative"]["bucketCounts"])) == 0

    listed = server.get("/api/metrics")
    assert [line["name"] for line in listed] == sorted(line["name"] for line in listed)
    assert len(listed) == 9
    assert all(line["services"] == ["conformance"] and line["series_count"] == 1 for line in listed)


def test_everything_counts_in_the_statistics(server):
    provider = TracerProvider(resource=resource())
    provider.add_span_processor(SimpleSpanProcessor(GrpcSpans(endpoint=f"http://{server.grpc}", insecure=True)))
    for number in range(20):
        provider.get_tracer("t").start_span(f"span {number}").end()
    provider.shutdown()
    stats = server.get("/api/stats")
    assert (stats["traces"], stats["spans"], stats["received"]["spans"]) == (20, 20, 20)
    assert set(stats["rejected"].values()) == {0}, stats["rejected"]
    assert stats["db_bytes"] > 0
    with pytest.raises(urllib.error.HTTPError) as unknown:
        server.get("/api/traces/" + "ab" * 16)
    assert unknown.value.code == 404
    assert json.load(unknown.value)["status"] == 404
