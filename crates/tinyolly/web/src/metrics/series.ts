/** Chart data from data points: values, rates and means over time. */
import { labelOf, readAttributes } from '../attributes';
import { parseNanos, toSeconds } from '../time';
import type { WireDatapoint, WireDistribution, WireMetric, WireNumber } from '../wire';

export interface Line {
  label: string;
  service: string;
  /** Seconds since the epoch, rising. */
  times: number[];
  values: (number | null)[];
}

export interface Chart {
  title: string;
  unit: string;
  lines: Line[];
}

const DELTA = 1;

/** OTLP numbers may be spelled as text, NaN and the infinities always are. */
export function numberOf(value: number | string | null | undefined): number | null {
  if (value === null || value === undefined || value === '') return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

export function pointValue(value: WireNumber | null | undefined): number | null {
  return numberOf(value?.asDouble ?? value?.asInt);
}

export function distributionOf(point: WireDatapoint): WireDistribution | undefined {
  return point.histogram ?? point.exponential_histogram ?? point.summary;
}

/** The charts that say most about a metric of its type. */
export function chartsOf(metric: WireMetric): Chart[] {
  if (metric.type === 'gauge' || (metric.type === 'sum' && metric.is_monotonic !== true && metric.temporality !== DELTA)) {
    return [{ title: 'Value', unit: metric.unit, lines: linesOf(metric, values) }];
  }
  if (metric.type === 'sum') {
    const lines = linesOf(metric, (points, isDelta) => rates(points, (point) => pointValue(point.value), isDelta));
    return [{ title: 'Rate per second', unit: perSecond(metric.unit), lines }];
  }
  const count = (point: WireDatapoint) => numberOf(distributionOf(point)?.count);
  return [
    { title: 'Mean', unit: metric.unit, lines: linesOf(metric, means) },
    { title: 'Measurements per second', unit: '1/s', lines: linesOf(metric, (points, isDelta) => rates(points, count, isDelta)) },
  ];
}

function perSecond(unit: string): string {
  return unit === '' || unit === '1' || unit.startsWith('{') ? '1/s' : `${unit}/s`;
}

type Reader = (points: readonly WireDatapoint[], isDelta: boolean) => (number | null)[];

function linesOf(metric: WireMetric, read: Reader): Line[] {
  return metric.series.map((series) => {
    const points = [...series.datapoints].sort((a, b) => seconds(a) - seconds(b));
    return {
      label: labelOf(readAttributes(series.attributes)) || series.service_name,
      service: series.service_name,
      times: points.map(seconds),
      values: read(points, series.temporality === DELTA),
    };
  });
}

function seconds(point: WireDatapoint): number {
  return toSeconds(parseNanos(point.timestamp));
}

function values(points: readonly WireDatapoint[]): (number | null)[] {
  return points.map((point) => pointValue(point.value));
}

/** Seconds that a point's number covers, and the number that came in since: null where that cannot be known. */
function growth(
  points: readonly WireDatapoint[],
  index: number,
  read: (point: WireDatapoint) => number | null,
  isDelta: boolean,
): { amount: number; seconds: number } | null {
  const point = points[index];
  const now = point && read(point);
  if (!point || now === null || now === undefined) return null;
  const previous = points[index - 1];
  if (isDelta) {
    const start = toSeconds(parseNanos(point.start_timestamp)) || (previous ? seconds(previous) : 0);
    return start > 0 && seconds(point) > start ? { amount: now, seconds: seconds(point) - start } : null;
  }
  const before = previous ? read(previous) : null;
  if (!previous || before === null || seconds(point) <= seconds(previous)) return null;
  // A counter that fell, or says that it began anew, has restarted from zero.
  const isReset = now < before || parseNanos(point.start_timestamp) > parseNanos(previous.timestamp);
  return { amount: isReset ? now : now - before, seconds: seconds(point) - seconds(previous) };
}

export function rates(
  points: readonly WireDatapoint[],
  read: (point: WireDatapoint) => number | null,
  isDelta: boolean,
): (number | null)[] {
  return points.map((_, index) => {
    const grown = growth(points, index, read, isDelta);
    return grown && grown.amount / grown.seconds;
  });
}

/** Mean of what was measured between a point and the one before it. */
export function means(points: readonly WireDatapoint[], isDelta: boolean): (number | null)[] {
  const count = (point: WireDatapoint) => numberOf(distributionOf(point)?.count);
  const sum = (point: WireDatapoint) => numberOf(distributionOf(point)?.sum);
  return points.map((point, index) => {
    if (isDelta || points.length === 1) return ratio(sum(point), count(point));
    const measured = growth(points, index, count, false);
    const total = points[index - 1];
    if (!measured || !total) return null;
    const now = sum(point);
    const before = sum(total);
    // Counts tell a restart; a sum may fall without one when negative values were measured.
    const isReset = measured.amount === count(point) && count(total) !== 0;
    return ratio(now === null || before === null ? null : isReset ? now : now - before, measured.amount);
  });
}

function ratio(sum: number | null, count: number | null): number | null {
  return sum === null || count === null || count === 0 ? null : sum / count;
}

/** One time axis for all lines, gaps where a line has no point there. */
export function joinLines(lines: readonly Line[]): [number[], ...(number | null)[][]] {
  const times = [...new Set(lines.flatMap((line) => line.times))].sort((a, b) => a - b);
  const place = new Map(times.map((time, index) => [time, index]));
  const columns = lines.map((line) => {
    const column: (number | null)[] = new Array<number | null>(times.length).fill(null);
    line.times.forEach((time, index) => {
      const at = place.get(time);
      if (at !== undefined) column[at] = line.values[index] ?? null;
    });
    return column;
  });
  return [times, ...columns];
}

/** What each line ends on. */
export function lastValue(line: Line): number | null {
  for (let index = line.values.length - 1; index >= 0; index -= 1) {
    const value = line.values[index];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}
