import { expect, it } from 'vitest';
import { sparkOf } from './spark';

it('draws from edge to edge, zero at the bottom and the most at the top', () => {
  expect(sparkOf([0, 5, 10]).line).toBe('M0 94L50 50L100 6');
  expect(sparkOf([0, 5, 10]).area).toBe('M0 100L0 94L50 50L100 6L100 100Z');
});

it('leaves gaps, and shows what stands alone as a dot', () => {
  const spark = sparkOf([1, 1, null, 1, null]);
  expect(spark.line).toBe('M0 6L25 6');
  expect(spark.dots).toEqual([{ x: 75, y: 6 }]);
});

it.each([[[]], [[null, null]], [[0, 0]], [[7]]])('makes no NaN of %o', (values) => {
  const { line, area, dots } = sparkOf(values);
  expect(line + area + JSON.stringify(dots)).not.toMatch(/NaN|Infinity|null/);
});

it('does not blow up what is small', () => {
  expect(sparkOf([0, 0.01], 1).line).toBe('M0 94L100 93.12');
});
