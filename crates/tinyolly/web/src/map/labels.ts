/** The curves of edges, and places for their labels where they cover no other. */
import type { Direction, Point, Size } from './layout';

/** A path through the points: curves between layers, straight past them. */
export function curveOf(points: readonly Point[], direction: Direction): string {
  const [first] = points;
  if (!first) return '';
  let path = `M${first.x} ${first.y}`;
  for (let index = 1; index < points.length; index += 1) {
    const [a, b] = [points[index - 1], points[index]];
    if (!a || !b) continue;
    if (index % 2 === 0) path += `L${b.x} ${b.y}`;
    else {
      const [from, to] = controls(a, b, direction);
      path += `C${from.x} ${from.y} ${to.x} ${to.y} ${b.x} ${b.y}`;
    }
  }
  return path;
}

function controls(a: Point, b: Point, direction: Direction): [Point, Point] {
  if (direction === 'right') {
    const middle = (a.x + b.x) / 2;
    return [{ x: middle, y: a.y }, { x: middle, y: b.y }];
  }
  const middle = (a.y + b.y) / 2;
  return [{ x: a.x, y: middle }, { x: b.x, y: middle }];
}

/** A point of the curve from `a` to `b`, `share` of the way. */
export function pointAt(a: Point, b: Point, share: number, direction: Direction): Point {
  const [c, d] = controls(a, b, direction);
  const rest = 1 - share;
  const mix = (p: number, q: number, r: number, s: number) =>
    rest ** 3 * p + 3 * rest * rest * share * q + 3 * rest * share * share * r + share ** 3 * s;
  return { x: mix(a.x, c.x, d.x, b.x), y: mix(a.y, c.y, d.y, b.y) };
}

const SHARES = [0.5, 0.6, 0.4, 0.7, 0.3, 0.8, 0.2];

/**
 * A place for each label on its own edge. A label that finds no free place gets the middle of its edge: the list view
 * and the panel say the same.
 */
export function placeLabels(
  edges: readonly (readonly Point[])[],
  sizes: readonly Size[],
  direction: Direction,
): (Point | null)[] {
  const taken: { at: Point; size: Size }[] = [];
  return edges.map((points, index) => {
    const size = sizes[index] ?? { width: 0, height: 0 };
    const [a, b] = points;
    if (!a || !b) return null;
    const places: Point[] = [];
    for (let from = 0; from + 1 < points.length; from += 2) {
      const [c, d] = [points[from], points[from + 1]];
      if (c && d) for (const share of SHARES) places.push(pointAt(c, d, share, direction));
    }
    const isFree = (at: Point) =>
      taken.every(
        (other) =>
          Math.abs(at.x - other.at.x) * 2 >= size.width + other.size.width ||
          Math.abs(at.y - other.at.y) * 2 >= size.height + other.size.height,
      );
    const at = places.find(isFree) ?? pointAt(a, b, 0.5, direction);
    taken.push({ at, size });
    return at;
  });
}
