/** The one client of the server's API. */
import { readLog, readSpan, readTraceSummary, type LogRecord, type Span, type TraceSummary } from './model';
import type { Nanos } from './time';
import { windowParams, type TimeWindow } from './range';
import type {
  WireCardinality,
  WireLog,
  WireMetric,
  WireMetricAnswer,
  WireMetricSummary,
  WireProblem,
  WireService,
  WireServiceDetail,
  WireServiceMap,
  WireTrace,
  WireTraceSummary,
} from './wire';

/** A request that failed; `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** Parameters of a request: empty ones are left out, lists are repeated. */
export type Params = Record<string, string | number | readonly string[]>;

/** Asks the server and throws an `ApiError` with its words where it refuses. */
export async function get<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (typeof value === 'object') for (const each of value) query.append(name, each);
    else if (value !== '' && value !== 0) query.set(name, String(value));
  }
  return (await (await request(path, query, signal)).json()) as T;
}

/** The answer with its headers; throws an `ApiError` where there is none or the server refuses. */
export async function request(path: string, query: URLSearchParams, signal?: AbortSignal): Promise<Response> {
  const url = query.size > 0 ? `${path}?${query.toString()}` : path;
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: 'application/json' }, ...(signal && { signal }) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'TinyOlly does not answer.');
  }
  if (!response.ok) throw new ApiError(response.status, await problemText(response));
  return response;
}

async function problemText(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as WireProblem;
    return problem.detail ?? problem.title ?? `The server answered ${response.status}.`;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

export interface TraceDetail {
  id: string;
  spans: Span[];
  /** As received, for "copy JSON". */
  wire: WireTrace;
}

export interface LogQuery {
  limit: number;
  service?: string;
  traceId?: string;
  severityMin?: number;
}

/** A name may have been sent with several types or units; empty ones leave the choice to the server. */
export interface MetricId {
  name: string;
  type: string;
  unit: string;
}

export function metricKey(id: MetricId): string {
  return JSON.stringify([id.name, id.type, id.unit]);
}

export const api = {
  /** Traces whose root is of this service and name, newest first. */
  async tracesOfRoot(service: string, name: string, limit: number, signal?: AbortSignal): Promise<TraceSummary[]> {
    const query = { limit, root: 1, service, name };
    return (await get<WireTraceSummary[]>('/api/traces', query, signal)).map(readTraceSummary);
  },

  async trace(id: string, signal?: AbortSignal): Promise<TraceDetail> {
    const wire = await get<WireTrace>(`/api/traces/${encodeURIComponent(id)}`, {}, signal);
    return { id: wire.trace_id, spans: wire.spans.map(readSpan), wire };
  },

  /** A trace as OTLP JSON, which any OTLP receiver takes; as it was received once retention has removed it. */
  async traceOtlp(detail: TraceDetail, signal?: AbortSignal): Promise<string> {
    let otlp: unknown = detail.wire;
    try {
      otlp = await get(`/api/traces/${encodeURIComponent(detail.id)}/otlp`, {}, signal);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
    }
    return JSON.stringify(otlp, null, 2);
  },

  /** A function of a metric over time. */
  metricQuery(params: Params, signal?: AbortSignal): Promise<WireMetricAnswer> {
    return get<WireMetricAnswer>('/api/metrics/query', params, signal);
  },

  /** Which labels a metric's series differ by. */
  cardinality(id: MetricId, signal?: AbortSignal): Promise<WireCardinality> {
    return get<WireCardinality>(`/api/metrics/${encodeURIComponent(id.name)}/cardinality`, { type: id.type, unit: id.unit }, signal);
  },

  async logs(query: LogQuery, signal?: AbortSignal): Promise<LogRecord[]> {
    const params = {
      limit: query.limit,
      service: query.service ?? '',
      trace_id: query.traceId ?? '',
      severity_min: query.severityMin ?? 0,
    };
    return (await get<WireLog[]>('/api/logs', params, signal)).map(readLog);
  },

  metrics(limit: number, signal?: AbortSignal): Promise<WireMetricSummary[]> {
    return get<WireMetricSummary[]>('/api/metrics', { limit }, signal);
  },

  /** Without a range the server's default, the last hour. */
  metric(id: MetricId, signal?: AbortSignal, range?: { start: Nanos; end: Nanos }): Promise<WireMetric> {
    const params = { type: id.type, unit: id.unit, ...(range && { start: String(range.start), end: String(range.end) }) };
    return get<WireMetric>(`/api/metrics/${encodeURIComponent(id.name)}`, params, signal);
  },

  services(window: TimeWindow, signal?: AbortSignal): Promise<WireService[]> {
    return get<WireService[]>('/api/service-catalog', windowParams(window), signal);
  },

  service(name: string, window: TimeWindow, signal?: AbortSignal): Promise<WireServiceDetail> {
    return get<WireServiceDetail>(`/api/service-catalog/${encodeURIComponent(name)}`, windowParams(window), signal);
  },

  /** With a trace id the map of that trace alone. */
  serviceMap(query: { window?: TimeWindow; traceId?: string }, signal?: AbortSignal): Promise<WireServiceMap> {
    const params = { ...windowParams(query.window ?? {}), trace_id: query.traceId ?? '' };
    return get<WireServiceMap>('/api/service-map', params, signal);
  },
};
