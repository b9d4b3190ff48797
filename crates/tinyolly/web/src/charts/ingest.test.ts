import { expect, it } from 'vitest';
import { addSample, courseOf, rateOf, type Sample } from './ingest';

const at = (seconds: number, spans: number): Sample => ({ at: seconds * 1_000, spans, logs: 0, points: 0 });

it('has no rate before it has heard for a second', () => {
  expect(rateOf([], 'spans', 0)).toBeNull();
  expect(rateOf([at(0, 5)], 'spans', 500)).toBeNull();
});

it('is over the last ten seconds, and falls when nothing comes', () => {
  const samples = [at(0, 0), at(10, 100), at(20, 150)];
  expect(rateOf(samples, 'spans', 20_000)).toBe(5);
  expect(rateOf(samples, 'spans', 29_000)).toBe(5);
  expect(rateOf(samples, 'spans', 31_000)).toBe(0);
  expect(rateOf([at(0, 0), at(2, 10)], 'spans', 2_000)).toBe(5);
});

it('begins anew with the server', () => {
  expect(addSample([at(0, 100)], at(1, 3))).toEqual([at(1, 3)]);
});

it('keeps a minute, and the total that it began with', () => {
  const samples = [at(0, 1), at(5, 2), at(66, 3)];
  expect(samples.reduce<Sample[]>(addSample, [])).toEqual([at(5, 2), at(66, 3)]);
});

it('draws what arrived in each piece, with a gap before the first sample', () => {
  expect(courseOf([at(20, 10), at(35, 30)], 'spans', 60_000, 4)).toEqual([null, null, 20, 0]);
});
