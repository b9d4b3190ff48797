import { expect, it } from 'vitest';
import { wireLog, wireSpan, wireSummary } from './fixtures';
import { kindOf, matches, originOf, readLog, readSpan, readTraceSummary, targetOf } from './model';
import { readAttributes } from './attributes';

const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });

it('reads a trace of the list', () => {
  const trace = readTraceSummary(wireSummary());
  expect(trace).toMatchObject({ start: 1000n, duration: 500n, kind: 'server', target: '/orders', httpStatus: 200 });
  expect(readTraceSummary(wireSummary({ root_span_route: '/orders/{id}' })).target).toBe('/orders/{id}');
});

it('finds a trace by each word of service, name, id and URL', () => {
  const { searchText } = readTraceSummary(wireSummary({ root_span_route: '/orders/{id}' }));
  for (const query of ['SHOP', 'get', '0af7', '/orders', 'shop get', '', '{id}']) {
    expect(matches(searchText, query), query).toBe(true);
  }
  expect(matches(searchText, 'shop post')).toBe(false);
});

it('takes the stack out of an exception event', () => {
  const span = readSpan(
    wireSpan({
      events: [
        {
          timeUnixNano: '1500',
          name: 'exception',
          attributes: [text('exception.type', 'E'), text('exception.stacktrace', 'at a\nat b')],
          droppedAttributesCount: 0,
        },
      ],
      status: { code: 2, message: 'failed' },
    }),
  );
  expect(span.isError).toBe(true);
  expect(span.duration).toBe(1000n);
  expect(span.events[0]).toMatchObject({ stack: 'at a\nat b', time: 1500n });
  expect(span.events[0]?.attributes.map((each) => each.key)).toEqual(['exception.type']);
});

it('tells the eBPF agent from an SDK', () => {
  const agent = [text('telemetry.distro.name', 'otel-ebpf-agent'), text('telemetry.sdk.name', 'opentelemetry')];
  expect(originOf(readAttributes(agent))).toBe('ebpf');
  expect(originOf(readAttributes(agent.slice(1)))).toBe('sdk');
  expect(originOf([])).toBe('unknown');
});

it('reads the evidence of a link', () => {
  expect(readSpan(wireSpan({ attributes: [text('ebpf.link.source', 'tcp_seq')] })).linkSource).toBe('tcp_seq');
});

it('puts the root of another host’s trace where TinyOlly found its call', () => {
  const attributes = [text('ebpf.link.id', '00c0ffee80000001')];
  const joinedParent = { traceId: '1f'.repeat(16), spanId: '12'.repeat(8), linkSource: 'link_id' };
  const joined = readSpan(wireSpan({ attributes, joinedParent }));
  expect(joined).toMatchObject({ parentId: '12'.repeat(8), isJoined: true, linkSource: 'link_id' });
  expect(readSpan(wireSpan({ attributes }))).toMatchObject({ parentId: '', isJoined: false, linkSource: '' });
  const trace = readTraceSummary(wireSummary({ joined_trace_ids: ['2e'.repeat(16)] }));
  expect(matches(trace.searchText, '2e2e')).toBe(true);
});

it('says which logs have a structured body', () => {
  expect(readLog(wireLog()).isStructured).toBe(false);
  const body = { kvlistValue: { values: [text('a', 'b')] } };
  expect(readLog(wireLog({ body }))).toMatchObject({ isStructured: true, body: '{\n  "a": "b"\n}' });
  expect(readLog(wireLog({ body: null })).body).toBe('');
});

it('knows a kind that it does not know', () => {
  expect(kindOf(3)).toBe('client');
  expect(kindOf(42)).toBe('unspecified');
});

it.each([
  ['GET', [text('url.path', '/orders/7')], '/orders/7'],
  ['GET', [text('url.path', '/orders/7'), text('http.route', '/orders/{id}')], '/orders/{id}'],
  ['POST', [text('url.full', 'http://localhost:5004/pay?card=1#x')], '/pay'],
  ['GET', [text('url.full', 'http://localhost:5004')], ''],
  ['GET /orders/{id}', [text('http.route', '/orders/{id}')], ''],
  ['in queue', [], ''],
])('%s with %j is about "%s"', (name, attributes, target) => {
  expect(targetOf(name, readAttributes(attributes))).toBe(target);
});
