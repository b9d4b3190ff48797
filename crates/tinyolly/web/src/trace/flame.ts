/** Frames of a flame graph, in the order of time or with like spans merged. */
import { minus, toNumber, type Nanos } from '../time';
import type { TreeNode } from './tree';

/** One box: `from` and `to` in nanoseconds (after the trace's start, or of time summed), `row` from the top. */
export interface Frame {
  /** The spans that it stands for; one where nothing is merged. */
  nodes: TreeNode[];
  from: number;
  to: number;
  row: number;
  /** Nanoseconds in which no child of these spans was under way. */
  self: number;
  /** Index of the frame above; -1 at the top. */
  parent: number;
  hasError: boolean;
}

export interface Flame {
  frames: Frame[];
  rows: number;
  length: number;
}

interface Task {
  node: TreeNode;
  parent: number;
}

/** Nanoseconds of a span that none of its children covers. */
export function selfTime(node: TreeNode): number {
  const start = node.span.start;
  const length = Math.max(0, toNumber(node.span.duration));
  let covered = 0;
  let reached = 0;
  // Children are by start time, so one pass joins those that overlap.
  for (const child of node.children) {
    const from = Math.max(reached, toNumber(minus(child.span.start, start)));
    const to = Math.min(length, toNumber(minus(child.span.end, start)));
    if (to > from) covered += to - from;
    reached = Math.max(reached, to);
  }
  return length - covered;
}

/** Each span at its time; one that runs beside another goes to the next free row below its parent. */
export function timeFlame(roots: readonly TreeNode[], start: Nanos, length: number): Flame {
  const frames: Frame[] = [];
  /** For each row, the end of its last frame: depth first and by start, frames of a row come in the order of time. */
  const ends: number[] = [];
  const stack: Task[] = [...roots].reverse().map((node) => ({ node, parent: -1 }));
  for (let task = stack.pop(); task; task = stack.pop()) {
    const { node, parent } = task;
    const from = toNumber(minus(node.span.start, start));
    const to = Math.max(from, toNumber(minus(node.span.end, start)));
    let row = (frames[parent]?.row ?? -1) + 1;
    while ((ends[row] ?? -Infinity) > from) row += 1;
    ends[row] = to;
    const index = frames.push({ nodes: [node], from, to, row, self: selfTime(node), parent, hasError: node.span.isError }) - 1;
    for (let at = node.children.length - 1; at >= 0; at -= 1) {
      const child = node.children[at];
      if (child) stack.push({ node: child, parent: index });
    }
  }
  return { frames, rows: ends.length, length };
}

/** What makes spans alike: who did what, below the same chain of callers. */
export function likeness(node: TreeNode): string {
  const { service, name, kind } = node.span;
  return `${service}\u0000${name}\u0000${kind}`;
}

interface Group {
  nodes: TreeNode[];
  parent: number;
  row: number;
}

/**
 * Like spans below the same chain of callers as one box, as wide as the time that all of them took by themselves and
 * below them. Work done side by side counts as often as it was done, so the whole may be longer than the trace.
 */
export function mergedFlame(roots: readonly TreeNode[]): Flame {
  const frames: Frame[] = [];
  let rows = 0;
  const stack: Group[] = grouped(roots, -1, 0).reverse();
  for (let group = stack.pop(); group; group = stack.pop()) {
    const self = group.nodes.reduce((sum, node) => sum + selfTime(node), 0);
    const hasError = group.nodes.some((node) => node.span.isError);
    const index = frames.push({ nodes: group.nodes, from: 0, to: self, row: group.row, self, parent: group.parent, hasError }) - 1;
    rows = Math.max(rows, group.row + 1);
    stack.push(...grouped(group.nodes.flatMap((node) => node.children), index, group.row + 1).reverse());
  }
  // Widths on the way up: children come after their parents.
  for (let index = frames.length - 1; index >= 0; index -= 1) {
    const frame = frames[index];
    const above = frame && frames[frame.parent];
    if (frame && above) above.to += frame.to;
  }
  // Places on the way down, the widest first, as is usual.
  const children = new Map<number, Frame[]>();
  for (const frame of frames) {
    const own = children.get(frame.parent);
    if (own) own.push(frame);
    else children.set(frame.parent, [frame]);
  }
  const place = (own: readonly Frame[], from: number) => {
    let at = from;
    for (const frame of [...own].sort((a, b) => b.to - a.to)) {
      frame.to += at;
      frame.from = at;
      at = frame.to;
    }
    return at;
  };
  const length = place(children.get(-1) ?? [], 0);
  frames.forEach((frame, index) => place(children.get(index) ?? [], frame.from));
  return { frames, rows, length: Math.max(1, length) };
}

function grouped(nodes: readonly TreeNode[], parent: number, row: number): Group[] {
  const groups = new Map<string, Group>();
  for (const node of nodes) {
    const like = likeness(node);
    const group = groups.get(like);
    if (group) group.nodes.push(node);
    else groups.set(like, { nodes: [node], parent, row });
  }
  return [...groups.values()];
}

/** The frame at a place, the topmost drawn; -1 for none. */
export function frameAt(flame: Flame, at: number, row: number): number {
  for (let index = flame.frames.length - 1; index >= 0; index -= 1) {
    const frame = flame.frames[index];
    if (frame && frame.row === row && frame.from <= at && at <= frame.to) return index;
  }
  return -1;
}
