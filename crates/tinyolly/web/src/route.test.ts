import { expect, it } from 'vitest';
import { formatRoute, HOME, parseRoute, tabRoute, traceRoute, type Route } from './route';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

it.each<[string, Partial<Route>]>([
  ['the start', {}],
  ['a filtered list', { search: 'a b&c=d', services: ['x/y', 'a,b'], errorsOnly: true }],
  ['an open span', { traceId: TRACE, spanId: SPAN, pane: 'logs' }],
  ['logs of a trace', { tab: 'logs', traceId: TRACE, severity: 17, logId: '12' }],
  ['every filter', {
    tab: 'spans', names: ['GET /a?b=1&c'], kinds: ['server'], statuses: ['error'], statusClasses: ['4xx', '5xx'],
    attrs: ['http.route=/a', '"a=b">1'], minDuration: '1.5ms', maxDuration: '2s', rootOnly: true,
    severities: ['WARN'], sort: 'duration', order: 'asc',
  }],
  ['a range', { tab: 'services', range: '15m' }],
  ['a fixed range', { tab: 'map', from: '1763829600000000000', to: '1763829660000000001', node: 'service:a b', as: 'list' }],
  ['a part of a trace beside another', { traceId: TRACE, pane: 'compare', compare: TRACE, zoom: '120-4500' }],
  ['a chart', { tab: 'metrics', metric: 'a', metricFn: 'rate', groups: ['service', 'http.route'] }],
  ['a metric', { tab: 'metrics', metric: 'process/cpu time%', metricType: 'sum', metricUnit: '{a&b}' }],
])('%s survives the way into the URL and back', (_, change) => {
  const route = { ...HOME, ...change };
  expect(parseRoute(formatRoute(route).slice(1))).toEqual(route);
});

it('leaves defaults out of the URL', () => {
  expect(formatRoute(HOME)).toBe('/?tab=overview');
  expect(formatRoute(traceRoute(TRACE))).toBe(`/?tab=traces&traceId=${TRACE}`);
});

it('falls back where the URL is malformed', () => {
  expect(parseRoute('?tab=nothing&traceId=zz&spanId=1&severity=99&errors=x&range=5y&from=-1&to=x&order=up&service=')).toEqual(HOME);
});

it('reads links of the original TinyOlly', () => {
  expect(parseRoute(`?tab=traces&traceId=${TRACE.toUpperCase()}`).traceId).toBe(TRACE);
  expect(parseRoute('?tab=logs&search=payment')).toMatchObject({ tab: 'logs', search: 'payment' });
});

it('opens a trace without a tab on Traces', () => {
  expect(parseRoute(`?traceId=${TRACE}`).tab).toBe('traces');
});

it('keeps the time on the way to another tab, and nothing else', () => {
  const route = parseRoute('?tab=traces&q=x&service=a&range=15m');
  expect(formatRoute(tabRoute(route, 'logs', { services: ['b'] }))).toBe('/?tab=logs&service=b&range=15m');
});
