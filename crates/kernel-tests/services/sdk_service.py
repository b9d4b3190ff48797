"""A service with the OpenTelemetry SDK for Python.

Arguments: port, the collector's URL, protocol (`grpc` or `http`), signal (`traces` or `metrics`), and a port to call
before it answers, if any. It exports before it answers.
"""

import http.server
import sys
import urllib.request

from opentelemetry import propagate
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracerProvider, SpanKind

port, collector, protocol, signal = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
next_port = int(sys.argv[5]) if len(sys.argv) > 5 else None
resource = Resource.create({"service.name": "by-sdk"})

if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    span_options = metric_options = {"endpoint": collector, "insecure": True}
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    span_options = {"endpoint": collector + "/v1/traces"}
    metric_options = {"endpoint": collector + "/v1/metrics"}

if signal == "traces":
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(**span_options)))
    tracer, flush = provider.get_tracer("test"), provider.force_flush
else:
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(**metric_options))
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    served = meters.get_meter("test").create_counter("served")
    tracer, flush = NoOpTracerProvider().get_tracer("test"), meters.force_flush


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        with tracer.start_as_current_span("served", propagate.extract(self.headers), SpanKind.SERVER):
            if next_port is not None:
                self.call()
        if signal == "metrics":
            served.add(1)
        flush()
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def call(self):
        with tracer.start_as_current_span("call", kind=SpanKind.CLIENT):
            headers = {}
            propagate.inject(headers)
            request = urllib.request.Request(f"http://127.0.0.1:{next_port}/back{self.path}", headers=headers)
            urllib.request.urlopen(request).read()

    def log_message(self, format, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
