/** What the views use, made from `wire` once, when an answer arrives. */
import { findText, readAttributes, valueText, type Attribute } from './attributes';
import { minus, parseNanos, type Nanos } from './time';
import type { WireEvent, WireLink, WireLog, WireSpan, WireTraceSummary } from './wire';

export type SpanKind = 'unspecified' | 'internal' | 'server' | 'client' | 'producer' | 'consumer';

const KINDS: readonly SpanKind[] = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'];

/** Who made a span: the eBPF agent from the kernel, an SDK inside the program, or somebody who does not say. */
export type Origin = 'ebpf' | 'sdk' | 'unknown';

export interface TraceSummary {
  id: string;
  start: Nanos;
  duration: Nanos;
  spanCount: number;
  errorCount: number;
  service: string;
  name: string;
  kind: SpanKind;
  method: string;
  /** Route or else URL of the root. */
  target: string;
  httpStatus: number | null;
  services: { name: string; spanCount: number; errorCount: number }[];
  /** Traces of other hosts that are parts of this one. */
  joinedIds: string[];
  searchText: string;
}

export interface Resource {
  attributes: Attribute[];
  dropped: number;
  schemaUrl: string;
}

export interface Scope extends Resource {
  name: string;
  version: string;
}

export interface SpanEvent {
  time: Nanos;
  name: string;
  attributes: Attribute[];
  stack: string;
  dropped: number;
}

export interface SpanLink {
  traceId: string;
  spanId: string;
  attributes: Attribute[];
  dropped: number;
}

export interface Span {
  traceId: string;
  id: string;
  /** The parent as sent, or the one that TinyOlly found in another host's trace. */
  parentId: string;
  /** The parent is of another trace. */
  isJoined: boolean;
  name: string;
  /** Route or else path of an HTTP span, where the name does not say it. */
  target: string;
  service: string;
  kind: SpanKind;
  start: Nanos;
  end: Nanos;
  duration: Nanos;
  isError: boolean;
  statusCode: number;
  statusMessage: string;
  traceState: string;
  attributes: Attribute[];
  droppedAttributes: number;
  events: SpanEvent[];
  droppedEvents: number;
  links: SpanLink[];
  droppedLinks: number;
  resource: Resource;
  scope: Scope;
  origin: Origin;
  /** Evidence for the link to the parent: as the eBPF agent names it, or TinyOlly's own. */
  linkSource: string;
  searchText: string;
}

export interface LogRecord {
  id: string;
  time: Nanos;
  observed: Nanos;
  severity: string;
  severityNumber: number;
  eventName: string;
  message: string;
  /** The body when it is more than the message: structured, or of several lines. */
  body: string;
  isStructured: boolean;
  traceId: string;
  spanId: string;
  service: string;
  attributes: Attribute[];
  dropped: number;
  resource: Resource;
  scope: Scope;
  searchText: string;
}

export function kindOf(number: number): SpanKind {
  return KINDS[number] ?? 'unspecified';
}

export function readTraceSummary(wire: WireTraceSummary): TraceSummary {
  const target = wire.root_span_route ?? wire.root_span_url ?? '';
  const services = wire.services.map((each) => ({
    name: each.name,
    spanCount: each.span_count,
    errorCount: each.error_count,
  }));
  return {
    id: wire.trace_id,
    start: parseNanos(wire.start_time),
    duration: parseNanos(wire.duration_ns),
    spanCount: wire.span_count,
    errorCount: wire.error_count,
    service: wire.service_name,
    name: wire.root_span_name,
    kind: kindOf(wire.root_span_kind),
    method: wire.root_span_method ?? '',
    target,
    httpStatus: wire.root_span_status_code,
    services,
    joinedIds: wire.joined_trace_ids,
    searchText: [
      wire.trace_id,
      ...wire.joined_trace_ids,
      wire.root_span_name,
      wire.root_span_url,
      target,
      ...services.map((each) => each.name),
    ]
      .join('\n')
      .toLowerCase(),
  };
}

function readResource(wire: WireSpan['resource']): Resource {
  return {
    attributes: readAttributes(wire.attributes),
    dropped: wire.droppedAttributesCount,
    schemaUrl: wire.schemaUrl,
  };
}

function readScope(wire: WireSpan['scope']): Scope {
  return { ...readResource(wire), name: wire.name, version: wire.version };
}

function readEvent(wire: WireEvent): SpanEvent {
  const attributes = readAttributes(wire.attributes);
  return {
    time: parseNanos(wire.timeUnixNano),
    name: wire.name,
    stack: findText(attributes, 'exception.stacktrace'),
    attributes: attributes.filter((each) => each.key !== 'exception.stacktrace'),
    dropped: wire.droppedAttributesCount,
  };
}

function readLink(wire: WireLink): SpanLink {
  return {
    traceId: wire.traceId,
    spanId: wire.spanId,
    attributes: readAttributes(wire.attributes),
    dropped: wire.droppedAttributesCount,
  };
}

export function originOf(resource: readonly Attribute[]): Origin {
  if (findText(resource, 'telemetry.distro.name') === 'otel-ebpf-agent') return 'ebpf';
  return findText(resource, 'telemetry.sdk.name') === '' ? 'unknown' : 'sdk';
}

/** The agent names spans by method alone, to keep names few: what was asked for stands in the attributes. */
export function targetOf(name: string, attributes: readonly Attribute[]): string {
  const target =
    findText(attributes, 'http.route') || findText(attributes, 'url.path') || pathOf(findText(attributes, 'url.full'));
  return name.includes(target) ? '' : target;
}

function pathOf(url: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url)?.[1] ?? '';
}

export function readSpan(wire: WireSpan): Span {
  const start = parseNanos(wire.startTimeUnixNano);
  const end = parseNanos(wire.endTimeUnixNano);
  const attributes = readAttributes(wire.attributes);
  const resource = readResource(wire.resource);
  const words = [wire.spanId, wire.name, wire.serviceName, wire.status.message];
  for (const each of attributes) words.push(`${each.key}=${each.text}`);
  for (const each of wire.events) words.push(each.name);
  return {
    traceId: wire.traceId,
    id: wire.spanId,
    parentId: wire.joinedParent?.spanId ?? wire.parentSpanId,
    isJoined: wire.joinedParent !== undefined,
    name: wire.name,
    target: targetOf(wire.name, attributes),
    service: wire.serviceName,
    kind: kindOf(wire.kind),
    start,
    end,
    duration: minus(end, start),
    isError: wire.status.code === 2,
    statusCode: wire.status.code,
    statusMessage: wire.status.message,
    traceState: wire.traceState,
    attributes,
    droppedAttributes: wire.droppedAttributesCount,
    events: wire.events.map(readEvent),
    droppedEvents: wire.droppedEventsCount,
    links: wire.links.map(readLink),
    droppedLinks: wire.droppedLinksCount,
    resource,
    scope: readScope(wire.scope),
    origin: originOf(resource.attributes),
    linkSource: wire.joinedParent?.linkSource ?? findText(attributes, 'ebpf.link.source'),
    searchText: words.join('\n').toLowerCase(),
  };
}

export function readLog(wire: WireLog): LogRecord {
  const body = valueText(wire.body);
  const isStructured = wire.body?.kvlistValue !== undefined || wire.body?.arrayValue !== undefined;
  const attributes = readAttributes(wire.attributes);
  const words = [wire.message, wire.service_name, wire.severity, wire.trace_id, wire.span_id, wire.event_name];
  for (const each of attributes) words.push(`${each.key}=${each.text}`);
  return {
    id: wire.log_id,
    time: parseNanos(wire.timestamp),
    observed: parseNanos(wire.observed_timestamp),
    severity: wire.severity,
    severityNumber: wire.severity_number,
    eventName: wire.event_name,
    message: wire.message,
    body,
    isStructured,
    traceId: wire.trace_id,
    spanId: wire.span_id,
    service: wire.service_name,
    attributes,
    dropped: wire.droppedAttributesCount,
    resource: readResource(wire.resource),
    scope: readScope(wire.scope),
    searchText: words.join('\n').toLowerCase(),
  };
}

/** Every word of the query occurs somewhere in the text. */
export function matches(searchText: string, query: string): boolean {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== '');
  return words.every((word) => searchText.includes(word));
}
