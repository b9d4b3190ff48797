/** The time range of the URL: what the picker offers, what the server is asked for, and how it reads. */
import { tabRoute, type Route, type RouteRange, type Tab } from './route';
import { formatClock, formatDay, fromMillis, parseNanos, type Nanos } from './time';

/** What the picker offers. */
export const RANGES: readonly { id: string; name: string }[] = [
  { id: '5m', name: 'Last 5 minutes' },
  { id: '15m', name: 'Last 15 minutes' },
  { id: '1h', name: 'Last hour' },
  { id: '6h', name: 'Last 6 hours' },
  { id: '24h', name: 'Last 24 hours' },
  { id: '7d', name: 'Last 7 days' },
  { id: 'all', name: 'All stored data' },
];

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const UNIT_NAME = { s: 'second', m: 'minute', h: 'hour', d: 'day' } as const;
type Unit = keyof typeof UNIT_MS;

/** What the server is asked for; an end that is absent is "now", a start that is absent "since the beginning". */
export interface TimeWindow {
  start?: Nanos;
  end?: Nanos;
}

/** Views that show rates need a length; lists begin with all that is there. */
export function defaultRange(tab: Route['tab']): string {
  return tab === 'traces' || tab === 'spans' || tab === 'logs' ? 'all' : '1h';
}

export function isFixed(range: RouteRange): boolean {
  return range.from !== '' || range.to !== '';
}

/** The chosen range, or the default of the view. */
export function rangeId(route: RouteRange & Pick<Route, 'tab'>): string {
  return route.range !== '' ? route.range : defaultRange(route.tab);
}

/** Milliseconds of `15m` and the like; null for `all` and what is no range. */
export function rangeMillis(id: string): number | null {
  const match = /^([1-9]\d{0,3})([smhd])$/.exec(id);
  return match ? Number(match[1]) * UNIT_MS[match[2] as Unit] : null;
}

/**
 * The window of a route at a moment. A range up to now has no end, so that spans of a host whose clock is ahead are
 * not cut off.
 */
export function timeWindow(route: RouteRange & Partial<Pick<Route, 'tab'>>, nowMillis: number): TimeWindow {
  if (isFixed(route)) {
    return {
      ...(route.from !== '' && { start: parseNanos(route.from) }),
      ...(route.to !== '' && { end: parseNanos(route.to) }),
    };
  }
  const length = rangeMillis(rangeId({ tab: 'traces', ...route }));
  return length === null ? {} : { start: fromMillis(nowMillis - length) };
}

/** The window as the parameters `start` and `end` of the API, absent ones empty. */
export function windowParams(window: TimeWindow): { start: string; end: string } {
  return { start: window.start?.toString() ?? '', end: window.end?.toString() ?? '' };
}

/** The range as the picker says it: `Last hour`, `14:03:22 – 14:05:00`. */
export function rangeText(route: RouteRange & Pick<Route, 'tab'>, nowMillis: number): string {
  if (!isFixed(route)) {
    const id = rangeId(route);
    return RANGES.find((each) => each.id === id)?.name ?? spelled(id);
  }
  const today = formatDay(fromMillis(nowMillis));
  const from = route.from === '' ? 'the beginning' : moment(parseNanos(route.from), today);
  const to = route.to === '' ? 'now' : moment(parseNanos(route.to), today, route.from);
  return `${from} – ${to}`;
}

function spelled(id: string): string {
  const match = /^(\d+)([smhd])$/.exec(id);
  return match ? `Last ${match[1]} ${UNIT_NAME[match[2] as Unit]}${match[1] === '1' ? '' : 's'}` : 'All stored data';
}

/** A clock, with the day before it where that is neither today nor the day of `other`. */
function moment(at: Nanos, today: string, other = ''): string {
  const day = formatDay(at);
  const clock = formatClock(at).slice(0, 8);
  const known = other === '' ? today : formatDay(parseNanos(other));
  return day === known ? clock : `${day} ${clock}`;
}

/** A `datetime-local` value of the viewer's zone as nanoseconds; empty for what is no time. */
export function fromLocalInput(text: string): string {
  const millis = text === '' ? Number.NaN : new Date(text).getTime();
  return Number.isFinite(millis) && millis > 0 ? fromMillis(millis).toString() : '';
}

/** The `datetime-local` value of nanoseconds, to the second. */
export function toLocalInput(nanos: string): string {
  if (nanos === '') return '';
  const at = parseNanos(nanos);
  return at <= 0n ? '' : `${formatDay(at)}T${formatClock(at).slice(0, 8)}`;
}

/** The range as shown: a question that stays the same while time goes on, for a view whose own default may differ. */
export function shownRange(route: RouteRange & Pick<Route, 'tab'>): RouteRange {
  return { range: isFixed(route) ? '' : rangeId(route), from: route.from, to: route.to };
}

/** Another view with the range that this one shows, whatever the default of the other is. */
export function shownRoute(route: Route, tab: Tab, change: Partial<Route> = {}): Route {
  return tabRoute(route, tab, { ...shownRange(route), ...change });
}
