/** Counts over time, ready to be drawn. */
import { formatClock, formatDay, minus, parseNanos, plus, toNumber, type Nanos } from '../time';
import type { WireHistogram } from '../wire';

export interface Bucket {
  start: Nanos;
  count: number;
  errors: number;
}

export interface Buckets {
  start: Nanos;
  end: Nanos;
  /** Length of one bucket. */
  length: Nanos;
  all: readonly Bucket[];
  total: number;
  errors: number;
  isComplete: boolean;
}

export function readBuckets(wire: WireHistogram): Buckets {
  const all = wire.buckets.map((each) => ({ start: parseNanos(each.start), count: each.count, errors: each.errors }));
  const length = parseNanos(String(wire.bucket_ns));
  const start = all[0]?.start ?? parseNanos(wire.start);
  const last = all.at(-1)?.start;
  return {
    start,
    end: last === undefined ? parseNanos(wire.end) : plus(last, length),
    length,
    all,
    total: wire.total,
    errors: wire.errors,
    isComplete: wire.complete,
  };
}

/** The bucket under a place of the plot. */
export function bucketAt(x: number, width: number, count: number): number {
  if (width <= 0 || count === 0) return -1;
  return Math.min(count - 1, Math.max(0, Math.floor((x / width) * count)));
}

/** How many buckets a plot of this width shows well; a round step, so that a small resize asks for nothing new. */
export function bucketCount(width: number): number {
  return Math.min(160, Math.max(20, Math.round(width / 8 / 20) * 20));
}

export interface Tick {
  /** From 0 at the start to 1 at the end. */
  share: number;
  text: string;
}

const DAY = 86_400_000_000_000;

/** Labels at equal steps; days where the range is long, seconds where it is short. */
export function ticksOf(buckets: Buckets, count: number): Tick[] {
  const length = toNumber(minus(buckets.end, buckets.start));
  if (length <= 0 || count < 2) return [];
  return Array.from({ length: count }, (_, index) => {
    const share = index / (count - 1);
    const at = plus(buckets.start, BigInt(Math.round(length * share)) as Nanos);
    return { share, text: tickText(at, length, count) };
  });
}

function tickText(at: Nanos, length: number, count: number): string {
  const clock = formatClock(at);
  const step = length / count;
  if (step >= DAY) return formatDay(at).slice(5);
  if (length >= DAY) return `${formatDay(at).slice(5)} ${clock.slice(0, 5)}`;
  return step >= 60e9 ? clock.slice(0, 5) : step >= 1e9 ? clock.slice(0, 8) : clock;
}
