/**
 * A layered drawing of who calls whom: callers first, what they call after them. It is a function of the ids and edges
 * alone, so figures that change move nothing; `before` keeps neighbours in the order that they had.
 */
import { compare, layersOf, withoutCycles, type ForwardEdge, type GraphEdge } from './layers';

export interface Size {
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Layout extends Size {
  /** The centre of each node. */
  nodes: ReadonlyMap<string, Point>;
  /** By index of the edge: the points it goes through, from its source to its target. */
  edges: readonly (readonly Point[])[];
  direction: Direction;
}

/** Where calls lead: to the right on a wide page, down on a narrow one. */
export type Direction = 'right' | 'down';

export interface Spacing {
  node: Size;
  /** Between layers, which is where edges have their labels. */
  layer: number;
  /** Between neighbours of a layer. */
  neighbour: number;
}

/** A node, or the place where a long edge passes a layer. */
interface Slot {
  id: string;
  /** Extent across the direction. */
  breadth: number;
  place: number;
  /** Neighbours in the layers before and after. */
  before: Slot[];
  after: Slot[];
}

const SWEEPS = 8;

export function layOut(
  ids: readonly string[],
  edges: readonly GraphEdge[],
  spacing: Spacing,
  direction: Direction,
  before?: Layout,
): Layout {
  const isRight = direction === 'right';
  const depth = isRight ? spacing.node.width : spacing.node.height;
  const breadth = isRight ? spacing.node.height : spacing.node.width;
  const known = [...new Set(ids)];
  const forward = withoutCycles(known, edges);
  const layers = layersOf(known, forward);
  const { rows, slots, ways } = slotsOf(known, forward, layers, breadth);
  const across = (id: string) => {
    const point = before?.direction === direction ? before.nodes.get(id) : undefined;
    return point ? (isRight ? point.y : point.x) : Number.POSITIVE_INFINITY;
  };
  for (const row of rows) row.sort((a, b) => order(across(a.id), across(b.id)) || compare(a.id, b.id));
  untangle(rows);
  spread(rows, spacing.neighbour);

  const all = rows.flat();
  const least = Math.min(0, ...all.map((slot) => slot.place - slot.breadth / 2));
  const most = Math.max(0, ...all.map((slot) => slot.place + slot.breadth / 2));
  const along = (layer: number) => layer * (depth + spacing.layer) + depth / 2;
  const point = (main: number, cross: number): Point =>
    isRight ? { x: main, y: cross - least } : { x: cross - least, y: main };
  const length = rows.length === 0 ? 0 : along(rows.length - 1) + depth / 2;
  const ports = portsOf(forward, ways, breadth);

  return {
    nodes: new Map(
      known.map((id) => [id, point(along(layers.get(id) ?? 0), slots.get(id)?.place ?? 0)] as const),
    ),
    edges: edges.map((_, index) => {
      const at = forward.findIndex((edge) => edge.index === index);
      const edge = forward[at];
      const way = ways[at];
      const port = ports[at];
      if (!edge || !way || !port) return [];
      const first = layers.get(edge.from) ?? 0;
      const points = way.flatMap((slot, step) => {
        const main = along(first + step);
        const isFirst = step === 0;
        const isLast = step === way.length - 1;
        if (isFirst) return [point(main + depth / 2, slot.place + port.from)];
        if (isLast) return [point(main - depth / 2, slot.place + port.to)];
        return [point(main - depth / 2, slot.place), point(main + depth / 2, slot.place)];
      });
      return edge.isReversed ? points.reverse() : points;
    }),
    width: isRight ? length : most - least,
    height: isRight ? most - least : length,
    direction,
  };
}

function order(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Rows of slots, and for each edge the slots that it goes through. */
function slotsOf(
  ids: readonly string[],
  edges: readonly ForwardEdge[],
  layers: ReadonlyMap<string, number>,
  breadth: number,
): { rows: Slot[][]; slots: Map<string, Slot>; ways: Slot[][] } {
  const rows: Slot[][] = [];
  const slot = (id: string, layer: number, width: number): Slot => {
    const made: Slot = { id, breadth: width, place: 0, before: [], after: [] };
    while (rows.length <= layer) rows.push([]);
    rows[layer]?.push(made);
    return made;
  };
  const slots = new Map(ids.map((id) => [id, slot(id, layers.get(id) ?? 0, breadth)] as const));
  const ways = edges.map((edge) => {
    const from = layers.get(edge.from) ?? 0;
    const to = layers.get(edge.to) ?? 0;
    const way: Slot[] = [];
    for (let layer = from; layer <= to; layer += 1) {
      const end = layer === from ? slots.get(edge.from) : layer === to ? slots.get(edge.to) : undefined;
      way.push(end ?? slot(`${edge.from}\u0000${edge.to}\u0000${layer}`, layer, 0));
    }
    way.forEach((each, step) => {
      const next = way[step + 1];
      if (!next) return;
      each.after.push(next);
      next.before.push(each);
    });
    return way;
  });
  return { rows, slots, ways };
}

/** Orders each row by the middle of its neighbours, to and fro, and keeps the order with the fewest crossings. */
function untangle(rows: Slot[][]): void {
  number(rows);
  let best = rows.map((row) => [...row]);
  let fewest = crossings(rows);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const row of isDown ? rows : [...rows].reverse()) {
      const wish = new Map(row.map((slot) => [slot, middle(isDown ? slot.before : slot.after, slot.place)]));
      row.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0) || a.place - b.place);
      row.forEach((slot, index) => (slot.place = index));
    }
    const count = crossings(rows);
    if (count < fewest) {
      fewest = count;
      best = rows.map((row) => [...row]);
    }
  }
  best.forEach((row, index) => rows[index]?.splice(0, row.length, ...row));
  number(rows);
}

function number(rows: Slot[][]): void {
  for (const row of rows) row.forEach((slot, index) => (slot.place = index));
}

function middle(slots: readonly Slot[], otherwise: number): number {
  if (slots.length === 0) return otherwise;
  return slots.reduce((sum, slot) => sum + slot.place, 0) / slots.length;
}

function crossings(rows: readonly (readonly Slot[])[]): number {
  let count = 0;
  for (const row of rows) {
    const edges = row.flatMap((slot) => slot.after.map((next) => [slot.place, next.place] as const));
    for (let a = 0; a < edges.length; a += 1) {
      for (let b = a + 1; b < edges.length; b += 1) {
        const [fromA = 0, toA = 0] = edges[a] ?? [];
        const [fromB = 0, toB = 0] = edges[b] ?? [];
        if ((fromA - fromB) * (toA - toB) < 0) count += 1;
      }
    }
  }
  return count;
}

/** Moves slots as near to the middle of their neighbours as their order and their room allow. */
function spread(rows: Slot[][], gap: number): void {
  for (const row of rows) settle(row, row.map((slot) => slot.place * (slot.breadth + gap)), gap);
  for (let sweep = 0; sweep <= SWEEPS; sweep += 1) {
    const isDown = sweep % 2 === 0;
    for (const row of isDown ? rows : [...rows].reverse()) {
      settle(row, row.map((slot) => middle([...slot.before, ...slot.after], slot.place)), gap);
    }
  }
}

/**
 * The places nearest to the wishes, by least squares, that keep the order and the distances: without the distances it
 * is isotonic regression, solved by pooling neighbours that want to pass each other.
 */
function settle(row: readonly Slot[], wishes: readonly number[], gap: number): void {
  const offsets: number[] = [];
  row.forEach((slot, index) => {
    const last = row[index - 1];
    offsets.push(last ? (offsets[index - 1] ?? 0) + (last.breadth + slot.breadth) / 2 + gap : 0);
  });
  const pools: { sum: number; count: number }[] = [];
  wishes.forEach((wish, index) => {
    let pool = { sum: wish - (offsets[index] ?? 0), count: 1 };
    for (let last = pools.at(-1); last && last.sum / last.count > pool.sum / pool.count; last = pools.at(-1)) {
      pool = { sum: last.sum + pool.sum, count: last.count + pool.count };
      pools.pop();
    }
    pools.push(pool);
  });
  let index = 0;
  for (const pool of pools) {
    for (let each = 0; each < pool.count; each += 1, index += 1) {
      const slot = row[index];
      if (slot) slot.place = pool.sum / pool.count + (offsets[index] ?? 0);
    }
  }
}

/** Where edges touch their nodes: side by side, in the order of where they lead. */
function portsOf(edges: readonly ForwardEdge[], ways: readonly Slot[][], breadth: number): { from: number; to: number }[] {
  const ports = edges.map(() => ({ from: 0, to: 0 }));
  const assign = (end: 'from' | 'to') => {
    const sides = new Map<string, { edge: number; toward: number }[]>();
    edges.forEach((edge, index) => {
      const way = ways[index] ?? [];
      const toward = (end === 'from' ? way[1] : way.at(-2))?.place ?? 0;
      const side = sides.get(edge[end]) ?? [];
      side.push({ edge: index, toward });
      sides.set(edge[end], side);
    });
    for (const side of sides.values()) {
      side.sort((a, b) => a.toward - b.toward || a.edge - b.edge);
      const step = Math.min(14, (breadth * 0.7) / side.length);
      side.forEach(({ edge }, index) => {
        const port = ports[edge];
        if (port) port[end] = (index - (side.length - 1) / 2) * step;
      });
    }
  };
  assign('from');
  assign('to');
  return ports;
}
