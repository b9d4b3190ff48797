import { expect, it } from 'vitest';
import { fit, MOST_SCALE, reveal, zoomAt } from './view';

const SCREEN = { width: 400, height: 300 };

it('fits a large drawing, and leaves a small one as it is', () => {
  expect(fit({ width: 760, height: 100 }, SCREEN, 10)).toEqual({ scale: 0.5, x: 10, y: 125 });
  expect(fit({ width: 100, height: 100 }, SCREEN, 10)).toEqual({ scale: 1, x: 150, y: 100 });
  expect(fit({ width: 7_600, height: 100 }, SCREEN, 10, 0.5)).toMatchObject({ scale: 0.5, x: 10 });
  expect(fit({ width: 0, height: 0 }, { width: 0, height: 0 }, 10).scale).toBeGreaterThan(0);
});

it('keeps the point under the pointer', () => {
  const at = { x: 120, y: 80 };
  const before = { scale: 1, x: 20, y: 30 };
  const after = zoomAt(before, 1.5, at);
  expect((at.x - after.x) / after.scale).toBeCloseTo((at.x - before.x) / before.scale);
  expect(zoomAt(before, 99, at).scale).toBe(MOST_SCALE);
});

it('moves no more than it takes', () => {
  const zoom = { scale: 2, x: 0, y: 0 };
  expect(reveal(zoom, { x: 100, y: 100 }, SCREEN, 50)).toEqual(zoom);
  expect(reveal(zoom, { x: 300, y: 10 }, SCREEN, 50)).toEqual({ scale: 2, x: -250, y: 30 });
});
