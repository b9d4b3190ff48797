import { expect, it } from 'vitest';
import { wireSpan } from '../fixtures';
import { readSpan, type Span } from '../model';
import { frameAt, mergedFlame, selfTime, timeFlame, type Flame } from './flame';
import { extentOf } from './layout';
import { buildTree } from './tree';

function span(spanId: string, parentSpanId: string, start: number, end: number, name = spanId): Span {
  return readSpan(wireSpan({ spanId, parentSpanId, name, startTimeUnixNano: String(start), endTimeUnixNano: String(end) }));
}

function drawn(flame: Flame): string {
  return flame.frames.map((each) => `${each.nodes.map((node) => node.span.id).join('+')} ${each.row}:${each.from}-${each.to}`).join(', ');
}

function inTime(spans: readonly Span[]): Flame {
  const { start, length } = extentOf(spans);
  return timeFlame(buildTree(spans), start, length);
}

it.each<[Span[], number]>([
  [[span('a', '', 0, 10)], 10],
  [[span('a', '', 0, 10), span('b', 'a', 2, 6), span('c', 'a', 4, 8)], 4],
  [[span('a', '', 0, 10), span('b', 'a', 2, 6), span('c', 'a', 3, 4)], 6],
  [[span('a', '', 0, 10), span('b', 'a', 8, 40)], 8],
  [[span('a', '', 0, 10), span('b', 'a', 20, 40)], 10],
  [[span('a', '', 10, 0)], 0],
])('counts what no child covers', (spans, self) => {
  const root = buildTree(spans).find((node) => node.span.id === 'a')!;
  expect(selfTime(root)).toBe(self);
});

it('puts what runs side by side on rows of its own', () => {
  const spans = [span('a', '', 0, 10), span('b', 'a', 1, 6), span('c', 'b', 2, 5), span('d', 'a', 3, 9), span('e', 'a', 6, 8)];
  expect(drawn(inTime(spans))).toBe('a 0:0-10, b 1:1-6, c 2:2-5, d 3:3-9, e 1:6-8');
});

it('never lets frames of a row overlap', () => {
  const spans = [span('r', '', 0, 1000)];
  for (let index = 0; index < 300; index += 1) {
    const start = (index * 7919) % 900;
    spans.push(span(`s${index}`, index % 3 === 0 ? 'r' : `s${(index * 31) % index}`, start, start + ((index * 104729) % 100)));
  }
  const { frames, rows } = inTime(spans);
  for (let row = 0; row < rows; row += 1) {
    const own = frames.filter((each) => each.row === row).sort((a, b) => a.from - b.from || a.to - b.to);
    own.forEach((each, index) => expect(each.from).toBeGreaterThanOrEqual(own[index - 1]?.to ?? 0));
  }
  expect(frames).toHaveLength(spans.length);
});

it('merges like spans below the same callers', () => {
  const spans = [
    span('a', '', 0, 20),
    span('q1', 'a', 1, 4, 'query'),
    span('q2', 'a', 5, 9, 'query'),
    span('x', 'q2', 6, 8),
    span('big', 'a', 10, 19),
  ];
  expect(drawn(mergedFlame(buildTree(spans)))).toBe('a 0:0-20, q1+q2 1:9-16, x 2:9-11, big 1:0-9');
});

it('counts work done side by side as often as it was done', () => {
  const spans = [span('a', '', 0, 10), span('q1', 'a', 0, 10, 'query'), span('q2', 'a', 0, 10, 'query')];
  expect(mergedFlame(buildTree(spans)).length).toBe(20);
});

it('finds the frame at a place', () => {
  const flame = inTime([span('a', '', 0, 10), span('b', 'a', 2, 6)]);
  expect(frameAt(flame, 3, 1)).toBe(1);
  expect(frameAt(flame, 8, 1)).toBe(-1);
  expect(frameAt(flame, 8, 0)).toBe(0);
});
