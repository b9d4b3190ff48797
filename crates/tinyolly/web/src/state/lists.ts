/** The lists outlive their views, so that coming back finds the same rows at the same place. */
import { api, metricKey } from '../api';
import type { WireMetricSummary } from '../wire';
import { LiveList } from './live_list.svelte';

/** How many rows a list loads at first, and how many the server gives at most. */
export const FIRST_ROWS = 500;
export const MOST_ROWS = 5_000;

export const metricList = new LiveList<WireMetricSummary, { limit: number }>(
  (query, signal) => api.metrics(query.limit, signal),
  metricKey,
);
