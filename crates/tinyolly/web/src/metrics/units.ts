/** Measured values with their unit, as UCUM spells it in OTLP. */
import { formatDuration } from '../time';
import { formatNumber } from '../words';

/** Nanoseconds of the units of time. */
const TIMES: Record<string, number> = { ns: 1, us: 1e3, 'µs': 1e3, ms: 1e6, s: 1e9, min: 60e9, h: 3600e9 };
const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `{request}` and `1` count things and say nothing beside a number. */
export function isCount(unit: string): boolean {
  return unit === '' || unit === '1' || /^\{.*\}$/.test(unit);
}

/** A value with its unit: `12.3 ms` for 0.0123 s, `1.5 MiB`, `83 %`, `4.2 /s`. */
export function formatValue(value: number, unit: string): string {
  const rate = /^(.*)\/s$/.exec(unit);
  if (rate) {
    const base = rate[1] ?? '';
    if (isCount(base)) return `${formatNumber(value)} /s`;
    // Seconds for each second: how many processors, or how much of one.
    if (base in TIMES) return formatValue((value * (TIMES[base] ?? 1)) / 1e9, 'ratio');
    return `${formatValue(value, base)}/s`;
  }
  const nanos = TIMES[unit];
  if (nanos !== undefined) return value === 0 ? '0' : Math.abs(value * nanos) < 1 ? `${formatNumber(value * nanos)} ns` : formatDuration(value * nanos);
  if (unit === 'By') return formatBytes(value);
  if (unit === 'ratio') return `${formatNumber(Number((value * 100).toPrecision(3)))} %`;
  if (unit === '%') return `${formatNumber(value)} %`;
  return isCount(unit) ? formatNumber(value) : `${formatNumber(value)} ${unit}`;
}

function formatBytes(value: number): string {
  let size = Math.abs(value);
  let at = 0;
  while (size >= 1024 && at < BYTES.length - 1) {
    size /= 1024;
    at += 1;
  }
  const digits = at === 0 || size >= 100 ? 0 : 1;
  return `${value < 0 ? '−' : ''}${Number(size.toFixed(digits))} ${BYTES[at]}`;
}
