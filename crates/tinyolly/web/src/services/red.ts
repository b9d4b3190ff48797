/** Rate, errors and durations: their words, their order, and how bad they are. */
import { formatDuration } from '../time';
import type { WireRed, WireRedBucket } from '../wire';

export type Health = 'ok' | 'warn' | 'error' | 'quiet';

/** From this share of failed requests on something is wrong; below it, something went wrong. */
export const BAD_ERROR_RATE = 0.05;

export function healthOf(red: Pick<WireRed, 'request_count' | 'error_count' | 'error_rate'> | null): Health {
  if (red === null || red.request_count === 0) return 'quiet';
  if (red.error_rate >= BAD_ERROR_RATE) return 'error';
  return red.error_count > 0 ? 'warn' : 'ok';
}

export function healthText(health: Health): string {
  if (health === 'error') return 'failing: 5 % of the requests or more have errors';
  if (health === 'warn') return 'some requests have errors';
  return health === 'ok' ? 'no errors' : 'no requests';
}

/** `12.5/s`; below one a second by the minute, below one a minute by the hour. */
export function formatRate(perSecond: number): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return '0/s';
  if (perSecond >= 0.995) return `${digits(perSecond)}/s`;
  if (perSecond * 60 >= 0.995) return `${digits(perSecond * 60)}/min`;
  return `${digits(perSecond * 3_600)}/h`;
}

function digits(value: number): string {
  if (value >= 9_995) return `${digits(value / 1_000)}k`;
  if (value >= 99.5) return String(Math.round(value));
  return String(Number(value.toFixed(value >= 9.95 ? 1 : 2)));
}

/** `0 %`, `<0.1 %`, `2.4 %`, `37 %`. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (!(percent > 0)) return '0 %';
  if (percent < 0.1) return '<0.1 %';
  if (percent > 99.9 && percent < 100) return '>99.9 %';
  return `${percent < 9.95 ? Number(percent.toFixed(1)) : Math.round(percent)} %`;
}

/** A duration of the API, in milliseconds, or a dash. */
export function formatMillis(millis: number | null): string {
  return millis === null || !Number.isFinite(millis) ? '–' : formatDuration(millis * 1e6);
}

/** The one line that edges and nodes of the map wear: `12/s · 2.4 % · 48 ms`. */
export function redLine(red: WireRed): string {
  const errors = red.error_count > 0 ? ` · ${formatShare(red.error_rate)}` : '';
  return `${formatRate(red.rate)}${errors} · ${formatMillis(red.duration_p95_ms)}`;
}

/** The same in two short lines, for an edge. */
export function redLines(red: WireRed): [string, string] {
  const errors = red.error_count > 0 ? `${formatShare(red.error_rate)} · ` : '';
  return [formatRate(red.rate), `${errors}${formatMillis(red.duration_p95_ms)}`];
}

export function redText(red: WireRed): string {
  const requests = `${formatRate(red.rate)} requests, ${formatShare(red.error_rate)} errors`;
  return `${requests}, p95 ${formatMillis(red.duration_p95_ms)}`;
}

export interface Courses {
  requests: number[];
  /** Share of failed requests; null in a bucket without requests. */
  errors: (number | null)[];
  p95: (number | null)[];
}

export function coursesOf(series: readonly WireRedBucket[]): Courses {
  return {
    requests: series.map((bucket) => bucket.request_count),
    errors: series.map((bucket) => (bucket.request_count > 0 ? bucket.error_count / bucket.request_count : null)),
    p95: series.map((bucket) => bucket.duration_p95_ms),
  };
}

/** Columns that order a table of services or operations. */
export const RED_COLUMNS = ['name', 'rate', 'errors', 'p50', 'p95', 'p99', 'seen'] as const;
export type RedColumn = (typeof RED_COLUMNS)[number];

export interface RedRow extends WireRed {
  name: string;
  duration_p99_ms: number | null;
  last_seen?: string;
}

export function redColumn(name: string, fallback: RedColumn): RedColumn {
  return RED_COLUMNS.find((column) => column === name) ?? fallback;
}

/** Names begin with A, all else with the most, which is what one looks for. */
export function firstOrder(column: RedColumn): 'asc' | 'desc' {
  return column === 'name' ? 'asc' : 'desc';
}

/** A copy in order; equal rows by name, so that the order is the same after each refresh. */
export function sortRed<T extends RedRow>(rows: readonly T[], column: RedColumn, order: 'asc' | 'desc'): T[] {
  const sign = order === 'asc' ? 1 : -1;
  return [...rows].sort((a, b) => {
    const by = column === 'name' ? 0 : valueOf(a, column) - valueOf(b, column);
    const name = a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
    return by !== 0 ? sign * by : column === 'name' ? sign * name : name;
  });
}

function valueOf(row: RedRow, column: Exclude<RedColumn, 'name'>): number {
  switch (column) {
    case 'rate':
      return row.rate;
    case 'errors':
      return row.error_rate;
    case 'p50':
      return row.duration_p50_ms ?? -1;
    case 'p95':
      return row.duration_p95_ms ?? -1;
    case 'p99':
      return row.duration_p99_ms ?? -1;
    case 'seen':
      return Number(row.last_seen ?? 0);
  }
}

/** The rows of `sorted` in the order they have on the screen, new ones at the end; those that are gone are left out. */
export function keepOrder<T>(sorted: readonly T[], key: (row: T) => string, order: readonly string[]): T[] {
  const place = new Map(order.map((id, index) => [id, index]));
  const at = (row: T) => place.get(key(row)) ?? order.length;
  return [...sorted].sort((a, b) => at(a) - at(b));
}
