/** What eBPF agents say of themselves, from the metrics that begin with `ebpf.agent.`. */
import { findText, readAttributes } from '../attributes';
import type { Line } from '../metrics/series';
import { parseNanos, toSeconds, type Nanos } from '../time';
import type { WireLine, WireMetric, WireMetricAnswer } from '../wire';

export interface Agent {
  /** `service.instance.id`, which tells agents apart. */
  id: string;
  host: string;
  pid: string;
  version: string;
  /** How its programs are attached: `tracepoint` or `fexit`; empty where it does not say. */
  tap: string;
  lastSeen: Nanos;
}

/** The agents that this metric has a point of, the ones last heard of first. */
export function agentsOf(metric: WireMetric): Agent[] {
  const agents = new Map<string, Agent>();
  for (const series of metric.series) {
    const resource = readAttributes(series.resource);
    const host = findText(resource, 'host.name');
    const id = findText(resource, 'service.instance.id') || host || series.service_name;
    const lastSeen = series.datapoints.reduce((last, point) => {
      const at = parseNanos(point.timestamp);
      return at > last ? at : last;
    }, 0n as Nanos);
    const known = agents.get(id);
    if (known && known.lastSeen >= lastSeen) continue;
    agents.set(id, {
      id,
      host: host || id,
      pid: findText(resource, 'process.pid'),
      version: findText(resource, 'service.version'),
      tap: findText(resource, 'ebpf.agent.tap'),
      lastSeen,
    });
  }
  return [...agents.values()].filter((agent) => agent.lastSeen > 0n).sort((a, b) => (a.lastSeen < b.lastSeen ? 1 : a.lastSeen > b.lastSeen ? -1 : a.id < b.id ? -1 : 1));
}

const TAPS: Record<string, string> = {
  fexit: 'fexit: programs on the kernel’s own functions, the cheapest tap',
  tracepoint: 'tracepoint: programs on system calls, where the kernel has no fexit',
};

export function tapText(tap: string): string {
  return TAPS[tap] ?? tap;
}

/** All that the points of a line add up to; 0 for none. */
export function totalOf(line: WireLine | undefined): number {
  return (line?.points ?? []).reduce((sum, [, value]) => sum + (value ?? 0), 0);
}

/** The last value of a line; null for none. */
export function lastOf(line: WireLine | undefined): number | null {
  const points = line?.points ?? [];
  for (let index = points.length - 1; index >= 0; index -= 1) {
    const value = points[index]?.[1];
    if (value !== null && value !== undefined) return value;
  }
  return null;
}

/** Totals by one label, the largest first, without those that are zero. */
export function totalsBy(answer: WireMetricAnswer | null, key: string): { name: string; total: number }[] {
  return (answer?.series ?? [])
    .map((line) => ({ name: line.labels[key] ?? '', total: totalOf(line) }))
    .filter(({ total }) => total > 0)
    .sort((a, b) => b.total - a.total);
}

/** A line of a chart under another name. */
export function namedLine(line: WireLine, label: string): Line {
  return {
    label,
    service: '',
    times: line.points.map(([time]) => toSeconds(parseNanos(time))),
    values: line.points.map(([, value]) => value),
  };
}

export interface ProgramCost {
  program: string;
  runs: number;
  /** Seconds that all runs took. */
  time: number;
  /** Nanoseconds of a run. */
  perRun: number;
}

/** What each program of the kernel side costs, the most expensive in all first. */
export function programCosts(times: WireMetricAnswer | null, counts: WireMetricAnswer | null): ProgramCost[] {
  const runs = new Map((counts?.series ?? []).map((line) => [line.labels['program'] ?? '', totalOf(line)]));
  return (times?.series ?? [])
    .map((line) => {
      const program = line.labels['program'] ?? '';
      const time = totalOf(line);
      const count = runs.get(program) ?? 0;
      return { program, time, runs: count, perRun: count > 0 ? Math.round((time / count) * 1e9) : 0 };
    })
    .filter(({ runs: count }) => count > 0)
    .sort((a, b) => b.time - a.time);
}

/** Nanoseconds of a run over time, for each program. */
export function perRunLines(times: WireMetricAnswer | null, counts: WireMetricAnswer | null): Line[] {
  const byProgram = new Map((counts?.series ?? []).map((line) => [line.labels['program'] ?? '', new Map(line.points)]));
  return (times?.series ?? []).map((line) => {
    const program = line.labels['program'] ?? '';
    const runs = byProgram.get(program);
    const named = namedLine(line, program);
    named.values = line.points.map(([at, time]) => {
      const count = runs?.get(at) ?? 0;
      return time === null || !count ? null : (time / count) * 1e9;
    });
    return named;
  });
}

export type Verdict = 'ok' | 'losing' | 'silent';

/** Reports come every ten seconds; after this long an agent is taken to have stopped. */
const SILENT_NS = 60_000_000_000n;

export function verdictOf(agent: Agent, lost: number, now: Nanos): Verdict {
  if (now - agent.lastSeen > SILENT_NS) return 'silent';
  return lost > 0 ? 'losing' : 'ok';
}

/** Causes of drops that somebody chose, which are no loss. */
export const CHOSEN_CAUSES: ReadonlySet<string> = new Set(['unsampled', 'unattributed']);

const CAUSES: Record<string, string> = {
  queue_full: 'the export queue was full: the collector is too slow or away',
  rejected: 'the collector refused them',
  shutdown: 'the agent ended before they were sent',
  unsampled: 'left out by sampling, as configured',
  unattributed: 'left to the SDK of the process, as configured',
};

/** Why something was dropped, in words; the cause itself where this version knows none. */
export function causeText(cause: string): string {
  return CAUSES[cause] ?? cause.replaceAll('_', ' ');
}
