/** What a line of a list says. */
import { kindOf, type Origin, type SpanKind } from '../model';
import { parseNanos, toNumber, type Nanos } from '../time';
import type { WireSpanSummary } from '../wire';

export interface SpanRow {
  /** Ids may repeat in a list: a span that was sent with another start is a span of its own. */
  key: string;
  traceId: string;
  id: string;
  start: Nanos;
  duration: Nanos;
  service: string;
  name: string;
  /** Route or else URL, where the name does not say it. */
  target: string;
  kind: SpanKind;
  statusCode: number;
  statusMessage: string;
  httpStatus: number | null;
  isRoot: boolean;
  origin: Origin;
}

export function readSpanRow(wire: WireSpanSummary): SpanRow {
  const target = wire.route ?? wire.url ?? '';
  return {
    key: `${wire.trace_id}${wire.span_id}${wire.start_time}`,
    traceId: wire.trace_id,
    id: wire.span_id,
    start: parseNanos(wire.start_time),
    duration: parseNanos(wire.duration_ns),
    service: wire.service_name,
    name: wire.name,
    target: wire.name.includes(target) ? '' : target,
    kind: kindOf(wire.kind),
    statusCode: wire.status.code,
    statusMessage: wire.status.message,
    httpStatus: wire.status_code,
    isRoot: wire.parent_span_id === '',
    origin: wire.origin ?? 'unknown',
  };
}

/** The longest of some durations in nanoseconds, by which their bars are drawn; at least one. */
export function longestOf(rows: readonly { duration: Nanos }[]): number {
  return rows.reduce((most, row) => Math.max(most, toNumber(row.duration)), 1);
}
