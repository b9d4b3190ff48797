import { describe, expect, it } from 'vitest';
import { coursesOf, formatMillis, formatRate, formatShare, healthOf, keepOrder, redLine, redLines, sortRed, type RedRow } from './red';

function row(change: Partial<RedRow>): RedRow {
  return {
    name: 'shop',
    request_count: 10,
    rate: 1,
    error_count: 0,
    error_rate: 0,
    duration_p50_ms: 1,
    duration_p95_ms: 2,
    duration_p99_ms: 3,
    ...change,
  };
}

it.each([
  [0, '0/s'],
  [Number.NaN, '0/s'],
  [1234.5, '1235/s'],
  [12_345, '12.3k/s'],
  [12.34, '12.3/s'],
  [1, '1/s'],
  [0.5, '30/min'],
  [0.01, '36/h'],
])('%d requests per second read as %s', (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});

it.each([
  [0, '0 %'],
  [0.0001, '<0.1 %'],
  [0.0237, '2.4 %'],
  [0.3712, '37 %'],
  [0.9999, '>99.9 %'],
  [1, '100 %'],
])('a share of %d reads as %s', (share, text) => {
  expect(formatShare(share)).toBe(text);
});

it('says durations as the rest of the page does', () => {
  expect(formatMillis(48.3)).toBe('48.3 ms');
  expect(formatMillis(null)).toBe('–');
});

it.each([
  [0, 0, 'quiet'],
  [10, 0, 'ok'],
  [1_000, 1, 'warn'],
  [100, 5, 'error'],
])('%d requests with %d errors are %s', (count, errors, health) => {
  expect(healthOf({ request_count: count, error_count: errors, error_rate: count ? errors / count : 0 })).toBe(health);
});

it('leaves errors that are not there out of the line', () => {
  expect(redLine(row({}))).toBe('1/s · 2.00 ms');
  expect(redLine(row({ error_count: 1, error_rate: 0.1 }))).toBe('1/s · 10 % · 2.00 ms');
  expect(redLines(row({}))).toEqual(['1/s', '2.00 ms']);
  expect(redLines(row({ error_count: 1, error_rate: 0.1 }))).toEqual(['1/s', '10 % · 2.00 ms']);
});

it('has no error share where there were no requests', () => {
  const bucket = (request_count: number, error_count: number) => ({ start: '0', request_count, error_count, duration_p95_ms: null });
  expect(coursesOf([bucket(0, 0), bucket(4, 1)])).toEqual({ requests: [0, 4], errors: [null, 0.25], p95: [null, null] });
});

describe('order', () => {
  const rows = [row({ name: 'b', rate: 2 }), row({ name: 'a', rate: 2 }), row({ name: 'c', rate: 9, duration_p95_ms: null })];
  const names = (sorted: readonly RedRow[]) => sorted.map((each) => each.name).join('');

  it('is by the column, then by name', () => {
    expect(names(sortRed(rows, 'rate', 'desc'))).toBe('cab');
    expect(names(sortRed(rows, 'rate', 'asc'))).toBe('abc');
    expect(names(sortRed(rows, 'name', 'desc'))).toBe('cba');
  });

  it('puts what has no value below what has one', () => {
    expect(names(sortRed(rows, 'p95', 'desc'))).toBe('abc');
  });

  it('is kept while somebody reads, with what is new at the end', () => {
    expect(names(keepOrder(sortRed(rows, 'rate', 'desc'), (each) => each.name, ['b', 'gone', 'a']))).toBe('bac');
  });
});
