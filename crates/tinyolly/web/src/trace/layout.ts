/** Where the bars and ticks of a waterfall go, in fractions of its width. */
import { formatDuration, minus, toNumber, type Nanos } from '../time';
import type { Span } from '../model';
import { MOST_INDENT, type Row } from './tree';
import type { Zoom } from './zoom';

export interface Extent {
  start: Nanos;
  /** Never zero, so that it may be divided by. */
  length: number;
}

export function extentOf(spans: readonly Span[]): Extent {
  const first = spans[0];
  if (!first) return { start: 0n as Nanos, length: 1 };
  let start = first.start;
  let end = first.end;
  for (const span of spans) {
    if (span.start < start) start = span.start;
    if (span.end > end) end = span.end;
  }
  return { start, length: Math.max(1, toNumber(minus(end, start))) };
}

/** Shares of the shown width, both within it. */
export interface Bar {
  left: number;
  width: number;
  /** Which side of the shown time the whole span lies on. */
  beyond: '' | 'before' | 'after';
}

/** Where a span lies within the part of the trace that is shown. */
export function barOf(span: Span, extent: Extent, zoom: Zoom): Bar {
  const from = toNumber(minus(span.start, extent.start));
  return barBetween(from, from + Math.max(0, toNumber(span.duration)), zoom);
}

/** The same for two times in nanoseconds after the trace's start. */
export function barBetween(from: number, to: number, zoom: Zoom): Bar {
  const size = zoom.to - zoom.from;
  const left = clamp((from - zoom.from) / size);
  const beyond = to < zoom.from ? 'before' : from > zoom.to ? 'after' : '';
  return { left, width: clamp((to - zoom.from) / size) - left, beyond };
}

/** Segments as one SVG path of a line at height 0 over a width of `units`; what the eye cannot part is joined. */
export function linePath(segments: readonly { from: number; to: number }[], zoom: Zoom, units: number): string {
  const scale = units / (zoom.to - zoom.from);
  const place = (at: number) => Math.round(Math.min(units, Math.max(0, (at - zoom.from) * scale)) * 10) / 10;
  const parts: { from: number; to: number }[] = [];
  for (const segment of segments) {
    if (segment.to < zoom.from || segment.from > zoom.to) continue;
    const from = place(segment.from);
    const to = place(segment.to);
    const last = parts.at(-1);
    if (last && from - last.to < 0.5) last.to = to;
    else parts.push({ from, to });
  }
  return parts.map(({ from, to }) => `M${from} 0H${Math.max(to, from + 1)}`).join('');
}

function clamp(share: number, most = 1): number {
  return Math.min(most, Math.max(0, share));
}

export interface Tick {
  at: number;
  label: string;
}

/** Round steps of 1, 2 or 5 so that at most `most` ticks, the zero included, cover the shown time. */
export function ticksOf(zoom: Zoom, most: number): { ticks: Tick[]; step: number } {
  const size = zoom.to - zoom.from;
  const step = roundStep(size / Math.max(1, most));
  const ticks: Tick[] = [];
  for (let at = Math.ceil(zoom.from / step) * step; at <= zoom.to; at += step) {
    ticks.push({ at: (at - zoom.from) / size, label: tickLabel(at, step) });
  }
  return { ticks, step: step / size };
}

function roundStep(least: number): number {
  const size = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  const factor = [1, 2, 5, 10].find((each) => each * size >= least) ?? 10;
  return factor * size;
}

const UNITS = [
  [1e9, 's'],
  [1e6, 'ms'],
  [1e3, 'µs'],
  [1, 'ns'],
] as const;

/** With the decimals that tell it from its neighbours, and without those that say nothing: `200 ms`, `100.002 ms`. */
function tickLabel(ns: number, step: number): string {
  if (ns === 0) return '0';
  if (ns >= 60e9 && step >= 1e9) return formatDuration(ns);
  const [size, unit] = UNITS.find(([each]) => ns >= each) ?? UNITS[3];
  const decimals = Math.min(9, Math.max(0, Math.ceil(Math.log10(size / step) - 1e-9)));
  return `${Number((ns / size).toFixed(decimals))} ${unit}`;
}

/** Pixels by which a level is indented, and the place of its line within them. */
export const INDENT = 14;
const LINE_AT = 8.5;

/**
 * The lines that join a row to its parent and pass it by to later siblings, as an SVG path of the row's height;
 * without its own elbow where that is drawn apart.
 */
export function guidePath(row: Row, height: number, withElbow = true): string {
  const depth = Math.min(row.node.depth, MOST_INDENT);
  if (depth === 0) return '';
  const middle = height / 2;
  const passing = row.guides
    .slice(0, depth - 1)
    .map((goesOn, level) => (goesOn ? `M${LINE_AT + level * INDENT} 0V${height}` : ''))
    .join('');
  const own = LINE_AT + (depth - 1) * INDENT;
  if (!withElbow) return row.isLast ? passing : `${passing}M${own} ${middle}V${height}`;
  return `${passing}M${own} 0V${row.isLast ? middle : height}M${own} ${middle}h6`;
}

/** The part of those lines that leads to this row alone, with the place of its mark. */
export function elbow(row: Row, height: number): { path: string; x: number; y: number } {
  const x = LINE_AT + (Math.min(row.node.depth, MOST_INDENT) - 1) * INDENT;
  const y = height / 2;
  return { path: `M${x} 0V${y}h6`, x, y };
}
