/** The service catalog and the map outlive their views, so that coming back shows at once what was there. */
import { api } from '../api';
import { timeWindow } from '../range';
import type { RouteRange } from '../route';
import type { WireService, WireServiceDetail, WireServiceMap } from '../wire';
import { LiveValue } from './live_value.svelte';

export const serviceCatalog = new LiveValue<WireService[], RouteRange>((range, signal) =>
  api.services(timeWindow(range, Date.now()), signal),
);

export const serviceMap = new LiveValue<WireServiceMap, RouteRange>(
  (range, signal) => api.serviceMap({ window: timeWindow(range, Date.now()) }, signal),
  3_000,
);

/** One service with its operations; each open panel has its own. */
export function serviceDetail(): LiveValue<WireServiceDetail, RouteRange & { name: string }> {
  return new LiveValue(({ name, ...range }, signal) => api.service(name, timeWindow(range, Date.now()), signal));
}
