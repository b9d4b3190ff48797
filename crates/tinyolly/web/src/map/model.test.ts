import { describe, expect, it } from 'vitest';
import type { WireMapEdge, WireMapNode, WireNodeType, WireServiceMap } from '../wire';
import { changesOf, cut, nearest, neighbourhood, renew, shapeOf, tracesOf } from './model';

const RED = { request_count: 1, rate: 1, error_count: 0, error_rate: 0, duration_p50_ms: 1, duration_p95_ms: 1 };
const node = (id: string, type: WireNodeType = 'service', label = id.replace(/^\w+:/, '')): WireMapNode => ({ id, label, type, metrics: RED });
const edge = (source: string, target: string, rate = 1): WireMapEdge => ({ ...RED, source, target, rate });
const map = (nodes: WireMapNode[], edges: WireMapEdge[] = []): WireServiceMap => ({
  complete: true,
  searched_traces: 1,
  start: '0',
  end: '1',
  nodes,
  edges,
});
const A = node('service:a');
const B = node('service:b');

describe('a map that changes', () => {
  it('has the same shape in another order and with other figures', () => {
    const one = map([A, B], [edge('service:a', 'service:b', 1)]);
    expect(shapeOf(map([B, { ...A, metrics: null }], [edge('service:a', 'service:b', 7)]))).toBe(shapeOf(one));
    expect(shapeOf(map([A, B]))).not.toBe(shapeOf(one));
  });

  it('takes new figures for what is shown and nothing else', () => {
    const shown = map([A, B], [edge('service:a', 'service:b', 1)]);
    const fresh = map([A, node('service:c')], [edge('service:a', 'service:b', 9)]);
    const renewed = renew(shown, fresh);
    expect(renewed.nodes).toEqual([A, { ...B, metrics: null }]);
    expect(renewed.edges[0]?.rate).toBe(9);
    expect(changesOf(shown, fresh)).toBe(2);
  });
});

it('knows the neighbours of a node', () => {
  const edges = [edge('a', 'b'), edge('b', 'c'), edge('c', 'd')];
  expect([...neighbourhood('b', edges)].sort()).toEqual(['a', 'b', 'c']);
});

describe('traces of a node', () => {
  const edges = [
    edge('service:a', 'database:postgresql:orders'),
    edge('service:b', 'database:postgresql:orders'),
    edge('service:a', 'external:api.example:8443'),
    edge('service:a', 'queue:kafka:jobs'),
    edge('queue:kafka:jobs', 'service:b'),
    edge('caller:10.0.0.1', 'service:a'),
  ];

  it.each<[string, WireMapNode, object]>([
    ['a service', A, { services: ['a'] }],
    ['a database', node('database:postgresql:orders', 'database'), { services: ['a', 'b'], kinds: ['client'], search: 'orders' }],
    ['an external host', node('external:api.example:8443', 'external'), { services: ['a'], kinds: ['client'], search: 'api.example' }],
    ['a queue', node('queue:kafka:jobs', 'queue'), { services: ['a', 'b'], kinds: ['producer', 'consumer'], search: 'jobs' }],
    ['a caller', node('caller:10.0.0.1', 'caller'), { services: ['a'], rootOnly: true }],
  ])('are found for %s', (_, of, filters) => {
    expect(tracesOf(of, edges)).toEqual(filters);
  });
});

it('cuts long names by letters, not by halves of them', () => {
  expect(cut('checkout', 8)).toBe('checkout');
  expect(cut('checkout-service', 8)).toBe('checkou…');
  expect(cut('🛒🛒🛒', 2)).toBe('🛒…');
});

it('finds the neighbour in a direction', () => {
  const at = new Map([['a', { x: 0, y: 0 }], ['b', { x: 100, y: 40 }], ['c', { x: 90, y: 200 }], ['d', { x: 0, y: 90 }]]);
  expect(nearest('a', 'right', at)).toBe('b');
  expect(nearest('a', 'down', at)).toBe('d');
  expect(nearest('a', 'left', at)).toBeNull();
  expect(nearest('x', 'left', at)).toBeNull();
});
