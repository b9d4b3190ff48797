/** Which layer each node of a directed graph stands in: the first step of its drawing. */

export interface GraphEdge {
  source: string;
  target: string;
}

/** An edge as it is drawn, from an earlier layer to a later one. */
export interface ForwardEdge {
  /** Index in the list of edges that was given. */
  index: number;
  from: string;
  to: string;
  /** It closes a cycle, so it is drawn against its direction. */
  isReversed: boolean;
}

/** Edges that can be drawn: both ends known, of two nodes. */
function drawable(ids: ReadonlySet<string>, edges: readonly GraphEdge[]): { edge: GraphEdge; index: number }[] {
  return edges
    .map((edge, index) => ({ edge, index }))
    .filter(({ edge }) => edge.source !== edge.target && ids.has(edge.source) && ids.has(edge.target))
    .sort((a, b) => compare(a.edge.source, b.edge.source) || compare(a.edge.target, b.edge.target));
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Turns the edges round that close a cycle, as met on a walk from the nodes that nobody calls. */
export function withoutCycles(ids: readonly string[], edges: readonly GraphEdge[]): ForwardEdge[] {
  const all = drawable(new Set(ids), edges);
  const out = new Map<string, { to: string; index: number }[]>(ids.map((id) => [id, []]));
  const called = new Set<string>();
  for (const { edge, index } of all) {
    out.get(edge.source)?.push({ to: edge.target, index });
    called.add(edge.target);
  }
  const state = new Map<string, 'open' | 'done'>();
  const reversed = new Set<number>();
  const sorted = [...ids].sort(compare);
  const starts = [...sorted.filter((id) => !called.has(id)), ...sorted];
  for (const start of starts) {
    if (state.has(start)) continue;
    // A stack of our own: a chain may be longer than the engine's.
    const stack = [{ id: start, next: 0 }];
    state.set(start, 'open');
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const edge = out.get(top.id)?.[top.next];
      top.next += 1;
      if (edge === undefined) {
        state.set(top.id, 'done');
        stack.pop();
      } else if (state.get(edge.to) === 'open') {
        reversed.add(edge.index);
      } else if (!state.has(edge.to)) {
        state.set(edge.to, 'open');
        stack.push({ id: edge.to, next: 0 });
      }
    }
  }
  return all.map(({ edge, index }) => {
    const isReversed = reversed.has(index);
    return { index, from: isReversed ? edge.target : edge.source, to: isReversed ? edge.source : edge.target, isReversed };
  });
}

/** The longest way from a start decides; a start that is called by nobody stands just before what it calls. */
export function layersOf(ids: readonly string[], edges: readonly ForwardEdge[]): Map<string, number> {
  const into = new Map<string, number>(ids.map((id) => [id, 0]));
  const out = new Map<string, string[]>(ids.map((id) => [id, []]));
  for (const edge of edges) {
    into.set(edge.to, (into.get(edge.to) ?? 0) + 1);
    out.get(edge.from)?.push(edge.to);
  }
  const starts = [...ids].filter((id) => into.get(id) === 0).sort(compare);
  const layers = new Map<string, number>(ids.map((id) => [id, 0]));
  const queue = [...starts];
  for (let at = 0; at < queue.length; at += 1) {
    const id = queue[at] ?? '';
    for (const to of out.get(id) ?? []) {
      layers.set(to, Math.max(layers.get(to) ?? 0, (layers.get(id) ?? 0) + 1));
      const left = (into.get(to) ?? 0) - 1;
      into.set(to, left);
      if (left === 0) queue.push(to);
    }
  }
  for (const id of starts) {
    const next = (out.get(id) ?? []).map((to) => layers.get(to) ?? 0);
    if (next.length > 0) layers.set(id, Math.min(...next) - 1);
  }
  return layers;
}
