import { expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan } from '../model';
import { barBetween, barOf, elbow, extentOf, guidePath, linePath, ticksOf } from './layout';
import { buildTree, flatten } from './tree';
import { whole } from './zoom';

const span = (start: number, end: number) =>
  readSpan(wireSpan({ startTimeUnixNano: String(start), endTimeUnixNano: String(end) }));

it('spans from the first start to the last end', () => {
  expect(extentOf([span(50, 60), span(40, 55), span(45, 90)])).toEqual({ start: 40n, length: 50 });
  expect(extentOf([]).length).toBe(1);
  expect(extentOf([span(5, 5)]).length).toBe(1);
});

it('places bars within the extent', () => {
  const extent = { start: span(100, 0).start, length: 100 };
  const all = whole(100);
  expect(barOf(span(100, 200), extent, all)).toEqual({ left: 0, width: 1, beyond: '' });
  expect(barOf(span(125, 150), extent, all)).toEqual({ left: 0.25, width: 0.25, beyond: '' });
  expect(barOf(span(180, 900), extent, all).width).toBeCloseTo(0.2);
  // A span that ends before it starts, as skewed clocks make them, has no width rather than a negative one.
  expect(barOf(span(150, 120), extent, all)).toEqual({ left: 0.5, width: 0, beyond: '' });
});

it('cuts bars at the shown time, and says where the others are', () => {
  const zoom = { from: 40, to: 60 };
  expect(barBetween(0, 100, zoom)).toEqual({ left: 0, width: 1, beyond: '' });
  expect(barBetween(50, 100, zoom)).toEqual({ left: 0.5, width: 0.5, beyond: '' });
  expect(barBetween(0, 30, zoom)).toEqual({ left: 0, width: 0, beyond: 'before' });
  expect(barBetween(70, 80, zoom)).toEqual({ left: 1, width: 0, beyond: 'after' });
});

it('draws segments as one line', () => {
  const segments = [{ from: 0, to: 10 }, { from: 10.1, to: 20 }, { from: 50, to: 60 }, { from: 90, to: 90.1 }];
  expect(linePath(segments, whole(100), 100)).toBe('M0 0H20M50 0H60M90 0H91');
  expect(linePath(segments, { from: 55, to: 65 }, 100)).toBe('M0 0H50');
  expect(linePath([], whole(1), 100)).toBe('');
});

it.each([
  [1, 5, ['0', '1 ns']],
  [245_000_000, 5, ['0', '50 ms', '100 ms', '150 ms', '200 ms']],
  [1_210_000_000, 4, ['0', '500 ms', '1 s']],
  [950, 4, ['0', '500 ns']],
  [90_000, 3, ['0', '50 µs']],
])('%d ns with at most %d ticks: %j', (length, most, labels) => {
  const { ticks } = ticksOf(whole(length), most);
  expect(ticks.map((tick) => tick.label)).toEqual(labels);
  expect(ticks.every((tick) => tick.at >= 0 && tick.at <= 1)).toBe(true);
});

it('labels ticks of a part so that they differ', () => {
  const { ticks, step } = ticksOf({ from: 100_001_500, to: 100_005_500 }, 4);
  expect(ticks.map((tick) => tick.label)).toEqual(['100.002 ms', '100.003 ms', '100.004 ms', '100.005 ms']);
  expect(ticks[0]?.at).toBeCloseTo(0.125);
  expect(step).toBeCloseTo(0.25);
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
  expect(flatten(tree, new Set()).map((row) => guidePath(row, 28, false))).toEqual(['', 'M8.5 14V28', 'M8.5 0V28', '']);
  expect(elbow(flatten(tree, new Set())[2]!, 28)).toEqual({ path: 'M22.5 0V14h6', x: 22.5, y: 14 });
});
