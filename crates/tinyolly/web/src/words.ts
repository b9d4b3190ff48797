/** Numbers, severities and evidence in words. */
import type { Origin, Span, SpanKind } from './model';
import { formatDuration, minus } from './time';

const whole = new Intl.NumberFormat('en-GB');
const short = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** `12,345`, or `1.2M` from a million on. */
export function formatCount(value: number): string {
  return value < 1_000_000 ? whole.format(value) : short.format(value);
}

/** A measured value: whole from a thousand on, below it the four digits that count. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0 || (Number.isInteger(value) && Math.abs(value) < 1e9)) return whole.format(value);
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) return value.toExponential(3).replace(/\.?0+e/, 'e');
  return size >= 1_000 ? whole.format(Math.round(value)) : String(Number(value.toPrecision(4)));
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

export type SeverityClass = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'none';

/** The six ranges of OTLP severity numbers. */
export function severityClass(number: number): SeverityClass {
  if (number < 1 || number > 24) return 'none';
  const classes = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
  return classes[Math.floor((number - 1) / 4)] ?? 'none';
}

const EVIDENCE: Record<string, string> = {
  header: 'A traceparent header read from the request names the parent.',
  tcp_seq: 'The request’s first byte has the same connection and TCP sequence number on both ends.',
  task: 'The same async task, or a task it woke, made the call while the parent’s request was open.',
  thread: 'The same OS thread made the call while the parent’s request was open.',
  link_id: 'Joined by TinyOlly: the agents of both hosts saw the same TCP sequence numbers at the request’s two ends.',
  sole: 'The parent’s request was the only one open in the process during the whole call.',
};

/** Why the agent believes in the link to the parent. */
export function evidenceText(source: string): string {
  return EVIDENCE[source] ?? 'The agent names this evidence, which this version of TinyOlly does not know.';
}

/** How firm the evidence is: read off the wire, followed through the program, or what remains when all else is out. */
export type Strength = 'wire' | 'followed' | 'inferred' | 'unknown';

const STRENGTH: Record<string, Strength> = {
  header: 'wire',
  tcp_seq: 'wire',
  link_id: 'wire',
  task: 'followed',
  thread: 'followed',
  sole: 'inferred',
};

export function evidenceStrength(source: string): Strength {
  return STRENGTH[source] ?? 'unknown';
}

const STRENGTH_TEXT: Record<Strength, string> = {
  wire: 'Read off the wire',
  followed: 'Followed through the program',
  inferred: 'Inferred',
  unknown: 'Evidence',
};

export function strengthText(strength: Strength): string {
  return STRENGTH_TEXT[strength];
}

/** How a span of another host stands out of its call, by the clocks of the two; empty where it does not. */
export function clocksText(span: Span, call: Span | undefined): string {
  if (!span.isJoined || !call) return '';
  const before = minus(call.start, span.start);
  const after = minus(span.end, call.end);
  const facts = [
    ...(before > 0n ? [`begins ${formatDuration(before)} before the call`] : []),
    ...(after > 0n ? [`ends ${formatDuration(after)} after ${before > 0n ? 'it' : 'the call'}`] : []),
  ];
  if (facts.length === 0) return '';
  return `Times are shown as each host’s clock gave them: by those, this span ${facts.join(' and ')}.`;
}

const KIND_TEXT: Record<SpanKind, string> = {
  unspecified: 'kind not given',
  internal: 'internal work',
  server: 'server: answers a request',
  client: 'client: makes a request',
  producer: 'producer: sends a message',
  consumer: 'consumer: handles a message',
};

export function kindText(kind: SpanKind): string {
  return KIND_TEXT[kind];
}

export function originText(origin: Origin): string {
  if (origin === 'ebpf') return 'seen from the kernel by the eBPF agent';
  return origin === 'sdk' ? 'reported by an OpenTelemetry SDK in the program' : 'origin not given';
}

export function statusText(code: number): string {
  return code === 2 ? 'Error' : code === 1 ? 'Ok' : 'Unset';
}

/** 2xx, 3xx, 4xx, 5xx as a tone of the palette. */
export function httpTone(status: number): 'ok' | 'info' | 'warn' | 'error' | 'quiet' {
  if (status >= 500) return 'error';
  if (status >= 400) return 'warn';
  if (status >= 300) return 'info';
  return status >= 200 ? 'ok' : 'quiet';
}
