/** The tree of a trace from its flat list of spans. */
import type { Span } from '../model';

/** Levels deeper than this share one indentation, so that names never leave their column. */
export const MOST_INDENT = 16;

export interface TreeNode {
  span: Span;
  depth: number;
  children: TreeNode[];
  /** Spans below this one. */
  descendants: number;
  /** Errors below this one, which a collapsed row must not hide. */
  errorsBelow: number;
  /** The span names a parent that is not in this trace (yet). */
  isOrphan: boolean;
}

export interface Row {
  node: TreeNode;
  isCollapsed: boolean;
  /** For each level above, down to MOST_INDENT: does a line go on below this row? */
  guides: boolean[];
  isLast: boolean;
}

/**
 * Builds the forest, children by start time. Total on malformed input: a span id that occurs twice keeps both spans
 * (children go to the first), and of spans that name each other as parents the earliest becomes a root.
 */
export function buildTree(spans: readonly Span[]): TreeNode[] {
  const nodes = spans.map((span) => newNode(span));
  nodes.sort(byStart);
  const byId = new Map<string, TreeNode>();
  for (const node of nodes) if (!byId.has(node.span.id)) byId.set(node.span.id, node);

  const roots: TreeNode[] = [];
  for (const node of nodes) {
    const parent = node.span.parentId === '' ? undefined : byId.get(node.span.parentId);
    if (parent && parent !== node) {
      parent.children.push(node);
    } else {
      node.isOrphan = node.span.parentId !== '';
      roots.push(node);
    }
  }
  cutCycles(nodes, roots, byId);
  for (const root of roots) measure(root);
  return roots;
}

function newNode(span: Span): TreeNode {
  return { span, depth: 0, children: [], descendants: 0, errorsBelow: 0, isOrphan: false };
}

function byStart(a: TreeNode, b: TreeNode): number {
  if (a.span.start !== b.span.start) return a.span.start < b.span.start ? -1 : 1;
  // Of two that start together, the longer one is the outer one.
  if (a.span.end !== b.span.end) return a.span.end > b.span.end ? -1 : 1;
  return 0;
}

/** Spans that no root reaches sit on a cycle: the earliest of each is taken off its parent and made a root. */
function cutCycles(nodes: TreeNode[], roots: TreeNode[], byId: Map<string, TreeNode>): void {
  const reached = new Set<TreeNode>();
  for (const root of roots) reach(root, reached);
  if (reached.size === nodes.length) return;
  for (const node of nodes) {
    if (reached.has(node)) continue;
    const parent = byId.get(node.span.parentId);
    if (parent) parent.children = parent.children.filter((child) => child !== node);
    node.isOrphan = true;
    roots.push(node);
    reach(node, reached);
  }
  roots.sort(byStart);
}

function reach(start: TreeNode, reached: Set<TreeNode>): void {
  const stack = [start];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (reached.has(node)) continue;
    reached.add(node);
    for (const child of node.children) stack.push(child);
  }
}

/** Depths on the way down, sums on the way up; without recursion, as a trace may be thousands deep. */
function measure(root: TreeNode): void {
  const order: TreeNode[] = [];
  const stack = [root];
  for (let node = stack.pop(); node; node = stack.pop()) {
    order.push(node);
    for (const child of node.children) {
      child.depth = node.depth + 1;
      stack.push(child);
    }
  }
  for (const node of order.reverse()) {
    for (const child of node.children) {
      node.descendants += child.descendants + 1;
      node.errorsBelow += child.errorsBelow + (child.span.isError ? 1 : 0);
    }
  }
}

/** The rows to draw, top to bottom, without what is below a collapsed span. */
export function flatten(roots: readonly TreeNode[], collapsed: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  const stack: { node: TreeNode; guides: boolean[]; isLast: boolean }[] = [];
  const push = (nodes: readonly TreeNode[], guides: boolean[]) => {
    for (let index = nodes.length - 1; index >= 0; index -= 1) {
      const node = nodes[index];
      if (node) stack.push({ node, guides, isLast: index === nodes.length - 1 });
    }
  };
  push(roots, []);
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { node, guides, isLast } = next;
    const isCollapsed = node.children.length > 0 && collapsed.has(node.span.id);
    rows.push({ node, isCollapsed, guides, isLast });
    if (!isCollapsed) push(node.children, node.depth === 0 ? [] : guides.length < MOST_INDENT ? [...guides, !isLast] : guides);
  }
  return rows;
}

/** Ids of all spans with children, which is what "collapse all" collapses. */
export function parents(roots: readonly TreeNode[]): string[] {
  const ids: string[] = [];
  const stack = [...roots];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.children.length > 0) ids.push(node.span.id);
    for (const child of node.children) stack.push(child);
  }
  return ids;
}

/** The spans above one, nearest first: what must be open for it to be seen. */
export function ancestors(roots: readonly TreeNode[], spanId: string): string[] {
  const above = new Map<TreeNode, TreeNode>();
  const stack = [...roots];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.span.id === spanId) {
      const ids: string[] = [];
      for (let up = above.get(node); up; up = above.get(up)) ids.push(up.span.id);
      return ids;
    }
    for (const child of node.children) {
      above.set(child, node);
      stack.push(child);
    }
  }
  return [];
}
