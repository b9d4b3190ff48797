/** What a list asks the server, made of the route. */
import { narrowingOf, narrowParams } from '../filters/narrow';
import type { Signal } from '../filters/fields';
import { timeWindow, windowParams } from '../range';
import type { Route } from '../route';

type Pairs = readonly (readonly [string, string])[];

/** The time of the route at a moment. */
export function askRange(route: Route, nowMillis: number): Pairs {
  const { start, end } = windowParams(timeWindow(route, nowMillis));
  const pairs = [
    ['start', start],
    ['end', end],
  ] as const;
  return pairs.filter(([, value]) => value !== '');
}

/** Range and filters, as histogram and facets take them. */
export function askFilters(route: Route, signal: Signal, nowMillis: number): Pairs {
  return [...askRange(route, nowMillis), ...narrowParams(narrowingOf(route), signal)];
}

/** Range, filters and order, as the list takes them. */
export function askList(route: Route, signal: Signal, nowMillis: number): Pairs {
  const sort = signal === 'logs' ? '' : route.sort;
  const order = [
    ['sort', sort],
    ['order', route.order],
  ] as const;
  return [...askFilters(route, signal, nowMillis), ...order.filter(([, value]) => value !== '')];
}

/** The same text for the same question, whatever the clock says. */
export function questionKey(route: Route, signal: Signal): string {
  return JSON.stringify([signal, route.range, askList({ ...route, range: 'all' }, signal, 0)]);
}
