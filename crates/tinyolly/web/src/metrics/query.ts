/** What may be asked of a metric, and its answers as charts. */
import { rangeMillis, timeWindow } from '../range';
import type { RouteRange } from '../route';
import { fromMillis, parseNanos, toSeconds, type Nanos } from '../time';
import type { WireHeatmap, WireLine, WireMetricAnswer, WireMetricType } from '../wire';
import type { Chart, Line } from './series';

export interface FunctionChoice {
  id: string;
  name: string;
}

const NAMES: Record<string, string> = {
  rate: 'Rate per second',
  increase: 'Increase',
  sum: 'Sum',
  avg: 'Mean',
  min: 'Least',
  max: 'Most',
  count: 'Count',
  raw: 'As received',
  quantile: 'Quantiles',
  heatmap: 'Heat map',
};

const GAUGE = ['avg', 'min', 'max', 'sum', 'count', 'raw'];
const COUNTER = ['rate', 'increase', 'raw'];
const BALANCE = ['sum', 'avg', 'min', 'max', 'count', 'increase', 'raw'];
const HISTOGRAM = ['quantile', 'heatmap', 'rate', 'increase', 'avg', 'sum', 'count', 'min', 'max'];
const SUMMARY = ['quantile', 'rate', 'increase', 'count', 'sum', 'avg'];

/** What the server computes of a type, its default first. */
export function functionsOf(type: WireMetricType, isMonotonic: boolean): FunctionChoice[] {
  const fit = { gauge: GAUGE, sum: isMonotonic ? COUNTER : BALANCE, histogram: HISTOGRAM, exponential_histogram: HISTOGRAM, summary: SUMMARY };
  return fit[type].map((id) => ({ id, name: NAMES[id] ?? id }));
}

export function functionName(id: string): string {
  return NAMES[id] ?? id;
}

/** The longest range that charts show: "all" has no begin that one could count from. */
const MOST_MS = 7 * 24 * 3_600_000;

/** Both ends of the chosen time. */
export function chartWindow(route: RouteRange, nowMillis: number): { start: Nanos; end: Nanos } {
  const window = timeWindow({ ...route, tab: 'metrics' }, nowMillis);
  const end = window.end ?? fromMillis(nowMillis);
  const most = route.range === 'all' ? MOST_MS : (rangeMillis(route.range) ?? 3_600_000);
  return { start: window.start ?? ((end - BigInt(most) * 1_000_000n) as Nanos), end };
}

/** Filters of a route, `key=value` and `resource.key=value`, as the API takes them. */
export function filterParams(attrs: readonly string[]): Record<string, readonly string[]> {
  const params: Record<string, string[]> = {};
  for (const attr of attrs) {
    const at = attr.indexOf('=');
    if (at <= 0) continue;
    const key = attr.slice(0, at);
    const name = key.startsWith('resource.') ? key : `attribute.${key}`;
    (params[name] ??= []).push(attr.slice(at + 1));
  }
  return params;
}

/** The unit of a function's values. */
export function unitOf(unit: string, fn: string, type: WireMetricType): string {
  if (fn === 'rate') return `${type === 'sum' ? unit : '1'}/s`;
  if (fn === 'count' || (fn === 'increase' && type !== 'sum')) return '1';
  return unit;
}

export function labelOfLine(line: WireLine): string {
  const labels = Object.entries(line.labels).map(([key, value]) => `${key}=${value === '' ? '∅' : value}`);
  if (line.quantile !== undefined) labels.push(`p${Number((line.quantile * 100).toPrecision(6))}`);
  return labels.join(' ');
}

/** The lines of an answer, the ones that reach highest first, as only so many are drawn. */
export function chartOf(answer: WireMetricAnswer): Chart {
  const lines = answer.series.map((line) => ({ line, top: Math.max(-Infinity, ...line.points.map(([, value]) => value ?? -Infinity)) }));
  lines.sort((a, b) => b.top - a.top || (a.line.quantile ?? 0) - (b.line.quantile ?? 0));
  return {
    title: functionName(answer.function),
    unit: unitOf(answer.unit, answer.function, answer.type),
    lines: lines.map(({ line }): Line => ({
      label: labelOfLine(line) || 'all series',
      service: line.labels['service'] ?? '',
      times: line.points.map(([time]) => toSeconds(parseNanos(time))),
      values: line.points.map(([, value]) => value),
    })),
  };
}

/** Least, most and last of a line's values; null where it has none. */
export function summaryOf(line: Line): { least: number; most: number; mean: number; last: number } | null {
  const values = line.values.filter((value) => value !== null);
  const last = values.at(-1);
  if (last === undefined) return null;
  let least = last;
  let most = last;
  let sum = 0;
  for (const value of values) {
    least = Math.min(least, value);
    most = Math.max(most, value);
    sum += value;
  }
  return { least, most, mean: sum / values.length, last };
}

/** Rows of a heat map that something fell into, from the lowest up, with the highest count. */
export function heatmapRows(map: WireHeatmap): { first: number; end: number; most: number } {
  let first = map.bounds.length;
  let end = 0;
  let most = 0;
  for (const { counts } of map.columns) {
    counts.forEach((count, row) => {
      if (!(count > 0)) return;
      first = Math.min(first, row);
      end = Math.max(end, row + 1);
      most = Math.max(most, count);
    });
  }
  return first < end ? { first, end, most } : { first: 0, end: 0, most: 0 };
}

/** The row that a value falls into. */
export function rowOf(map: WireHeatmap, value: number): number {
  const row = map.bounds.findIndex((bound) => bound === null || value <= bound);
  return row < 0 ? map.bounds.length - 1 : row;
}
