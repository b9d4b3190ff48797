/** What the overview says of all services at once. */
import type { WireService } from '../wire';
import { healthOf } from './red';

const RANK = { error: 0, warn: 1, ok: 2, quiet: 3 } as const;

const byName = (a: WireService, b: WireService) => (a.name < b.name ? -1 : 1);

/** What fails comes first; the order depends on health and name alone, so that it seldom changes. */
export function byHealth(services: readonly WireService[]): WireService[] {
  return [...services].sort((a, b) => RANK[healthOf(a)] - RANK[healthOf(b)] || byName(a, b));
}

/** The names of the slowest services by p99, in the order of the alphabet, so that the same ones read the same. */
export function slowestNames(services: readonly WireService[], most: number): string[] {
  return [...services]
    .sort((a, b) => (b.duration_p99_ms ?? 0) - (a.duration_p99_ms ?? 0) || byName(a, b))
    .slice(0, most)
    .map((service) => service.name)
    .sort();
}

/** Who reports the services: `3 by eBPF, 1 by both`; empty when nobody does. */
export function sourcesText(services: readonly WireService[]): string {
  const has = (service: WireService, source: string) => service.instrumentation.includes(source);
  const both = services.filter((service) => has(service, 'ebpf') && has(service, 'sdk')).length;
  const ebpf = services.filter((service) => has(service, 'ebpf')).length - both;
  const sdk = services.filter((service) => has(service, 'sdk')).length - both;
  const parts = [[ebpf, 'by eBPF'], [sdk, 'by an SDK'], [both, 'by both']] as const;
  return parts.filter(([count]) => count > 0).map(([count, name]) => `${count} ${name}`).join(', ');
}
