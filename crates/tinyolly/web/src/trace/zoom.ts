/** The part of a trace's time that is shown, in nanoseconds after its start. */

export interface Zoom {
  from: number;
  to: number;
}

/** No closer than this: a nanosecond is the finest that a span's time tells. */
const LEAST_NS = 10;

export function whole(length: number): Zoom {
  return { from: 0, to: Math.max(1, length) };
}

export function isWhole(zoom: Zoom, length: number): boolean {
  return zoom.from <= 0 && zoom.to >= length;
}

/** Within the trace and not too close; a range the wrong way round is turned. */
export function fitted(zoom: Zoom, length: number): Zoom {
  const most = Math.max(1, length);
  const least = Math.min(most, LEAST_NS);
  const from = Math.min(zoom.from, zoom.to);
  const size = Math.min(most, Math.max(least, Math.abs(zoom.to - zoom.from)));
  const kept = Math.min(most - size, Math.max(0, from));
  return { from: kept, to: kept + size };
}

/** Closer (`factor` below 1) or further (above), with the time at `share` of the width staying where it is. */
export function zoomedAt(zoom: Zoom, share: number, factor: number, length: number): Zoom {
  const size = zoom.to - zoom.from;
  const at = zoom.from + size * share;
  const least = Math.min(Math.max(1, length), LEAST_NS);
  const next = Math.min(Math.max(1, length), Math.max(least, size * factor));
  return fitted({ from: at - next * share, to: at + next * (1 - share) }, length);
}

/** Along the time by a share of what is shown. */
export function panned(zoom: Zoom, share: number, length: number): Zoom {
  const by = (zoom.to - zoom.from) * share;
  return fitted({ from: zoom.from + by, to: zoom.to + by }, length);
}

/** Reads `1200-45000` of a link; anything else, and what lies outside of the trace, is the whole. */
export function parseZoom(text: string, length: number): Zoom {
  const parts = /^(\d{1,15})-(\d{1,15})$/.exec(text);
  if (!parts) return whole(length);
  const from = Number(parts[1]);
  const to = Number(parts[2]);
  return from >= to || from >= length ? whole(length) : fitted({ from, to }, length);
}

/** For a link; empty for the whole. */
export function formatZoom(zoom: Zoom, length: number): string {
  if (isWhole(zoom, length)) return '';
  const from = Math.floor(zoom.from);
  return `${from}-${Math.max(from + 1, Math.ceil(zoom.to))}`;
}
