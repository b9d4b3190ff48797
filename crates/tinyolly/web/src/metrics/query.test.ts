import { expect, it } from 'vitest';
import type { WireMetricAnswer } from '../wire';
import { chartOf, chartWindow, filterParams, functionsOf, heatmapRows, rowOf, summaryOf, unitOf } from './query';
import { formatValue } from './units';

const ANSWER: WireMetricAnswer = {
  name: 'm', type: 'histogram', unit: 's', function: 'quantile', start: '0', end: '3000000000', step: '1000000000', complete: true,
  series: [
    { labels: { route: '' }, quantile: 0.5, points: [['1000000000', 1], ['2000000000', null]] },
    { labels: { route: '' }, quantile: 0.99, points: [['1000000000', 5], ['2000000000', 7]] },
  ],
  exemplars: [],
};

it('offers what fits a type, the default first', () => {
  expect(functionsOf('sum', true)[0]).toEqual({ id: 'rate', name: 'Rate per second' });
  expect(functionsOf('sum', false)[0]?.id).toBe('sum');
  expect(functionsOf('exponential_histogram', false).map((each) => each.id)).toContain('heatmap');
  expect(functionsOf('gauge', false).map((each) => each.id)).not.toContain('rate');
});

it('makes lines of an answer, the highest first', () => {
  const chart = chartOf(ANSWER);
  expect(chart.lines.map((line) => line.label)).toEqual(['route=∅ p99', 'route=∅ p50']);
  expect(chart.lines[1]).toMatchObject({ times: [1, 2], values: [1, null] });
  expect(summaryOf(chart.lines[0]!)).toEqual({ least: 5, most: 7, mean: 6, last: 7 });
  expect(summaryOf({ label: '', service: '', times: [1], values: [null] })).toBeNull();
});

it.each([
  ['s', 'quantile', 'histogram', 's'],
  ['s', 'rate', 'histogram', '1/s'],
  ['By', 'rate', 'sum', 'By/s'],
  ['s', 'increase', 'summary', '1'],
] as const)('%s of %s of a %s is in %s', (unit, fn, type, result) => {
  expect(unitOf(unit, fn, type)).toBe(result);
});

it('asks for both ends of the time', () => {
  const range = { range: '', from: '', to: '' };
  expect(chartWindow(range, 7_200_000)).toEqual({ start: 3_600_000_000_000n, end: 7_200_000_000_000n });
  expect(chartWindow({ range: 'all', from: '', to: '' }, 1e12).start).toBe(BigInt(1e12 - 7 * 86_400_000) * 1_000_000n);
  expect(chartWindow({ range: '', from: '5', to: '9' }, 1e12)).toEqual({ start: 5n, end: 9n });
});

it('reads filters', () => {
  expect(filterParams(['a=1', 'a=2', 'resource.host.name=x=y', 'b', '=c'])).toEqual({
    'attribute.a': ['1', '2'],
    'resource.host.name': ['x=y'],
  });
});

it('finds the part of a heat map that holds something', () => {
  const map = { bounds: [1, 2, 3, null], columns: [{ time: '1', counts: [0, 4, 0, 0] }, { time: '2', counts: [0, 0, 9, 0] }] };
  expect(heatmapRows(map)).toEqual({ first: 1, end: 3, most: 9 });
  expect(heatmapRows({ bounds: [1], columns: [] })).toEqual({ first: 0, end: 0, most: 0 });
  expect([0.5, 1, 1.5, 99].map((value) => rowOf(map, value))).toEqual([0, 0, 1, 3]);
});

it.each([
  [0.0123, 's', '12.3 ms'],
  [0, 's', '0'],
  [0.25, 's/s', '25 %'],
  [1_572_864, 'By', '1.5 MiB'],
  [512, 'By/s', '512 B/s'],
  [4.25, '{request}/s', '4.25 /s'],
  [7, '{span}', '7'],
  [0.5, '1', '0.5'],
  [21.5, 'Cel', '21.5 Cel'],
])('%d %s reads %s', (value, unit, text) => {
  expect(formatValue(value, unit)).toBe(text);
});
