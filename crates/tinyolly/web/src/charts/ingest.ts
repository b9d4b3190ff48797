/** How fast telemetry arrives, from the server's running totals as this page has heard them. */

export interface Sample {
  /** Milliseconds. */
  at: number;
  spans: number;
  logs: number;
  points: number;
}

export type Counted = 'spans' | 'logs' | 'points';

/** How long samples are kept, and over how much of it the current rate is taken; milliseconds. */
export const KEPT_MS = 60_000;
export const CURRENT_MS = 10_000;

/** Adds a sample and drops old ones, all but the last from before the time that is kept. */
export function addSample(samples: readonly Sample[], sample: Sample): Sample[] {
  const last = samples.at(-1);
  // The server has begun anew: what was counted before says nothing about now.
  const isRestart = last !== undefined && (sample.spans < last.spans || sample.logs < last.logs || sample.points < last.points);
  const all = isRestart ? [sample] : [...samples, sample];
  const first = all.findIndex((each) => each.at >= sample.at - KEPT_MS);
  return all.slice(Math.max(0, first - 1));
}

/** The total at a moment: totals stand still until the next sample. */
function totalAt(samples: readonly Sample[], what: Counted, at: number): number | null {
  let total: number | null = null;
  for (const sample of samples) {
    if (sample.at > at) break;
    total = sample[what];
  }
  return total;
}

/** Per second over the last moments, or since the page listens when that is shorter; null before the second sample. */
export function rateOf(samples: readonly Sample[], what: Counted, now: number): number | null {
  const first = samples[0];
  if (!first) return null;
  const from = Math.max(first.at, now - CURRENT_MS);
  const length = now - from;
  if (length < 1_000) return null;
  return ((totalAt(samples, what, now) ?? 0) - (totalAt(samples, what, from) ?? 0)) * (1_000 / length);
}

/** What arrived in each of `count` equal pieces up to now; null where the page did not listen yet. */
export function courseOf(samples: readonly Sample[], what: Counted, now: number, count: number): (number | null)[] {
  const step = KEPT_MS / count;
  return Array.from({ length: count }, (_, index) => {
    const end = now - (count - 1 - index) * step;
    const before = totalAt(samples, what, end - step);
    return before === null ? null : (totalAt(samples, what, end) ?? before) - before;
  });
}
