/** Which rows of a long list are near the screen. */

export interface Window {
  first: number;
  /** One past the last. */
  end: number;
}

export function windowOf(scrollTop: number, height: number, rowHeight: number, count: number, spare = 8): Window {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - spare);
  const end = Math.min(count, Math.ceil((scrollTop + height) / rowHeight) + spare);
  return { first: Math.min(first, end), end };
}

/** The scroll position that shows a row whole, moving no more than needed. */
export function reveal(index: number, scrollTop: number, height: number, rowHeight: number): number {
  const top = index * rowHeight;
  if (top < scrollTop) return top;
  return top + rowHeight > scrollTop + height ? top + rowHeight - height : scrollTop;
}

/** The index `by` rows from the one with the cursor, within the list; the first row when there was none. */
export function step(index: number, by: number, count: number): number {
  if (count === 0) return -1;
  if (index < 0) return by < 0 ? count - 1 : 0;
  return Math.min(count - 1, Math.max(0, index + by));
}
