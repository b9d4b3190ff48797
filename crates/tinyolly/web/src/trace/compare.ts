/** Two traces laid on one another: what one has and the other lacks, and what took longer. */
import { toNumber } from '../time';
import { likeness } from './flame';
import type { TreeNode } from './tree';

export type Change = 'same' | 'slower' | 'faster' | 'added' | 'removed';

export interface Pair {
  /** Of the first trace; absent where the second has a span more. */
  a: TreeNode | null;
  b: TreeNode | null;
  change: Change;
  /** Nanoseconds that the second takes more; 0 where one is missing. */
  delta: number;
  /** An error that only one of the two has. */
  error: '' | 'new' | 'gone';
  depth: number;
  /** Anything but "same", or an error that differs, in this pair or below it. */
  differs: boolean;
}

export interface Comparison {
  /** From the top down, as a tree is listed. */
  pairs: Pair[];
  counts: Record<Change, number>;
}

/** Less than this is the noise of two runs of the same work. */
const LEAST_SHARE = 0.1;
const LEAST_NS = 20_000;

/** How the second of two lengths compares with the first, both in nanoseconds. */
export function changeOf(before: number, after: number): Change {
  const delta = after - before;
  if (Math.abs(delta) < LEAST_NS || Math.abs(delta) < LEAST_SHARE * Math.max(before, after)) return 'same';
  return delta > 0 ? 'slower' : 'faster';
}

interface Task {
  a: TreeNode | null;
  b: TreeNode | null;
  depth: number;
  parent: number;
}

/**
 * Spans are the same when service, name and kind are, below callers that are the same. Of several alike below one
 * caller, the first is laid on the first: with ten queries here and twelve there, two are added.
 */
export function compareTraces(a: readonly TreeNode[], b: readonly TreeNode[]): Comparison {
  const pairs: Pair[] = [];
  const parents: number[] = [];
  const counts: Comparison['counts'] = { same: 0, slower: 0, faster: 0, added: 0, removed: 0 };
  const stack: Task[] = paired(a, b, 0, -1).reverse();
  for (let task = stack.pop(); task; task = stack.pop()) {
    const pair = judged(task);
    counts[pair.change] += 1;
    const index = pairs.push(pair) - 1;
    parents.push(task.parent);
    stack.push(...paired(task.a?.children ?? [], task.b?.children ?? [], task.depth + 1, index).reverse());
  }
  for (let index = pairs.length - 1; index >= 0; index -= 1) {
    const above = pairs[parents[index] ?? -1];
    if (above && pairs[index]?.differs) above.differs = true;
  }
  return { pairs, counts };
}

function judged({ a, b, depth }: Task): Pair {
  const before = a ? Math.max(0, toNumber(a.span.duration)) : 0;
  const after = b ? Math.max(0, toNumber(b.span.duration)) : 0;
  const change = !a ? 'added' : !b ? 'removed' : changeOf(before, after);
  const wrongBefore = a?.span.isError ?? false;
  const wrongAfter = b?.span.isError ?? false;
  const error = a && b && wrongBefore !== wrongAfter ? (wrongAfter ? 'new' : 'gone') : '';
  return { a, b, change, delta: a && b ? after - before : 0, error, depth, differs: change !== 'same' || error !== '' };
}

/** The children of two spans side by side: those of the first in their order, each added one after its neighbour. */
function paired(a: readonly TreeNode[], b: readonly TreeNode[], depth: number, parent: number): Task[] {
  const others = new Map<string, TreeNode[]>();
  for (const node of b) {
    const like = likeness(node);
    const own = others.get(like);
    if (own) own.push(node);
    else others.set(like, [node]);
  }
  const taken = new Map<string, number>();
  const partner = new Map<TreeNode, TreeNode>();
  const tasks: Task[] = [];
  for (const node of a) {
    const like = likeness(node);
    const at = taken.get(like) ?? 0;
    const other = others.get(like)?.[at] ?? null;
    taken.set(like, at + 1);
    if (other) partner.set(other, node);
    tasks.push({ a: node, b: other, depth, parent });
  }
  // What only the second has goes behind what precedes it there.
  const place = new Map(tasks.map((task, index) => [task.a, index]));
  const extra = new Map<number, Task[]>();
  let behind = -1;
  for (const node of b) {
    const first = partner.get(node);
    if (first) {
      behind = place.get(first) ?? behind;
      continue;
    }
    const task = { a: null, b: node, depth, parent };
    const own = extra.get(behind);
    if (own) own.push(task);
    else extra.set(behind, [task]);
  }
  return [...(extra.get(-1) ?? []), ...tasks.flatMap((task, index) => [task, ...(extra.get(index) ?? [])])];
}
