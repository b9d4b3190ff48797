import { expect, it } from 'vitest';
import type { WireService } from '../wire';
import { byHealth, slowestNames, sourcesText } from './glance';

function service(name: string, change: Partial<WireService> = {}): WireService {
  return {
    name,
    span_count: 10,
    trace_count: 10,
    request_count: 10,
    rate: 1,
    error_count: 0,
    error_rate: 0,
    duration_p50_ms: 1,
    duration_p95_ms: 2,
    duration_p99_ms: 3,
    first_seen: '0',
    last_seen: '0',
    basis: 'server',
    instrumentation: [],
    series: [],
    ...change,
  };
}

const names = (services: readonly WireService[]) => services.map((each) => each.name);

it('puts what fails first, and equals by name', () => {
  const all = [
    service('quiet', { request_count: 0 }),
    service('b'),
    service('bad', { error_count: 5, error_rate: 0.5 }),
    service('a'),
    service('some', { error_count: 1, error_rate: 0.01 }),
  ];
  expect(names(byHealth(all))).toEqual(['bad', 'some', 'a', 'b', 'quiet']);
  expect(names(all)[0]).toBe('quiet');
});

it('takes the slowest by p99 and names them in order', () => {
  const all = [
    service('z', { duration_p99_ms: 90 }),
    service('none', { duration_p99_ms: null }),
    service('a', { duration_p99_ms: 80 }),
    service('fast'),
  ];
  expect(slowestNames(all, 2)).toEqual(['a', 'z']);
  expect(slowestNames(all, 3)).toEqual(['a', 'fast', 'z']);
});

it('counts a service of both sources once', () => {
  const all = [
    service('a', { instrumentation: ['ebpf'] }),
    service('b', { instrumentation: ['ebpf', 'sdk'] }),
    service('c', { instrumentation: ['ebpf'] }),
    service('d'),
  ];
  expect(sourcesText(all)).toBe('2 by eBPF, 1 by both');
  expect(sourcesText([])).toBe('');
});
