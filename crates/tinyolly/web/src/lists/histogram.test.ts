import { describe, expect, it } from 'vitest';
import { bucketAt, bucketCount, readBuckets, ticksOf } from './histogram';

const wire = {
  signal: 'traces',
  start: '1763829600000000000',
  end: '1763829690000000000',
  bucket_ns: '30000000000',
  complete: true,
  total: 5,
  errors: 1,
  buckets: [
    { start: '1763829600000000000', count: 2, errors: 0 },
    { start: '1763829630000000000', count: 3, errors: 1 },
    { start: '1763829660000000000', count: 0, errors: 0 },
  ],
};

describe('a histogram', () => {
  it('covers its buckets whole', () => {
    const buckets = readBuckets(wire);
    expect(buckets.end - buckets.start).toBe(90_000_000_000n);
    expect(readBuckets({ ...wire, buckets: [] }).end).toBe(1763829690000000000n);
  });

  it('finds the bucket under a place, and never one outside', () => {
    expect([-5, 0, 99, 100, 299, 300, 1e9].map((x) => bucketAt(x, 300, 3))).toEqual([0, 0, 0, 1, 2, 2, 2]);
    expect(bucketAt(1, 0, 3)).toBe(-1);
    expect(bucketAt(1, 10, 0)).toBe(-1);
  });

  it('has as many buckets as the width shows well', () => {
    expect([0, 100, 800, 1440, 9_999].map(bucketCount)).toEqual([20, 20, 100, 160, 160]);
  });

  it('labels start and end', () => {
    const ticks = ticksOf(readBuckets(wire), 4);
    expect(ticks.map((tick) => tick.share)).toEqual([0, 1 / 3, 2 / 3, 1]);
    expect(ticks[0]?.text).toMatch(/^\d\d:\d\d:00$/);
    const days = { ...wire, bucket_ns: String(5 * 86_400e9) };
    expect(ticksOf(readBuckets(days), 3)[0]?.text).toMatch(/^\d\d-\d\d$/);
  });
});
