/** Which part of a drawing is on the screen: pure steps of zoom and pan. */
import type { Point, Size } from './layout';

/** Screen = drawing * scale + (x, y). */
export interface Zoom extends Point {
  scale: number;
}

export const LEAST_SCALE = 0.15;
export const MOST_SCALE = 3;

/** Shows the whole drawing in the middle, never larger than life; below `least` only its beginning. */
export function fit(drawing: Size, screen: Size, margin: number, least = LEAST_SCALE): Zoom {
  const room = { width: screen.width - 2 * margin, height: screen.height - 2 * margin };
  const whole = Math.min(room.width / Math.max(1, drawing.width), room.height / Math.max(1, drawing.height), 1);
  const scale = Math.max(whole, least);
  const centre = (length: number, size: number) => Math.max(margin, (size - length * scale) / 2);
  return { scale, x: centre(drawing.width, screen.width), y: centre(drawing.height, screen.height) };
}

/** Zooms by a factor so that the point under the pointer stays there. */
export function zoomAt(zoom: Zoom, factor: number, at: Point): Zoom {
  const scale = Math.min(MOST_SCALE, Math.max(LEAST_SCALE, zoom.scale * factor));
  const share = scale / zoom.scale;
  return { scale, x: at.x - (at.x - zoom.x) * share, y: at.y - (at.y - zoom.y) * share };
}

/** Moves as little as brings a point of the drawing at least `margin` inside the screen. */
export function reveal(zoom: Zoom, point: Point, screen: Size, margin: number): Zoom {
  const into = (at: number, length: number) => Math.min(Math.max(at, margin), Math.max(margin, length - margin));
  const x = point.x * zoom.scale + zoom.x;
  const y = point.y * zoom.scale + zoom.y;
  return { ...zoom, x: zoom.x + into(x, screen.width) - x, y: zoom.y + into(y, screen.height) - y };
}
