/** Which spans to collapse to see a trace from one point of view. */
import type { TreeNode } from './tree';

/** All nodes of a forest, parents before children. */
export function allNodes(roots: readonly TreeNode[]): TreeNode[] {
  const nodes: TreeNode[] = [];
  const stack = [...roots].reverse();
  for (let node = stack.pop(); node; node = stack.pop()) {
    nodes.push(node);
    for (let at = node.children.length - 1; at >= 0; at -= 1) {
      const child = node.children[at];
      if (child) stack.push(child);
    }
  }
  return nodes;
}

/** Ids of the spans of a service that have children. */
export function foldsOfService(roots: readonly TreeNode[], service: string): string[] {
  return allNodes(roots)
    .filter((node) => node.children.length > 0 && node.span.service === service)
    .map((node) => node.span.id);
}

/** Ids of the spans below which no other service is: collapsed, the calls between services are what is left. */
export function foldsWithinServices(roots: readonly TreeNode[]): string[] {
  const nodes = allNodes(roots);
  const isMixed = new Set<TreeNode>();
  for (const node of nodes.reverse()) {
    if (node.children.some((child) => isMixed.has(child) || child.span.service !== node.span.service)) isMixed.add(node);
  }
  return nodes.filter((node) => node.children.length > 0 && !isMixed.has(node)).map((node) => node.span.id);
}
