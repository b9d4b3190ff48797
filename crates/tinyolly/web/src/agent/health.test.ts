import { expect, it } from 'vitest';
import type { Nanos } from '../time';
import type { WireMetric, WireMetricAnswer } from '../wire';
import { agentsOf, causeText, lastOf, perRunLines, programCosts, totalsBy, verdictOf } from './health';

const text = (key: string, value: string) => ({ key, value: { stringValue: value } });

function metric(...agents: [string, string][]): WireMetric {
  return {
    name: 'ebpf.agent.spans.seen', type: 'sum', unit: '', description: '', temporality: 2, is_monotonic: true,
    series: agents.map(([id, at]) => ({
      service_name: 'otel-ebpf-agent',
      resource: [text('service.instance.id', id), text('host.name', 'h'), text('ebpf.agent.tap', 'fexit')],
      attributes: [], temporality: 2, is_monotonic: true,
      datapoints: [{ timestamp: at, start_timestamp: '1', flags: 0, value: { asInt: '1' } }],
    })),
  };
}

function answer(...series: [Record<string, string>, (number | null)[]][]): WireMetricAnswer {
  return {
    name: 'm', type: 'sum', unit: 's', function: 'increase', start: '0', end: '9', step: '1', complete: true, exemplars: [],
    series: series.map(([labels, values]) => ({ labels, points: values.map((value, index) => [String(index), value]) })),
  };
}

it('tells agents apart, the last heard of first', () => {
  const agents = agentsOf(metric(['a:1', '100'], ['b:2', '300'], ['a:1', '200'], ['gone', '0']));
  expect(agents.map((agent) => [agent.id, agent.lastSeen])).toEqual([['b:2', 300n], ['a:1', 200n]]);
  expect(agents[0]).toMatchObject({ host: 'h', tap: 'fexit', pid: '', version: '' });
});

it('adds up and leaves out what never was', () => {
  const drops = answer([{ cause: 'a' }, [1, null, 2]], [{ cause: 'b' }, [0, 0]], [{ cause: 'c' }, [9]]);
  expect(totalsBy(drops, 'cause')).toEqual([{ name: 'c', total: 9 }, { name: 'a', total: 3 }]);
  expect(totalsBy(null, 'cause')).toEqual([]);
  expect(lastOf(drops.series[0])).toBe(2);
  expect(lastOf(answer([{}, [1, null]]).series[0])).toBe(1);
  expect(lastOf(undefined)).toBeNull();
});

it('divides time by runs', () => {
  const times = answer([{ program: 'send' }, [0.001, 0.003, null]], [{ program: 'idle' }, [0]]);
  const counts = answer([{ program: 'send' }, [1_000, 1_000, 0]], [{ program: 'idle' }, [0]]);
  expect(programCosts(times, counts)).toEqual([{ program: 'send', runs: 2_000, time: 0.004, perRun: 2_000 }]);
  expect(perRunLines(times, counts)[0]?.values).toEqual([1_000, 3_000, null]);
  expect(programCosts(null, null)).toEqual([]);
});

it('judges', () => {
  const agent = agentsOf(metric(['a', '1000']))[0]!;
  expect(verdictOf(agent, 0, 2_000n as Nanos)).toBe('ok');
  expect(verdictOf(agent, 3, 2_000n as Nanos)).toBe('losing');
  expect(verdictOf(agent, 3, 70_000_000_000n as Nanos)).toBe('silent');
  expect(causeText('never_heard_of')).toBe('never heard of');
});
