import { expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan } from '../model';
import { barOf, extentOf, guidePath, ticksOf } from './layout';
import { buildTree, flatten } from './tree';

const span = (start: number, end: number) =>
  readSpan(wireSpan({ startTimeUnixNano: String(start), endTimeUnixNano: String(end) }));

it('spans from the first start to the last end', () => {
  expect(extentOf([span(50, 60), span(40, 55), span(45, 90)])).toEqual({ start: 40n, length: 50 });
  expect(extentOf([]).length).toBe(1);
  expect(extentOf([span(5, 5)]).length).toBe(1);
});

it('places bars within the extent', () => {
  const extent = { start: span(100, 0).start, length: 100 };
  expect(barOf(span(100, 200), extent)).toEqual({ left: 0, width: 1 });
  expect(barOf(span(125, 150), extent)).toEqual({ left: 0.25, width: 0.25 });
  expect(barOf(span(180, 900), extent).width).toBeCloseTo(0.2);
  // A span that ends before it starts, as skewed clocks make them, has no width rather than a negative one.
  expect(barOf(span(150, 120), extent)).toEqual({ left: 0.5, width: 0 });
});

it.each([
  [1, 5, ['0', '1 ns']],
  [245_000_000, 5, ['0', '50 ms', '100 ms', '150 ms', '200 ms']],
  [1_210_000_000, 4, ['0', '500 ms', '1 s']],
  [950, 4, ['0', '500 ns']],
  [90_000, 3, ['0', '50 µs']],
])('%d ns with at most %d ticks: %j', (length, most, labels) => {
  const ticks = ticksOf(length, most);
  expect(ticks.map((tick) => tick.label)).toEqual(labels);
  expect(ticks.every((tick) => tick.at >= 0 && tick.at <= 1)).toBe(true);
});

it('draws the lines of the tree', () => {
  const node = (spanId: string, parentSpanId: string, start: number) =>
    readSpan(wireSpan({ spanId, parentSpanId, startTimeUnixNano: String(start) }));
  const tree = buildTree([node('a', '', 0), node('b', 'a', 1), node('c', 'b', 2), node('d', 'a', 3)]);
  expect(flatten(tree, new Set()).map((row) => guidePath(row, 28))).toEqual([
    '',
    'M8.5 0V28M8.5 14h6',
    'M8.5 0V28M22.5 0V14M22.5 14h6',
    'M8.5 0V14M8.5 14h6',
  ]);
});
