/** What the map shows of a graph: names, neighbours, searches, and the traces behind a node. */
import type { Filters } from '../route';
import { redLine } from '../services/red';
import type { WireMapEdge, WireMapNode, WireNodeType, WireServiceMap } from '../wire';

export const TYPE_NAMES: Readonly<Record<WireNodeType, string>> = {
  service: 'service',
  database: 'database',
  queue: 'queue',
  external: 'external service',
  caller: 'caller from outside',
};

export function edgeKey(edge: Pick<WireMapEdge, 'source' | 'target'>): string {
  return JSON.stringify([edge.source, edge.target]);
}

/** Changes with the nodes and edges, and not with their figures. */
export function shapeOf(map: WireServiceMap): string {
  return JSON.stringify([map.nodes.map((node) => node.id).sort(), map.edges.map(edgeKey).sort()]);
}

/** The nodes and edges of `shown` with the figures of `fresh`; null figures for what is gone. */
export function renew(shown: WireServiceMap, fresh: WireServiceMap): WireServiceMap {
  const nodes = new Map(fresh.nodes.map((node) => [node.id, node]));
  const edges = new Map(fresh.edges.map((edge) => [edgeKey(edge), edge]));
  return {
    ...fresh,
    nodes: shown.nodes.map((node) => nodes.get(node.id) ?? { ...node, metrics: null }),
    edges: shown.edges.map((edge) => edges.get(edgeKey(edge)) ?? edge),
  };
}

/** How many nodes and edges came or went between two maps. */
export function changesOf(shown: WireServiceMap, fresh: WireServiceMap): number {
  const keys = (map: WireServiceMap) => new Set([...map.nodes.map((node) => node.id), ...map.edges.map(edgeKey)]);
  const [before, after] = [keys(shown), keys(fresh)];
  return [...before].filter((key) => !after.has(key)).length + [...after].filter((key) => !before.has(key)).length;
}

/** The node and all that it calls or is called by. */
export function neighbourhood(id: string, edges: readonly WireMapEdge[]): Set<string> {
  const found = new Set([id]);
  for (const edge of edges) {
    if (edge.source === id) found.add(edge.target);
    if (edge.target === id) found.add(edge.source);
  }
  return found;
}

/** What follows the type in an id: `database:postgresql:orders` is `orders` of `postgresql`. */
function place(node: WireMapNode): string {
  const [, ...rest] = node.id.split(':');
  return node.type === 'external' ? rest.join(':') : rest.slice(1).join(':') || node.label;
}

/**
 * Filters that find the traces through a node. Only services have a name in spans; any other is found by the services
 * at its edges, the kind of their spans and the text that names it.
 */
export function tracesOf(node: WireMapNode, edges: readonly WireMapEdge[]): Partial<Filters> {
  if (node.type === 'service') return { services: [node.label] };
  const others = edges
    .flatMap((edge) => (edge.target === node.id ? [edge.source] : edge.source === node.id ? [edge.target] : []))
    .filter((id) => id.startsWith('service:'))
    .map((id) => id.slice('service:'.length));
  const services = [...new Set(others)].sort();
  if (node.type === 'caller') return { services, rootOnly: true };
  const kinds = node.type === 'queue' ? ['producer', 'consumer'] : ['client'];
  return { services, kinds, search: place(node).replace(/:\d+$/, '') };
}

/** A text cut to about `most` characters; the whole stands in a title. */
export function cut(text: string, most: number): string {
  const letters = [...text];
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join('')}…`;
}

/** What a node shows: its name, cut to its width, and its figures or, without any, its type. */
export function shown(node: WireMapNode): { name: string; figures: string } {
  const name = cut(node.label === '' ? 'no name' : node.label, 17);
  return { name, figures: node.metrics ? redLine(node.metrics) : node.type };
}

/** The node nearest in a direction, for the arrow keys; null where there is none. */
export function nearest(
  from: string,
  towards: 'left' | 'right' | 'up' | 'down',
  nodes: ReadonlyMap<string, { x: number; y: number }>,
): string | null {
  const start = nodes.get(from);
  if (!start) return null;
  let best: string | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const [id, at] of nodes) {
    const [x, y] = [at.x - start.x, at.y - start.y];
    const isAcross = towards === 'left' || towards === 'right';
    const ahead = towards === 'left' ? -x : towards === 'right' ? x : towards === 'up' ? -y : y;
    const aside = Math.abs(isAcross ? y : x);
    if (ahead <= 1) continue;
    const distance = ahead + aside * 2;
    if (distance < least) {
      least = distance;
      best = id;
    }
  }
  return best;
}
