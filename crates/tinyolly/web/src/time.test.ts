import { describe, expect, it } from 'vitest';
import { formatDuration, formatListSecond, formatListTime, formatMoment, minus, parseNanos, plus, toNumber, toSeconds, ZERO, type Nanos } from './time';

const ns = (value: bigint) => value as Nanos;

describe('parseNanos', () => {
  it('keeps every digit', () => {
    expect(parseNanos('1763829600123456789')).toBe(1763829600123456789n);
  });
  it.each(['', 'x', '1.5', '0x10', '1e9', undefined])('reads %s as zero', (text) => {
    expect(parseNanos(text)).toBe(ZERO);
  });
});

describe('formatDuration', () => {
  it.each([
    [0, '0 ns'],
    [820, '820 ns'],
    [1_000, '1.00 µs'],
    [12_340, '12.3 µs'],
    [999_499, '999 µs'],
    [999_500, '1.00 ms'],
    [4_560_000, '4.56 ms'],
    [9_996_000, '10.0 ms'],
    [99_960_000, '100 ms'],
    [999_600_000, '1.00 s'],
    [1_200_000_000, '1.20 s'],
    [59_960_000_000, '1m 00s'],
    [125_000_000_000, '2m 05s'],
    [3_725_000_000_000, '1h 02m'],
    [-4_000, '−4.00 µs'],
  ])('%d ns is %s', (length, text) => {
    expect(formatDuration(length)).toBe(text);
  });
});

it('adds and subtracts without losing nanoseconds', () => {
  const moment = parseNanos('1763829600000000001');
  expect(toNumber(minus(plus(moment, ns(5n)), moment))).toBe(5);
  expect(toSeconds(moment)).toBe(1763829600);
});

it('shows nine decimals of a moment', () => {
  expect(formatMoment(parseNanos('1763829600123456789'))).toMatch(/^2025-11-2\d \d\d:\d\d:\d\d\.123456789$/);
  expect(formatMoment(ZERO)).toBe('unknown');
});

it('names the day in a list only when it is not today', () => {
  const now = parseNanos('1763829600000000000');
  expect(formatListTime(now, now)).toMatch(/^\d\d:\d\d:\d\d\.000$/);
  expect(formatListSecond(now, now)).toMatch(/^\d\d:\d\d:\d\d$/);
  expect(formatListTime(minus(now, ns(172_800_000_000_000n)), now)).toMatch(/^11-2\d \d\d:\d\d:\d\d$/);
});
