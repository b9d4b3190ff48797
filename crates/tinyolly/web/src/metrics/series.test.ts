import { expect, it } from 'vitest';
import type { WireDatapoint, WireMetric } from '../wire';
import { chartsOf, joinLines, lastValue, numberOf } from './series';

const SECOND = 1_000_000_000n;

function at(second: number, rest: Partial<WireDatapoint>, start = 1): WireDatapoint {
  return { timestamp: String(BigInt(second) * SECOND), start_timestamp: String(BigInt(start) * SECOND), flags: 0, ...rest };
}

function metric(change: Partial<WireMetric>, datapoints: WireDatapoint[]): WireMetric {
  const { temporality = 2, is_monotonic = true } = change;
  return {
    name: 'm',
    type: 'sum',
    unit: '1',
    description: '',
    temporality,
    is_monotonic,
    series: [{ service_name: 'shop', resource: [], attributes: [], temporality, is_monotonic, datapoints }],
    ...change,
  };
}

const int = (second: number, value: number, start = 1) => at(second, { value: { asInt: String(value) } }, start);
const histogram = (second: number, count: number, sum: number, start = 1) =>
  at(second, { histogram: { count: String(count), sum } }, start);
const lines = (wire: WireMetric) => chartsOf(wire).map((chart) => chart.lines[0]?.values);

it('draws a gauge as it is, in order of time', () => {
  const wire = metric({ type: 'gauge', temporality: null, is_monotonic: null }, [int(20, 2), int(10, 1)]);
  expect(chartsOf(wire)[0]).toMatchObject({ title: 'Value', lines: [{ label: 'shop', times: [10, 20], values: [1, 2] }] });
});

it('draws a cumulative counter as its rate, from zero again after a restart', () => {
  expect(lines(metric({}, [int(10, 100), int(20, 150), int(30, 30), int(40, 50, 35)]))).toEqual([[null, 5, 3, 5]]);
});

it('divides a delta by the time that it covers', () => {
  expect(lines(metric({ temporality: 1 }, [int(10, 20, 5), int(20, 30, 10)]))).toEqual([[4, 3]]);
});

it('draws a sum that may fall as its value', () => {
  expect(lines(metric({ is_monotonic: false }, [int(10, 5), int(20, -3)]))).toEqual([[5, -3]]);
});

it('draws mean and rate of a histogram', () => {
  const wire = metric({ type: 'histogram' }, [histogram(10, 2, 10), histogram(20, 12, 60), histogram(30, 3, 6)]);
  expect(lines(wire)).toEqual([
    [null, 5, 2],
    [null, 1, 0.3],
  ]);
});

it('shows the mean of a single point, and of deltas each for itself', () => {
  expect(lines(metric({ type: 'histogram' }, [histogram(10, 4, 10)]))[0]).toEqual([2.5]);
  expect(lines(metric({ type: 'histogram', temporality: 1 }, [histogram(10, 4, 10), histogram(20, 0, 0)]))[0]).toEqual([
    2.5,
    null,
  ]);
});

it('reads each series by its own temporality, and leaves a gap for a point without a value', () => {
  const wire = metric({}, [int(10, 5), at(20, { value: null }), int(30, 9), int(40, 19)]);
  const delta = metric({ temporality: 1 }, [int(20, 30, 10)]);
  wire.series.push(...delta.series);
  expect(chartsOf(wire)[0]?.lines.map((line) => line.values)).toEqual([[null, null, null, 1], [3]]);
});

it('puts lines on one axis', () => {
  const line = (times: number[], values: number[]) => ({ label: '', service: '', times, values });
  expect(joinLines([line([1, 3], [10, 30]), line([2, 3], [5, 6])])).toEqual([
    [1, 2, 3],
    [10, null, 30],
    [null, 5, 6],
  ]);
  expect(joinLines([])).toEqual([[]]);
});

it('reads numbers however they are spelled', () => {
  expect(['1.5', 2, 'NaN', 'Infinity', null, undefined, ''].map(numberOf)).toEqual([1.5, 2, null, null, null, null, null]);
});

it('ends a line on its last number', () => {
  expect(lastValue({ label: '', service: '', times: [1, 2], values: [4, null] })).toBe(4);
  expect(lastValue({ label: '', service: '', times: [], values: [] })).toBeNull();
});
