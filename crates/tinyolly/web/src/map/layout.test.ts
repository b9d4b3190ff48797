import { describe, expect, it } from 'vitest';
import { curveOf, placeLabels, pointAt } from './labels';
import { layersOf, withoutCycles } from './layers';
import { layOut, type Layout, type Spacing } from './layout';

const SPACING: Spacing = { node: { width: 100, height: 40 }, layer: 60, neighbour: 20 };
const edges = (...pairs: string[]) => pairs.map((pair) => ({ source: pair[0] ?? '', target: pair[1] ?? '' }));
const draw = (ids: string, pairs: string[], before?: Layout) => layOut([...ids], edges(...pairs), SPACING, 'right', before);
const layersFor = (ids: string, ...pairs: string[]) =>
  Object.fromEntries(layersOf([...ids], withoutCycles([...ids], edges(...pairs))));

describe('layers', () => {
  it('go by the longest way', () => {
    expect(layersFor('abc', 'ab', 'bc', 'ac')).toEqual({ a: 0, b: 1, c: 2 });
  });

  it('put a start next to what it calls', () => {
    expect(layersFor('abcd', 'ab', 'bc', 'dc')).toEqual({ a: 0, b: 1, c: 2, d: 1 });
  });

  it('survive cycles, loops and edges of unknown nodes', () => {
    expect(layersFor('abc', 'ab', 'bc', 'ca', 'aa', 'ax')).toEqual({ a: 0, b: 1, c: 2 });
    expect(withoutCycles([...'ab'], edges('ab', 'ba')).map((edge) => edge.isReversed)).toEqual([false, true]);
  });

  it('survive a long chain', () => {
    const ids = Array.from({ length: 20_000 }, (_, index) => String(index));
    const chain = ids.slice(1).map((id, index) => ({ source: String(index), target: id }));
    expect(layersOf(ids, withoutCycles(ids, chain)).get('19999')).toBe(19_999);
  });
});

describe('layout', () => {
  it('draws nothing of nothing', () => {
    expect(draw('', [])).toMatchObject({ width: 0, height: 0, edges: [] });
  });

  it('leads to the right, or down', () => {
    expect(draw('ab', ['ab']).nodes.get('b')).toEqual({ x: 210, y: 20 });
    expect(layOut(['a', 'b'], edges('ab'), SPACING, 'down').nodes.get('b')).toEqual({ x: 50, y: 120 });
  });

  it('does not depend on the order in which nodes and edges come', () => {
    const pairs = ['ab', 'ac', 'bd', 'cd', 'ae', 'ef', 'fb'];
    const one = draw('abcdef', pairs);
    const other = draw('fedcba', [...pairs].reverse());
    expect(Object.fromEntries(other.nodes)).toEqual(Object.fromEntries(one.nodes));
  });

  it('keeps neighbours apart', () => {
    const { nodes, height } = draw('abcdefg', ['ab', 'ac', 'ad', 'ae', 'bf', 'cf', 'eg']);
    const layers = new Map<number, number[]>();
    for (const { x, y } of nodes.values()) layers.set(x, [...(layers.get(x) ?? []), y]);
    for (const layer of layers.values()) {
      layer.sort((a, b) => a - b);
      layer.slice(1).forEach((y, index) => expect(y - (layer[index] ?? 0)).toBeGreaterThanOrEqual(60 - 1e-9));
      for (const y of layer) expect(y >= 20 - 1e-9 && y <= height - 20 + 1e-9).toBe(true);
    }
  });

  it('untangles what can be untangled', () => {
    const { nodes } = draw('abcd', ['ad', 'bc']);
    const y = (id: string) => nodes.get(id)?.y ?? 0;
    expect((y('a') - y('b')) * (y('d') - y('c'))).toBeGreaterThan(0);
  });

  it('keeps the order of neighbours when one more appears', () => {
    const before = draw('pxy', ['px', 'py']);
    const flipped: Layout = { ...before, nodes: new Map([['p', { x: 50, y: 0 }], ['x', { x: 210, y: 90 }], ['y', { x: 210, y: 10 }]]) };
    const after = draw('pxyz', ['px', 'py', 'pz'], flipped);
    const y = (id: string) => after.nodes.get(id)?.y ?? 0;
    expect(y('y')).toBeLessThan(y('x'));
    expect(y('x')).toBeLessThan(y('z'));
  });

  it('runs edges from source to target, also those of a cycle', () => {
    const { nodes, edges: ways } = draw('ab', ['ab', 'ba', 'aa']);
    expect(ways[0]?.[0]?.x).toBe((nodes.get('a')?.x ?? 0) + 50);
    expect(ways[1]?.[0]?.x).toBe((nodes.get('b')?.x ?? 0) - 50);
    expect(ways[2]).toEqual([]);
    expect(ways[0]?.[0]?.y).not.toBe(ways[1]?.[1]?.y);
  });

  it('leads a long edge past the layers between', () => {
    const way = draw('abc', ['ab', 'bc', 'ac']).edges[2] ?? [];
    expect(way).toHaveLength(4);
    expect(curveOf(way, 'right')).toMatch(/^M[^A-Z]+C[^A-Z]+L[^A-Z]+C[^A-Z]+$/);
  });
});

describe('labels', () => {
  const a = { x: 0, y: 0 };
  const b = { x: 100, y: 0 };

  it('stand on their edge', () => {
    expect(pointAt(a, b, 0.5, 'right')).toEqual({ x: 50, y: 0 });
    expect(placeLabels([[a, b]], [{ width: 10, height: 10 }], 'right')).toEqual([{ x: 50, y: 0 }]);
  });

  it('make room for each other, and have none where there is no edge', () => {
    const size = { width: 8, height: 10 };
    const [first, second, none] = placeLabels([[a, b], [a, b], []], [size, size, size], 'right');
    expect(Math.abs((first?.x ?? 0) - (second?.x ?? 0))).toBeGreaterThanOrEqual(8);
    expect(none).toBeNull();
  });
});
