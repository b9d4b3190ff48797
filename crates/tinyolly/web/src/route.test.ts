import { expect, it } from 'vitest';
import { formatRoute, HOME, parseRoute, traceRoute, type Route } from './route';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

it.each<[string, Partial<Route>]>([
  ['the start', {}],
  ['a filtered list', { search: 'a b&c=d', service: 'x/y', errorsOnly: true }],
  ['an open span', { traceId: TRACE, spanId: SPAN, pane: 'logs' }],
  ['logs of a trace', { tab: 'logs', traceId: TRACE, severity: 17, logId: '12' }],
  ['a metric', { tab: 'metrics', metric: 'process/cpu time%', metricType: 'sum', metricUnit: '{a&b}' }],
])('%s survives the way into the URL and back', (_, change) => {
  const route = { ...HOME, ...change };
  expect(parseRoute(formatRoute(route).slice(1))).toEqual(route);
});

it('leaves defaults out of the URL', () => {
  expect(formatRoute(HOME)).toBe('/?tab=traces');
  expect(formatRoute(traceRoute(TRACE))).toBe(`/?tab=traces&traceId=${TRACE}`);
});

it('falls back where the URL is malformed', () => {
  expect(parseRoute('?tab=nothing&traceId=zz&spanId=1&severity=99&errors=x')).toEqual(HOME);
});

it('reads links of the original TinyOlly', () => {
  expect(parseRoute(`?tab=traces&traceId=${TRACE.toUpperCase()}`).traceId).toBe(TRACE);
  expect(parseRoute('?tab=logs&search=payment')).toMatchObject({ tab: 'logs', search: 'payment' });
});
