/** A live list that keeps still while it is being read. */

export interface Held<T> {
  /** What is on the screen. */
  shown: readonly T[];
  /** What the server said last. */
  latest: readonly T[];
}

export function emptyHeld<T>(): Held<T> {
  return { shown: [], latest: [] };
}

/**
 * Takes a fresh answer. While the list is read, rows keep their places: those still known take their new content,
 * nothing is added or removed. Otherwise the answer is shown as it is.
 */
export function offer<T>(held: Held<T>, latest: readonly T[], key: (row: T) => string, isReading: boolean): Held<T> {
  if (!isReading || held.shown.length === 0) return { shown: latest, latest };
  const fresh = new Map(latest.map((row) => [key(row), row]));
  return { shown: held.shown.map((row) => fresh.get(key(row)) ?? row), latest };
}

/** How many rows wait, counting only those that the filter would show. */
export function waiting<T>(held: Held<T>, key: (row: T) => string, isWanted: (row: T) => boolean): number {
  if (held.shown === held.latest) return 0;
  const known = new Set(held.shown.map(key));
  return held.latest.filter((row) => !known.has(key(row)) && isWanted(row)).length;
}

export function release<T>(held: Held<T>): Held<T> {
  return { shown: held.latest, latest: held.latest };
}
