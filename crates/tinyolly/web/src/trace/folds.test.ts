import { expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan } from '../model';
import { allNodes, foldsOfService, foldsWithinServices } from './folds';
import { buildTree } from './tree';

const span = (spanId: string, parentSpanId: string, start: number, serviceName: string) =>
  readSpan(wireSpan({ spanId, parentSpanId, startTimeUnixNano: String(start), serviceName }));

const roots = buildTree([
  span('a', '', 0, 'web'),
  span('b', 'a', 1, 'web'),
  span('c', 'b', 2, 'web'),
  span('d', 'a', 3, 'shop'),
  span('e', 'd', 4, 'shop'),
  span('f', 'e', 5, 'db'),
]);

it('lists every span, parents first', () => {
  expect(allNodes(roots).map((node) => node.span.id)).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
});

it('folds a service', () => {
  expect(foldsOfService(roots, 'shop')).toEqual(['d', 'e']);
  expect(foldsOfService(roots, 'db')).toEqual([]);
});

it('folds what stays within a service', () => {
  expect(foldsWithinServices(roots)).toEqual(['b']);
  expect(foldsWithinServices([])).toEqual([]);
});
