/** The lists outlive their views, so that coming back finds the same rows at the same place. */
import { api, metricKey } from '../api';
import type { LogRecord, TraceSummary } from '../model';
import type { WireMetricSummary } from '../wire';
import { LiveList } from './live_list.svelte';

/** How many rows a list loads at first, and how many the server gives at most. */
export const FIRST_ROWS = 500;
export const MOST_ROWS = 5_000;

export const traceList = new LiveList<TraceSummary, { limit: number; service: string }>(
  (query, signal) => api.traces(query, signal),
  (row) => row.id,
);

export interface LogListQuery {
  limit: number;
  service: string;
  traceId: string;
  severityMin: number;
}

export const logList = new LiveList<LogRecord, LogListQuery>(
  (query, signal) => api.logs(query, signal),
  (row) => row.id,
);

export const metricList = new LiveList<WireMetricSummary, { limit: number }>(
  (query, signal) => api.metrics(query.limit, signal),
  metricKey,
);
