/** Wire data for tests. */
import type { WireLog, WireSpan, WireTraceSummary } from './wire';

const RESOURCE = { attributes: [], droppedAttributesCount: 0, schemaUrl: '' };

export function wireSpan(change: Partial<WireSpan> = {}): WireSpan {
  return {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    parentSpanId: '',
    traceState: '',
    flags: 0,
    name: 'GET',
    kind: 2,
    startTimeUnixNano: '1000',
    endTimeUnixNano: '2000',
    attributes: [],
    droppedAttributesCount: 0,
    events: [],
    droppedEventsCount: 0,
    links: [],
    droppedLinksCount: 0,
    status: { code: 0, message: '' },
    serviceName: 'shop',
    resource: RESOURCE,
    scope: { ...RESOURCE, name: 'scope', version: '1' },
    ...change,
  };
}

export function wireSummary(change: Partial<WireTraceSummary> = {}): WireTraceSummary {
  return {
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    span_count: 2,
    error_count: 0,
    start_time: '1000',
    duration_ns: '500',
    duration_ms: 0.0005,
    service_name: 'shop',
    root_span_id: 'b7ad6b7169203331',
    root_span_name: 'GET',
    root_span_kind: 2,
    root_span_method: 'GET',
    root_span_route: null,
    root_span_url: '/orders',
    root_span_status_code: 200,
    root_span_status: { code: 0, message: '' },
    services: [{ name: 'shop', span_count: 2, error_count: 0 }],
    joined_trace_ids: [],
    ...change,
  };
}

export function wireLog(change: Partial<WireLog> = {}): WireLog {
  return {
    log_id: '1',
    timestamp: '1000',
    observed_timestamp: '1000',
    severity: 'INFO',
    severity_number: 9,
    event_name: '',
    body: { stringValue: 'Order processed' },
    message: 'Order processed',
    trace_id: '',
    span_id: '',
    flags: 0,
    service_name: 'shop',
    attributes: [],
    droppedAttributesCount: 0,
    resource: RESOURCE,
    scope: { ...RESOURCE, name: '', version: '' },
    ...change,
  };
}
