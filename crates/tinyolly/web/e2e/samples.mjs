/** Sends what the trace, metric and agent pages are tried with, as OTLP/HTTP JSON. */
import { randomBytes } from 'node:crypto';

const endpoint = process.env.OTLP_HTTP_URL ?? 'http://localhost:4318';
const hex = (bytes) => randomBytes(bytes).toString('hex');
const now = () => BigInt(Date.now()) * 1_000_000n;

function valueOf(value) {
  return typeof value === 'number' ? { doubleValue: value } : { stringValue: value };
}

function pairs(attributes) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: valueOf(value) }));
}

async function send(signal, body) {
  const response = await fetch(`${endpoint}/v1/${signal}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`OTLP answered ${response.status}: ${await response.text()}`);
}

const AGENT = { 'telemetry.distro.name': 'otel-ebpf-agent' };
const SDK = { 'telemetry.sdk.name': 'opentelemetry' };

/** One resource with its spans: `[id, parent, name, from ms, to ms, attributes]`. */
function resourceSpans(service, resource, traceId, start, spans) {
  return {
    resource: { attributes: pairs({ 'service.name': service, ...resource }) },
    scopeSpans: [
      {
        scope: { name: 'e2e' },
        spans: spans.map(([spanId, parentSpanId, name, from, to, attributes = {}]) => ({
          traceId,
          spanId,
          parentSpanId,
          name,
          kind: 2,
          startTimeUnixNano: String(start + BigInt(from * 1_000_000)),
          endTimeUnixNano: String(start + BigInt(to * 1_000_000)),
          attributes: pairs(attributes),
          status: {},
        })),
      },
    ],
  };
}

/** A trace that agent and SDK both saw, with evidence and a log; `extra` puts one span more into it. */
export async function sendEvidence(name, extra = false) {
  const traceId = hex(16);
  const [root, call, served] = [hex(8), hex(8), hex(8)];
  const start = now();
  await send('traces', {
    resourceSpans: [
      resourceSpans('e2e-front', AGENT, traceId, start, [
        [root, '', name, 0, 100],
        [call, root, 'call', 10, 80, { 'ebpf.link.source': 'sole' }],
        ...(extra ? [[hex(8), root, 'second call', 82, 90]] : []),
      ]),
      resourceSpans('e2e-back', SDK, traceId, start, [[served, call, 'serve', 15, 75, { 'ebpf.link.source': 'tcp_seq' }]]),
    ],
  });
  const record = { timeUnixNano: String(start + 20_000_000n), severityNumber: 9, body: { stringValue: `log of ${name}` }, traceId, spanId: served };
  await send('logs', { resourceLogs: [{ resource: { attributes: pairs({ 'service.name': 'e2e-back' }) }, scopeLogs: [{ scope: {}, logRecords: [record] }] }] });
  return traceId;
}

/** A trace of many spans, a few levels deep. */
export async function sendLarge(count) {
  const traceId = hex(16);
  const start = now();
  const ids = Array.from({ length: count }, () => hex(8));
  const spans = ids.map((id, index) => {
    const parent = index === 0 ? '' : ids[Math.floor(index / 8)];
    const from = Math.floor((index / count) * 900);
    return [id, parent, `span ${index}`, index === 0 ? 0 : from, index === 0 ? 1_000 : from + 5 + (index % 90)];
  });
  for (let at = 0; at < count; at += 500) {
    await send('traces', { resourceSpans: [resourceSpans(`e2e-large-${at % 7}`, SDK, traceId, start, spans.slice(at, at + 500))] });
  }
  return traceId;
}

function metric(name, unit, points, isMonotonic = true) {
  return { name, unit, sum: { aggregationTemporality: 2, isMonotonic, dataPoints: points } };
}

/** The last ten minutes of a cumulative counter that grows by `step` every ten seconds. */
function growing(step, attributes = {}) {
  const end = now();
  return Array.from({ length: 60 }, (_, index) => ({
    startTimeUnixNano: String(end - 601_000_000_000n),
    timeUnixNano: String(end - BigInt(59 - index) * 10_000_000_000n),
    asDouble: index * step,
    attributes: pairs(attributes),
  }));
}

/** A histogram in seconds, of two routes, with an exemplar of a trace. */
export async function sendHistogram(name, traceId) {
  const bounds = [0.01, 0.1, 1];
  const points = ['/a', '/b'].flatMap((route) =>
    growing(1, { 'http.route': route }).map(({ asDouble: at, ...point }, index) => ({
      ...point,
      count: String(4 * at),
      sum: 0.3 * at,
      explicitBounds: bounds,
      bucketCounts: [at, 2 * at, at, 0].map(String),
      ...(index === 30 && { exemplars: [{ timeUnixNano: point.timeUnixNano, asDouble: 0.05, traceId, spanId: hex(8) }] }),
    })),
  );
  const histogram = { aggregationTemporality: 2, dataPoints: points };
  const resource = { attributes: pairs({ 'service.name': 'e2e' }) };
  await send('metrics', { resourceMetrics: [{ resource, scopeMetrics: [{ scope: {}, metrics: [{ name, unit: 's', histogram }] }] }] });
}

/** What an eBPF agent says of itself. */
export async function sendAgent(host) {
  const resource = pairs({
    'service.name': 'otel-ebpf-agent',
    'service.version': '0.1.0',
    'service.instance.id': `${host}:7`,
    'host.name': host,
    'ebpf.agent.tap': 'fexit',
  });
  const metrics = [
    metric('ebpf.agent.spans.seen', '{span}', growing(100)),
    metric('ebpf.agent.spans.exported', '{span}', growing(95)),
    metric('ebpf.agent.spans.dropped', '{span}', growing(5, { cause: 'queue_full' })),
    metric('ebpf.agent.links', '{span}', growing(40, { source: 'tcp_seq', outcome: 'linked' })),
    metric('ebpf.agent.targets', '{process}', growing(0), false),
    metric('ebpf.agent.bpf.run_time', 's', growing(0.0005, { program: 'tcp_sendmsg' })),
    metric('ebpf.agent.bpf.run_count', '{run}', growing(500, { program: 'tcp_sendmsg' })),
    metric('ebpf.agent.cpu.time', 's', growing(0.2, { 'cpu.mode': 'user' })),
    metric('ebpf.agent.memory.rss', 'By', growing(1_000_000), false),
  ];
  await send('metrics', { resourceMetrics: [{ resource: { attributes: resource }, scopeMetrics: [{ scope: { name: 'otel-ebpf-agent' }, metrics }] }] });
}
