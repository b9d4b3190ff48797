/** Time as the server sends it: nanoseconds since the Unix epoch, more digits than a number holds. */

declare const nanosBrand: unique symbol;

/** Nanoseconds, a moment or a length. */
export type Nanos = bigint & { readonly [nanosBrand]: true };

export const ZERO = 0n as Nanos;

/** Reads a decimal string; anything else is zero, which the views show as an unknown time. */
export function parseNanos(text: string | undefined): Nanos {
  return text !== undefined && /^-?\d{1,20}$/.test(text) ? (BigInt(text) as Nanos) : ZERO;
}

export function minus(a: Nanos, b: Nanos): Nanos {
  return (a - b) as Nanos;
}

export function plus(a: Nanos, b: Nanos): Nanos {
  return (a + b) as Nanos;
}

/** A length as a number. Exact up to 104 days, which is more than a drawing needs. */
export function toNumber(length: Nanos): number {
  return Number(length);
}

export function toSeconds(moment: Nanos): number {
  return Number(moment / 1_000n) / 1e6;
}

export function fromMillis(millis: number): Nanos {
  return (BigInt(Math.round(millis)) * 1_000_000n) as Nanos;
}

/** `820 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`, `2m 05s`: three digits are what the eye compares. */
export function formatDuration(length: Nanos | number): string {
  const ns = Number(length);
  if (ns < 0) return `−${formatDuration(-ns)}`;
  if (ns < 1_000) return `${Math.round(ns)} ns`;
  if (ns < 999_500) return `${threeDigits(ns / 1e3)} µs`;
  if (ns < 999_500_000) return `${threeDigits(ns / 1e6)} ms`;
  if (ns < 59_950_000_000) return `${threeDigits(ns / 1e9)} s`;
  const seconds = Math.round(ns / 1e9);
  const rest = (value: number) => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${rest(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h ${rest(Math.floor(seconds / 60) % 60)}m`;
}

function threeDigits(value: number): string {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

const pad = (value: number, width: number) => String(value).padStart(width, '0');

/** `14:03:22.104` in the viewer's zone. */
export function formatClock(moment: Nanos): string {
  if (moment <= 0n) return '–';
  const date = new Date(Number(moment / 1_000_000n));
  const clock = `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}`;
  return `${clock}.${pad(date.getMilliseconds(), 3)}`;
}

/** `2026-03-02` in the viewer's zone. */
export function formatDay(moment: Nanos): string {
  if (moment <= 0n) return '';
  const date = new Date(Number(moment / 1_000_000n));
  return `${date.getFullYear()}-${pad(date.getMonth() + 1, 2)}-${pad(date.getDate(), 2)}`;
}

/** Day, clock and all nine decimals, for the detail panel. */
export function formatMoment(moment: Nanos): string {
  if (moment <= 0n) return 'unknown';
  const decimals = pad(Number(moment % 1_000_000_000n), 9);
  return `${formatDay(moment)} ${formatClock(moment).slice(0, 8)}.${decimals}`;
}

/** The clock alone today, with month and day before it on other days. */
export function formatListTime(moment: Nanos, now: Nanos): string {
  const day = formatDay(moment);
  return day === formatDay(now) || day === '' ? formatClock(moment) : `${day.slice(5)} ${formatClock(moment).slice(0, 8)}`;
}

/** The same without the part of the second, for short lists. */
export function formatListSecond(moment: Nanos, now: Nanos): string {
  return formatListTime(moment, now).replace(/\.\d+$/, '');
}
