/** What the overview asks beside the catalog; kept while another view is open. */
import { api, get } from '../api';
import { addSample, type Sample } from '../charts/ingest';
import { readLog, readTraceSummary, type LogRecord, type TraceSummary } from '../model';
import { timeWindow, windowParams } from '../range';
import type { RouteRange } from '../route';
import type { WireLog, WireOperation, WireTraceSummary } from '../wire';
import { live } from './live.svelte';
import { LiveValue } from './live_value.svelte';

/** Rows of each of the short lists. */
const ROWS = 7;

export const failedTraces = new LiveValue<TraceSummary[], RouteRange>(async (range, signal) => {
  const params = { ...windowParams(timeWindow(range, Date.now())), errors: 1, limit: ROWS };
  return (await get<WireTraceSummary[]>('/api/traces', params, signal)).map(readTraceSummary);
});

export const errorLogs = new LiveValue<LogRecord[], RouteRange>(async (range, signal) => {
  const params = { ...windowParams(timeWindow(range, Date.now())), severity_min: 17, limit: ROWS };
  return (await get<WireLog[]>('/api/logs', params, signal)).map(readLog);
});

export interface SlowOperation extends WireOperation {
  service: string;
}

/** The slowest operations of the services that are given, by p95. Asked seldom, as it takes a request for each. */
export const slowOperations = new LiveValue<SlowOperation[], RouteRange & { services: readonly string[] }>(
  async ({ services, ...range }, signal) => {
    const window = timeWindow(range, Date.now());
    const details = await Promise.all(services.map((name) => api.service(name, window, signal)));
    return details
      .flatMap((detail) => detail.operations.map((operation) => ({ ...operation, service: detail.service.name })))
      .sort((a, b) => (b.duration_p95_ms ?? 0) - (a.duration_p95_ms ?? 0))
      .slice(0, ROWS);
  },
  10_000,
);

/** Totals as heard while the page is open. */
class Ingest {
  samples = $state.raw<readonly Sample[]>([]);
  now = $state(Date.now());

  /** Listens while the overview is open; call it inside an effect. */
  hear(): void {
    const received = live.stats?.received;
    if (!received) return;
    const { spans, logs, metric_points: points } = received;
    this.now = Date.now();
    this.samples = addSample(this.samples, { at: this.now, spans, logs, points });
  }

  /** Lets rates fall while nothing arrives. */
  tick(): void {
    this.now = Date.now();
  }
}

export const ingest = new Ingest();
