/** Sends spans and logs as OTLP/HTTP JSON. */
import { randomBytes } from 'node:crypto';

const endpoint = process.env.OTLP_HTTP_URL ?? 'http://localhost:4318';

/** Sends one trace of a root with a child, named alike unless asked otherwise; returns its id. */
export async function sendTrace({ service, name, childName = name, attributes = {} }) {
  const traceId = randomBytes(16).toString('hex');
  const rootId = randomBytes(8).toString('hex');
  const now = BigInt(Date.now()) * 1_000_000n;
  const span = (spanId, parentSpanId, name, start, end) => ({
    traceId,
    spanId,
    parentSpanId,
    name,
    kind: 2,
    startTimeUnixNano: String(start),
    endTimeUnixNano: String(end),
    attributes: pairs(attributes),
    status: {},
  });
  const body = {
    resourceSpans: [
      {
        resource: { attributes: pairs({ 'service.name': service }) },
        scopeSpans: [
          {
            scope: { name: 'e2e' },
            spans: [
              span(rootId, '', name, now, now + 9_000_000n),
              span(randomBytes(8).toString('hex'), rootId, childName, now + 1_000_000n, now + 8_000_000n),
            ],
          },
        ],
      },
    ],
  };
  await post('/v1/traces', body);
  return traceId;
}

/** Sends log records of one service, a microsecond apart. */
export async function sendLogs({ service, lines, severityNumber = 9 }) {
  const now = BigInt(Date.now()) * 1_000_000n;
  const logRecords = lines.map((line, index) => ({
    timeUnixNano: String(now + BigInt(index) * 1_000n),
    severityNumber,
    body: { stringValue: line },
  }));
  const resource = { attributes: pairs({ 'service.name': service }) };
  await post('/v1/logs', { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'e2e' }, logRecords }] }] });
}

async function post(path, body) {
  const response = await fetch(endpoint + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`OTLP answered ${response.status}: ${await response.text()}`);
}

function pairs(attributes) {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: { stringValue: value } }));
}
