import { describe, expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan, type Span } from '../model';
import type { WireSpan } from '../wire';
import { criticalPath, onPath, pathByService } from './critical_path';
import { extentOf } from './layout';
import { buildTree } from './tree';

function span(spanId: string, parentSpanId: string, start: number, end: number, more: Partial<WireSpan> = {}): Span {
  return readSpan(
    wireSpan({ spanId, parentSpanId, startTimeUnixNano: String(start), endTimeUnixNano: String(end), ...more }),
  );
}

function pathOf(spans: readonly Span[]) {
  return criticalPath(buildTree(spans), extentOf(spans).start);
}

/** `a 0-2 8-10, b 2-8`, by span id. */
function drawn(spans: readonly Span[]): string {
  return [...pathOf(spans).segments]
    .map(([node, own]) => `${node.span.id} ${own.map((each) => `${each.from}-${each.to}`).join(' ')}`)
    .sort()
    .join(', ');
}

describe('criticalPath', () => {
  it.each<[string, Span[], string]>([
    ['of nothing is empty', [], ''],
    ['of one span is that span', [span('a', '', 0, 10)], 'a 0-10'],
    ['goes through a child', [span('a', '', 0, 10), span('b', 'a', 2, 8)], 'a 0-2 8-10, b 2-8'],
    ['goes through one after the other', [span('a', '', 0, 10), span('b', 'a', 1, 4), span('c', 'a', 5, 9)], 'a 0-1 4-5 9-10, b 1-4, c 5-9'],
    ['takes of two side by side the one that ends last', [span('a', '', 0, 10), span('b', 'a', 1, 6), span('c', 'a', 2, 9)], 'a 0-2 9-10, c 2-9'],
    ['goes deep', [span('a', '', 0, 10), span('b', 'a', 2, 8), span('c', 'b', 3, 7)], 'a 0-2 8-10, b 2-3 7-8, c 3-7'],
    ['ends a child that outlives its parent with it', [span('a', '', 0, 10), span('b', 'a', 4, 30)], 'a 0-4, b 4-10'],
    ['leaves out what begins after its parent', [span('a', '', 0, 10), span('b', 'a', 12, 14), span('z', '', 0, 14)], 'z 0-14'],
    ['is total on spans without length', [span('a', '', 0, 10), span('b', 'a', 5, 5), span('c', 'a', 7, 3)], 'a 0-10'],
    ['goes through several roots', [span('a', '', 0, 4), span('b', '', 6, 9)], 'a 0-4, b 6-9'],
  ])('%s', (_, spans, path) => {
    expect(drawn(spans)).toBe(path);
  });

  it('is as long as the root', () => {
    const spans = [span('a', '', 0, 100), span('b', 'a', 5, 60), span('c', 'a', 20, 90), span('d', 'c', 30, 200)];
    expect(pathOf(spans).length).toBe(100);
  });

  it('moves what another clock has put beside its call, and tells it by its own clock', () => {
    const joinedParent = { traceId: 'other', spanId: 'b', linkSource: 'link_id' };
    const spans = [span('a', '', 0, 100), span('b', 'a', 10, 90), span('c', '', 500, 560, { joinedParent })];
    const path = criticalPath(buildTree(spans), spans[0]!.start);
    const served = [...path.segments].find(([node]) => node.span.id === 'c');
    expect(served?.[1]).toEqual([{ from: 500, to: 560 }]);
    expect(path.length).toBe(100);
  });

  it('says who has how much of it', () => {
    const spans = [span('a', '', 0, 10), span('b', 'a', 2, 9, { serviceName: 'db' })];
    const path = pathOf(spans);
    expect(pathByService(path)).toEqual([{ service: 'db', time: 7 }, { service: 'shop', time: 3 }]);
    const root = buildTree(spans)[0]!;
    expect(onPath(path, root)).toBe(0);
  });

  it('stands a chain thousands deep', () => {
    const spans = Array.from({ length: 20_000 }, (_, index) => span(`${index}`, index === 0 ? '' : `${index - 1}`, index, 50_000 - index));
    const path = pathOf(spans);
    expect(path.length).toBe(50_000);
    expect(path.segments.size).toBe(20_000);
  });
});
