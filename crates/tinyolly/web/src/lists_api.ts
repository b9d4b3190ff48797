/** The server's lists by filter, page by page, and what surrounds them: counts over time, facets, keys. */
import { request } from './api';
import type { Signal } from './filters/fields';
import type { Page } from './lists/paged';
import { readSpanRow, type SpanRow } from './lists/rows';
import { readLog, readTraceSummary, type LogRecord, type TraceSummary } from './model';
import type {
  WireAttributeKeys,
  WireFacets,
  WireHistogram,
  WireLog,
  WireSpanSummary,
  WireTraceSummary,
} from './wire';

/** Parameters in order; a name may repeat. */
export type Asked = readonly (readonly [string, string])[];

function query(asked: Asked, more: Record<string, string> = {}): URLSearchParams {
  const params = new URLSearchParams();
  for (const [name, value] of asked) params.append(name, value);
  for (const [name, value] of Object.entries(more)) if (value !== '') params.append(name, value);
  return params;
}

/** Rows of a page. */
export const PAGE_ROWS = 200;

/** Reads the first page of a list, or with a cursor the one that follows. */
async function page<W, T>(
  path: string,
  asked: Asked,
  cursor: string,
  read: (wire: W) => T,
  signal?: AbortSignal,
): Promise<Page<T>> {
  const askedAt = Date.now();
  const response = await request(path, query(asked, { limit: String(PAGE_ROWS), cursor }), signal);
  const wire = (await response.json()) as W[];
  return {
    rows: wire.map(read),
    cursor: response.headers.get('x-next-cursor') ?? '',
    searchedTo: response.headers.get('x-searched-to') ?? '',
    isComplete: response.headers.get('x-complete') !== 'false',
    asked,
    askedAt,
  };
}

async function json<T>(path: string, params: URLSearchParams, signal?: AbortSignal): Promise<T> {
  return (await (await request(path, params, signal)).json()) as T;
}

export const lists = {
  traces: (asked: Asked, cursor: string, signal?: AbortSignal): Promise<Page<TraceSummary>> =>
    page<WireTraceSummary, TraceSummary>('/api/traces', asked, cursor, readTraceSummary, signal),

  spans: (asked: Asked, cursor: string, signal?: AbortSignal): Promise<Page<SpanRow>> =>
    page<WireSpanSummary, SpanRow>('/api/spans', asked, cursor, readSpanRow, signal),

  logs: (asked: Asked, cursor: string, signal?: AbortSignal): Promise<Page<LogRecord>> =>
    page<WireLog, LogRecord>('/api/logs', asked, cursor, readLog, signal),

  async log(id: string, signal?: AbortSignal): Promise<LogRecord> {
    return readLog(await json<WireLog>(`/api/logs/${encodeURIComponent(id)}`, query([]), signal));
  },

  /** The records around one, newest first like every list. */
  async logsAround(id: string, count: number, service: string, signal?: AbortSignal): Promise<LogRecord[]> {
    const params = query([], { around: id, before: String(count), after: String(count), service });
    return (await json<WireLog[]>('/api/logs', params, signal)).map(readLog);
  },

  histogram(of: Signal, asked: Asked, buckets: number, signal?: AbortSignal): Promise<WireHistogram> {
    return json('/api/histogram', query(asked, { signal: of, buckets: String(buckets) }), signal);
  },

  /** Values of the fields with how often each occurs, most frequent first. */
  async facets(of: Signal, asked: Asked, fields: readonly string[], signal?: AbortSignal): Promise<WireFacets> {
    if (fields.length === 0) return { complete: true, fields: {} };
    return json('/api/facets', query(asked, { signal: of, fields: fields.join(',') }), signal);
  },

  async attributeKeys(of: Signal, prefix: string, signal?: AbortSignal): Promise<WireAttributeKeys['keys']> {
    return (await json<WireAttributeKeys>('/api/attributes', query([], { signal: of, prefix }), signal)).keys;
  },
};
