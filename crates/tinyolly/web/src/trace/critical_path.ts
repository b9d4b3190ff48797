/**
 * The critical path of a trace: the parts of its spans that its duration consists of. Shortening anything else makes
 * the trace no shorter.
 *
 * Walked backwards from the end: of a span's children, the one that ended last held the span up, so the path goes
 * through it; before that child began, the same holds again. What is left over is the span's own work. A child that
 * was still running when the next one on the path began ran beside it and is not on the path.
 */
import { minus, toNumber, type Nanos } from '../time';
import type { TreeNode } from './tree';

/** A part of a span, in nanoseconds after the trace's start. */
export interface Segment {
  from: number;
  to: number;
}

export interface CriticalPath {
  /** The parts of each span that are on the path, in the order of time, by the span's node. */
  segments: ReadonlyMap<TreeNode, readonly Segment[]>;
  /** Length of the path in nanoseconds: the sum of all segments. */
  length: number;
}

interface Visit {
  node: TreeNode;
  /** What the path takes of this span, on the parent's clock. */
  from: number;
  to: number;
  /** Added to this span's times to have them on the clock of the root. */
  shift: number;
}

/** The path through a forest, whose trees are taken as children of one unseen root. */
export function criticalPath(roots: readonly TreeNode[], start: Nanos): CriticalPath {
  const segments = new Map<TreeNode, Segment[]>();
  let length = 0;
  const begin = (node: TreeNode) => toNumber(minus(node.span.start, start));
  const end = (node: TreeNode) => Math.max(begin(node), toNumber(minus(node.span.end, start)));

  const add = (node: TreeNode, from: number, to: number) => {
    if (to <= from) return;
    const own = segments.get(node);
    if (own) own.push({ from, to });
    else segments.set(node, [{ from, to }]);
    length += to - from;
  };

  /** The children on the path within a time, last first, each with its share of it. */
  const chosen = (children: readonly TreeNode[], from: number, to: number, parent: TreeNode | null, shift: number): Visit[] => {
    const candidates = children.map((node) => {
      const moved = shift + (parent ? skew(node, parent) : 0);
      return { node, shift: moved, from: begin(node) + moved, to: end(node) + moved };
    });
    candidates.sort((a, b) => b.to - a.to || b.from - a.from);
    const path: Visit[] = [];
    let cursor = to;
    for (const each of candidates) {
      // Only what outlives its parent is cut; a child that overlaps the next one on the path ran beside it.
      const until = path.length === 0 ? Math.min(each.to, cursor) : each.to;
      const since = Math.max(each.from, from);
      if (until > cursor || until <= since) continue;
      path.push({ node: each.node, from: since, to: until, shift: each.shift });
      cursor = since;
    }
    return path;
  };

  let first = Infinity;
  let last = -Infinity;
  for (const root of roots) {
    first = Math.min(first, begin(root));
    last = Math.max(last, end(root));
  }
  const stack: Visit[] = chosen(roots, first, last, null, 0);
  for (let visit = stack.pop(); visit; visit = stack.pop()) {
    const { node, from, to, shift } = visit;
    let cursor = to;
    for (const child of chosen(node.children, from, to, node, shift)) {
      add(node, child.to - shift, cursor - shift);
      cursor = child.from;
      stack.push(child);
    }
    add(node, from - shift, cursor - shift);
  }
  for (const own of segments.values()) own.sort((a, b) => a.from - b.from);
  return { segments, length };
}

/**
 * How far a span of another host has to be moved to lie within its call. Two clocks never agree; where they make the
 * served request stand out of the call although it fits in, it is taken to lie in the middle.
 */
function skew(node: TreeNode, parent: TreeNode): number {
  const { span } = node;
  const call = parent.span;
  if (!span.isJoined || (span.start >= call.start && span.end <= call.end)) return 0;
  const room = toNumber(minus(call.duration, span.duration));
  return room < 0 ? 0 : toNumber(minus(call.start, span.start)) + room / 2;
}

/** Nanoseconds of a span on the path. */
export function onPath(path: CriticalPath, node: TreeNode): number {
  return (path.segments.get(node) ?? []).reduce((sum, each) => sum + each.to - each.from, 0);
}

/** How much of the path each service has, most first. */
export function pathByService(path: CriticalPath): { service: string; time: number }[] {
  const times = new Map<string, number>();
  for (const node of path.segments.keys()) {
    times.set(node.span.service, (times.get(node.span.service) ?? 0) + onPath(path, node));
  }
  return [...times].map(([service, time]) => ({ service, time })).sort((a, b) => b.time - a.time);
}
