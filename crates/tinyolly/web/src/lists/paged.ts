/** A list read in pages from its top, which keeps still while it is being read. */

export interface Page<T> {
  rows: readonly T[];
  /** Follows on from the last row; empty at the end of the list. */
  cursor: string;
  /** How far back the server looked before its time was up, as nanoseconds; empty where the page is full or the end. */
  searchedTo: string;
  /** False where the order was made of a part of the range. */
  isComplete: boolean;
  /** What was asked, as the following page has to be asked for in the same words. */
  asked: readonly (readonly [string, string])[];
  /** When it was asked, in milliseconds since the epoch. */
  askedAt: number;
}

export interface Paged<T> {
  /** What is on the screen, as far as it is loaded. */
  shown: Page<T>;
  /** A later answer for the top of the list, kept back while the list is read; null for none. */
  newer: Page<T> | null;
}

export function emptyPage<T>(): Page<T> {
  return { rows: [], cursor: '', searchedTo: '', isComplete: true, asked: [], askedAt: 0 };
}

export function emptyPaged<T>(): Paged<T> {
  return { shown: emptyPage(), newer: null };
}

/**
 * Takes a fresh first page. While the list is read, rows keep their places: those still known take their new content,
 * nothing is added or removed. Otherwise the page takes the place of all that was loaded.
 */
export function offerTop<T>(list: Paged<T>, top: Page<T>, key: (row: T) => string, isReading: boolean): Paged<T> {
  if (!isReading || list.shown.rows.length === 0) return { shown: follow(list.shown, top, key), newer: null };
  const fresh = new Map(top.rows.map((row) => [key(row), row]));
  const rows = list.shown.rows.map((row) => fresh.get(key(row)) ?? row);
  return { shown: { ...list.shown, rows }, newer: top };
}

/** How far before the last answer a search has to reach to leave no gap to it, for clocks that differ. */
const OVERLAP_MS = 10_000;

/**
 * A top whose search ended early takes over what earlier searches have found below it, instead of searching there
 * again each time that something arrives.
 */
function follow<T>(shown: Page<T>, top: Page<T>, key: (row: T) => string): Page<T> {
  const reach = Number(top.searchedTo) / 1e6;
  if (top.searchedTo === '' || shown.askedAt === 0 || reach > shown.askedAt - OVERLAP_MS) return top;
  const known = new Set(top.rows.map(key));
  const rows = [...top.rows, ...shown.rows.filter((row) => !known.has(key(row)))];
  return { ...top, rows, cursor: shown.cursor, searchedTo: shown.searchedTo };
}

/** Adds the page that follows; a row that is there already is not shown twice. */
export function append<T>(list: Paged<T>, next: Page<T>, key: (row: T) => string): Paged<T> {
  const known = new Set(list.shown.rows.map(key));
  const rows = [...list.shown.rows, ...next.rows.filter((row) => !known.has(key(row)))];
  return { ...list, shown: { ...next, asked: list.shown.asked, askedAt: list.shown.askedAt, rows, isComplete: list.shown.isComplete && next.isComplete } };
}

/** How many rows wait at least, and whether there may be more beyond the page. */
export function waitingOf<T>(list: Paged<T>, key: (row: T) => string): { count: number; isLeast: boolean } {
  if (list.newer === null) return { count: 0, isLeast: false };
  const known = new Set(list.shown.rows.map(key));
  const count = list.newer.rows.filter((row) => !known.has(key(row))).length;
  return { count, isLeast: count > 0 && count === list.newer.rows.length && list.newer.cursor !== '' };
}

export function releaseTop<T>(list: Paged<T>): Paged<T> {
  return list.newer === null ? list : { shown: list.newer, newer: null };
}

/**
 * Puts rows that a live tail sent where their time says, newest first. A row older than all that is loaded is left to
 * the page that it belongs to.
 */
export function insert<T>(page: Page<T>, rows: readonly T[], key: (row: T) => string, timeOf: (row: T) => bigint): Page<T> {
  const known = new Set(page.rows.map(key));
  const last = page.rows.at(-1);
  const oldest = page.cursor !== '' && last !== undefined ? timeOf(last) : null;
  const fresh = rows.filter((row) => !known.has(key(row)) && (oldest === null || timeOf(row) >= oldest)).reverse();
  if (fresh.length === 0) return page;
  const all = [...fresh, ...page.rows];
  // The sort is stable: of two rows of the same time the one that came last is first.
  return { ...page, rows: all.sort((a, b) => (timeOf(a) < timeOf(b) ? 1 : timeOf(a) > timeOf(b) ? -1 : 0)) };
}

/** The same for the list: rows wait while it is read. */
export function insertLive<T>(
  list: Paged<T>,
  rows: readonly T[],
  key: (row: T) => string,
  timeOf: (row: T) => bigint,
  isReading: boolean,
): Paged<T> {
  if (!isReading) return { shown: insert(list.newer ?? list.shown, rows, key, timeOf), newer: null };
  const newer = insert(list.newer ?? list.shown, rows, key, timeOf);
  return newer === (list.newer ?? list.shown) ? list : { ...list, newer };
}
