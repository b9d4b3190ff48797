import { describe, expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan, type Span } from '../model';
import type { WireSpan } from '../wire';
import { changeOf, compareTraces, type Comparison } from './compare';
import { buildTree } from './tree';

const MS = 1_000_000;

function span(spanId: string, parentSpanId: string, start: number, end: number, more: Partial<WireSpan> = {}): Span {
  return readSpan(
    wireSpan({
      spanId,
      parentSpanId,
      name: spanId.replace(/\d+$/, ''),
      startTimeUnixNano: String(start * MS),
      endTimeUnixNano: String(end * MS),
      ...more,
    }),
  );
}

function compare(a: Span[], b: Span[]): Comparison {
  return compareTraces(buildTree(a), buildTree(b));
}

function drawn({ pairs }: Comparison): string {
  return pairs.map((each) => `${'.'.repeat(each.depth)}${each.a?.span.id ?? '-'}/${each.b?.span.id ?? '-'} ${each.change}`).join(', ');
}

it.each([
  [0, 0, 'same'],
  [100 * MS, 109 * MS, 'same'],
  [100 * MS, 120 * MS, 'slower'],
  [120 * MS, 100 * MS, 'faster'],
  [1_000, 15_000, 'same'],
  [0, 5 * MS, 'slower'],
] as const)('%d ns and %d ns are %s', (before, after, change) => {
  expect(changeOf(before, after)).toBe(change);
});

describe('compareTraces', () => {
  it('finds the same trace the same', () => {
    const spans = [span('a', '', 0, 10), span('b', 'a', 1, 9), span('c', 'b', 2, 3)];
    const { pairs, counts } = compare(spans, spans);
    expect(counts).toEqual({ same: 3, slower: 0, faster: 0, added: 0, removed: 0 });
    expect(pairs.some((each) => each.differs)).toBe(false);
  });

  it('says what was added, removed, slower and faster', () => {
    const a = [span('a', '', 0, 20), span('b', 'a', 1, 9), span('c', 'a', 10, 11), span('gone', 'a', 12, 13)];
    const b = [span('a', '', 0, 20), span('b', 'a', 1, 4), span('new', 'a', 5, 6), span('c', 'a', 10, 15)];
    expect(drawn(compare(a, b))).toBe('a/a same, .b/b faster, .-/new added, .c/c slower, .gone/- removed');
  });

  it('lays the first of several alike on the first, whatever runs between', () => {
    const a = [span('a', '', 0, 20), span('q1', 'a', 1, 2), span('q2', 'a', 3, 4)];
    const b = [span('a', '', 0, 20), span('q3', 'a', 1, 2), span('q4', 'a', 3, 4), span('q5', 'a', 5, 6)];
    expect(drawn(compare(a, b))).toBe('a/a same, .q1/q3 same, .q2/q4 same, .-/q5 added');
  });

  it('takes a whole branch of another service as other', () => {
    const a = [span('a', '', 0, 20), span('b', 'a', 1, 9), span('c', 'b', 2, 3)];
    const b = [span('a', '', 0, 20), span('b', 'a', 1, 9, { serviceName: 'else' }), span('c', 'b', 2, 3)];
    const result = compare(a, b);
    expect(drawn(result)).toBe('a/a same, .-/b added, ..-/c added, .b/- removed, ..c/- removed');
    expect(result.pairs[0]?.differs).toBe(true);
  });

  it('tells an error that only one has', () => {
    const failed = { status: { code: 2, message: '' } };
    const { pairs } = compare([span('a', '', 0, 9)], [span('a', '', 0, 9, failed)]);
    expect(pairs[0]).toMatchObject({ change: 'same', error: 'new', differs: true });
  });

  it('has an answer for nothing', () => {
    expect(compare([], []).pairs).toEqual([]);
    expect(drawn(compare([], [span('a', '', 0, 9)]))).toBe('-/a added');
  });
});
