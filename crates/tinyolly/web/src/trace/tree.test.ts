import { describe, expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan, type Span } from '../model';
import { ancestors, buildTree, flatten, parents, type TreeNode } from './tree';

function span(spanId: string, parentSpanId: string, start: number, end = start + 10, isError = false): Span {
  return readSpan(
    wireSpan({
      spanId,
      parentSpanId,
      startTimeUnixNano: String(start),
      endTimeUnixNano: String(end),
      status: { code: isError ? 2 : 0, message: '' },
    }),
  );
}

/** `a(b(c) d)` for a tree of these names. */
function drawn(nodes: readonly TreeNode[]): string {
  return nodes
    .map((node) => node.span.id + (node.isOrphan ? '!' : '') + (node.children.length > 0 ? `(${drawn(node.children)})` : ''))
    .join(' ');
}

const NONE: ReadonlySet<string> = new Set();

describe('buildTree', () => {
  it.each<[string, Span[], string]>([
    ['nothing', [], ''],
    ['children by start time', [span('c', 'a', 5), span('b', 'a', 2), span('a', '', 0)], 'a(b c)'],
    ['the longer of two first', [span('b', 'a', 1, 2), span('c', 'a', 1, 9), span('a', '', 0)], 'a(c b)'],
    ['an absent parent', [span('a', '', 0), span('b', 'gone', 1), span('c', 'b', 2)], 'a b!(c)'],
    ['a span that is its own parent', [span('a', 'a', 0), span('b', 'a', 1)], 'a!(b)'],
    ['two that are each other’s parent', [span('a', 'b', 1), span('b', 'a', 0)], 'b!(a)'],
    ['a cycle with a tail', [span('r', '', 0), span('a', 'b', 1), span('b', 'a', 2), span('c', 'b', 3)], 'r a!(b(c))'],
    ['an id that occurs twice', [span('a', '', 0), span('b', 'a', 1), span('b', 'a', 2), span('c', 'b', 3)], 'a(b(c) b)'],
  ])('%s', (_, spans, tree) => {
    expect(drawn(buildTree(spans))).toBe(tree);
  });

  it('hangs the root of another host’s trace at its call', () => {
    const joinedParent = { traceId: 'other', spanId: 'b', linkSource: 'link_id' };
    const times = { startTimeUnixNano: '0', endTimeUnixNano: '9' };
    const served = readSpan(wireSpan({ spanId: 'c', joinedParent, ...times }));
    expect(drawn(buildTree([served, span('a', '', 1), span('b', 'a', 2), span('d', 'c', 3)]))).toBe('a(b(c(d)))');
  });

  it('counts what is below', () => {
    const [root] = buildTree([span('a', '', 0), span('b', 'a', 1, 9, true), span('c', 'b', 2), span('d', 'c', 3, 4, true)]);
    expect(root).toMatchObject({ depth: 0, descendants: 3, errorsBelow: 2 });
    expect(root?.children[0]).toMatchObject({ depth: 1, descendants: 2, errorsBelow: 1 });
  });

  it('keeps every span of a chain thousands deep', () => {
    const spans = Array.from({ length: 20_000 }, (_, index) => span(`${index}`, index === 0 ? '' : `${index - 1}`, index));
    const roots = buildTree(spans);
    const rows = flatten(roots, new Set(['19000']));
    expect(roots).toHaveLength(1);
    expect(roots[0]?.descendants).toBe(19_999);
    expect(rows).toHaveLength(19_001);
    expect(rows.at(-1)?.node.depth).toBe(19_000);
  });
});

describe('flatten', () => {
  const roots = buildTree([span('a', '', 0), span('b', 'a', 1), span('c', 'b', 2), span('d', 'a', 3), span('e', 'd', 4)]);

  it('runs from the top down', () => {
    expect(flatten(roots, NONE).map((row) => row.node.span.id)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('leaves out what is below a collapsed span', () => {
    const rows = flatten(roots, new Set(['b', 'e']));
    expect(rows.map((row) => row.node.span.id)).toEqual(['a', 'b', 'd', 'e']);
    expect(rows.map((row) => row.isCollapsed)).toEqual([false, true, false, false]);
  });

  it('draws a guide where a level goes on', () => {
    const rows = flatten(roots, NONE);
    expect(rows.map((row) => row.guides)).toEqual([[], [], [true], [], [false]]);
    expect(rows.map((row) => row.isLast)).toEqual([true, false, true, true, true]);
  });
});

it('knows what can be collapsed and what is above a span', () => {
  const roots = buildTree([span('a', '', 0), span('b', 'a', 1), span('c', 'b', 2), span('x', '', 3)]);
  expect(parents(roots).sort()).toEqual(['a', 'b']);
  expect(ancestors(roots, 'c')).toEqual(['b', 'a']);
  expect(ancestors(roots, 'x')).toEqual([]);
  expect(ancestors(roots, 'none')).toEqual([]);
});
