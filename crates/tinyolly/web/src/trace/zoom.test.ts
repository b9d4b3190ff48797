import { describe, expect, it } from 'vitest';
import { fitted, formatZoom, isWhole, panned, parseZoom, whole, zoomedAt } from './zoom';

describe('zoom', () => {
  it('keeps within the trace', () => {
    expect(fitted({ from: -50, to: 50 }, 1000)).toEqual({ from: 0, to: 100 });
    expect(fitted({ from: 950, to: 1050 }, 1000)).toEqual({ from: 900, to: 1000 });
    expect(fitted({ from: 600, to: 400 }, 1000)).toEqual({ from: 400, to: 600 });
    expect(fitted({ from: 0, to: 9e9 }, 1000)).toEqual(whole(1000));
  });

  it('goes no closer than a few nanoseconds, and not at all into less', () => {
    expect(fitted({ from: 500, to: 500 }, 1000)).toEqual({ from: 500, to: 510 });
    expect(fitted({ from: 2, to: 3 }, 4)).toEqual({ from: 0, to: 4 });
    expect(whole(0)).toEqual({ from: 0, to: 1 });
  });

  it('keeps what is under the pointer there', () => {
    expect(zoomedAt(whole(1000), 0.25, 0.5, 1000)).toEqual({ from: 125, to: 625 });
    expect(zoomedAt({ from: 125, to: 625 }, 0.25, 2, 1000)).toEqual(whole(1000));
    const close = zoomedAt({ from: 500, to: 512 }, 0.5, 0.01, 1000);
    expect(close.to - close.from).toBe(10);
  });

  it('pans up to the ends', () => {
    expect(panned({ from: 100, to: 200 }, 0.5, 1000)).toEqual({ from: 150, to: 250 });
    expect(panned({ from: 100, to: 200 }, -5, 1000)).toEqual({ from: 0, to: 100 });
  });

  it.each(['', 'abc', '5', '9-3', '5-5', '2000-3000', '-5-10', '1e9-2e9', '1-99999999999999999999'])('takes %j for the whole', (text) => {
    expect(isWhole(parseZoom(text, 1000), 1000)).toBe(true);
  });

  it('survives a link', () => {
    expect(parseZoom(formatZoom({ from: 100.4, to: 200.2 }, 1000), 1000)).toEqual({ from: 100, to: 201 });
    expect(formatZoom(whole(1000), 1000)).toBe('');
  });
});
