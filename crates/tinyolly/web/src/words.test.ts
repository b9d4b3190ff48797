import { expect, it } from 'vitest';
import { wireSpan } from './fixtures';
import { readSpan } from './model';
import { clocksText, evidenceText, formatCount, formatNumber, httpTone, plural, severityClass } from './words';

it.each([
  [0, '0'],
  [12_345, '12,345'],
  [1_234_567, '1.2M'],
])('counts %d as %s', (value, text) => {
  expect(formatCount(value)).toBe(text);
});

it.each([
  [0, '0'],
  [3, '3'],
  [0.00001234, '1.234e-5'],
  [0.5, '0.5'],
  [3.14159, '3.142'],
  [23_491_234.4, '23,491,234'],
  [1.5e12, '1.5e+12'],
  [Number.NaN, 'NaN'],
])('shows %d as %s', (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

it('puts every severity number in its range', () => {
  const classes = Array.from({ length: 26 }, (_, number) => severityClass(number));
  expect(classes[0]).toBe('none');
  expect(classes.slice(1, 25).filter((_, index) => index % 4 === 0)).toEqual([
    'trace',
    'debug',
    'info',
    'warn',
    'error',
    'fatal',
  ]);
  expect(classes[24]).toBe('fatal');
  expect(classes[25]).toBe('none');
});

it('has words for each kind of evidence', () => {
  const known = ['header', 'tcp_seq', 'task', 'thread', 'link_id', 'sole'].map(evidenceText);
  expect(new Set(known).size).toBe(6);
  expect(known).not.toContain(evidenceText('something newer'));
});

it('names the tone of an HTTP status', () => {
  expect([100, 200, 302, 404, 503].map(httpTone)).toEqual(['quiet', 'ok', 'info', 'warn', 'error']);
});

it('counts in words', () => {
  expect(plural(1, 'span')).toBe('1 span');
  expect(plural(2, 'series', 'series')).toBe('2 series');
});

it.each([
  [1_000_100, 1_000_900, ''],
  [1_000_000, 1_001_000, ''],
  [997_000, 998_000, 'begins 3.00 µs before the call.'],
  [1_000_500, 1_003_000, 'ends 2.00 µs after the call.'],
  [999_000, 1_003_000, 'begins 1.00 µs before the call and ends 2.00 µs after it.'],
])('says how a span from %d to %d stands out of a call of another host', (start, end, text) => {
  const times = (start: number, end: number) => ({ startTimeUnixNano: String(start), endTimeUnixNano: String(end) });
  const call = readSpan(wireSpan({ kind: 3, ...times(1_000_000, 1_001_000) }));
  const joinedParent = { traceId: call.traceId, spanId: call.id, linkSource: 'link_id' };
  const joined = readSpan(wireSpan({ spanId: '2', joinedParent, ...times(start, end) }));
  expect(clocksText(joined, call).split('this span ')[1] ?? '').toBe(text);
  expect(clocksText(joined, undefined)).toBe('');
  expect(clocksText(readSpan(wireSpan(times(start, end))), call)).toBe('');
});
