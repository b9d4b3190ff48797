/** A service's colour is a function of its name alone, so it is the same on every page and after every restart. */

/** How many hues palette.css defines. */
export const HUES = 12;

/** FNV-1a over UTF-16 units, folded so that every bit takes part in the choice. */
export function hueOf(service: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < service.length; index += 1) {
    hash ^= service.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 15;
  return (hash >>> 0) % HUES;
}

/** The classes that set a service's colour variables. */
export function serviceClass(service: string): string {
  return `svc svc-${hueOf(service)}`;
}

/** The colour of a chart's line by its place: neighbours are a golden angle apart, and reds come late. */
export function lineColour(index: number, isDark: boolean): string {
  const hue = Math.round((255 + index * 137.508) % 360);
  return `oklch(${isDark ? 0.74 : 0.56} 0.13 ${hue})`;
}
