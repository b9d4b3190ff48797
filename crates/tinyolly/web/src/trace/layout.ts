/** Where the bars and ticks of a waterfall go, in fractions of its width. */
import { formatDuration, minus, toNumber, type Nanos } from '../time';
import type { Span } from '../model';
import { MOST_INDENT, type Row } from './tree';

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

export interface Bar {
  left: number;
  width: number;
}

export function barOf(span: Span, extent: Extent): Bar {
  const left = clamp(toNumber(minus(span.start, extent.start)) / extent.length);
  return { left, width: clamp(toNumber(span.duration) / extent.length, 1 - left) };
}

function clamp(share: number, most = 1): number {
  return Math.min(most, Math.max(0, share));
}

export interface Tick {
  at: number;
  label: string;
}

/** Round steps of 1, 2 or 5 so that at most `most` ticks, the zero included, cover the extent. */
export function ticksOf(length: number, most: number): Tick[] {
  const step = roundStep(length / Math.max(1, most));
  const ticks: Tick[] = [];
  for (let at = 0; at <= length; at += step) ticks.push({ at: at / length, label: tickLabel(at) });
  return ticks;
}

function roundStep(least: number): number {
  const size = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  const factor = [1, 2, 5, 10].find((each) => each * size >= least) ?? 10;
  return factor * size;
}

/** A round duration without the decimals that say nothing: `200 ms`, not `200.0 ms`. */
function tickLabel(ns: number): string {
  if (ns === 0) return '0';
  return formatDuration(ns).replace(/(\.\d*?)0+ /, '$1 ').replace('. ', ' ');
}

/** Pixels by which a level is indented, and the place of its line within them. */
export const INDENT = 14;
const LINE_AT = 8.5;

/** The lines that join a row to its parent and pass it by to later siblings, as an SVG path of the row's height. */
export function guidePath(row: Row, height: number): string {
  const depth = Math.min(row.node.depth, MOST_INDENT);
  if (depth === 0) return '';
  const middle = height / 2;
  const passing = row.guides
    .slice(0, depth - 1)
    .map((goesOn, level) => (goesOn ? `M${LINE_AT + level * INDENT} 0V${height}` : ''));
  const own = LINE_AT + (depth - 1) * INDENT;
  return `${passing.join('')}M${own} 0V${row.isLast ? middle : height}M${own} ${middle}h6`;
}
