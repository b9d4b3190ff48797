/**
 * The URL is the state. Everything sits in the query string, so the page needs no path of the server but `/`, and
 * links of the original TinyOlly (`?tab=traces&traceId=…`, `?tab=logs&search=…`) keep their meaning.
 */

export const TABS = ['traces', 'logs', 'metrics'] as const;
export type Tab = (typeof TABS)[number];

export interface Route {
  tab: Tab;
  /** The open trace, or on the log list the trace that it is narrowed to; empty for none. */
  traceId: string;
  /** The selected span of the open trace. */
  spanId: string;
  /** Which side of the open trace is shown. */
  pane: 'spans' | 'logs';
  /** The selected log record. */
  logId: string;
  /** The open metric. */
  metric: string;
  /** Type and unit of the open metric, as a name may have several. */
  metricType: string;
  metricUnit: string;
  search: string;
  service: string;
  errorsOnly: boolean;
  /** Least OTLP severity number on the log list; 0 for all. */
  severity: number;
}

export const HOME: Readonly<Route> = {
  tab: 'traces',
  traceId: '',
  spanId: '',
  pane: 'spans',
  logId: '',
  metric: '',
  metricType: '',
  metricUnit: '',
  search: '',
  service: '',
  errorsOnly: false,
  severity: 0,
};

/** Reads a query string; what is unknown or malformed falls back to the default. */
export function parseRoute(query: string): Route {
  const params = new URLSearchParams(query);
  const text = (name: string) => params.get(name) ?? '';
  const tab = TABS.find((known) => known === text('tab'));
  const severity = Number(text('severity'));
  return {
    tab: tab ?? 'traces',
    traceId: hex(text('traceId'), 32),
    spanId: hex(text('spanId'), 16),
    pane: text('pane') === 'logs' ? 'logs' : 'spans',
    logId: text('logId'),
    metric: text('metric'),
    metricType: text('type'),
    metricUnit: text('unit'),
    search: text('search'),
    service: text('service'),
    errorsOnly: text('errors') === '1',
    severity: Number.isInteger(severity) && severity >= 1 && severity <= 24 ? severity : 0,
  };
}

function hex(text: string, length: number): string {
  const id = text.toLowerCase();
  return id.length === length && /^[0-9a-f]+$/.test(id) ? id : '';
}

/** The link to a route, without what is at its default. */
export function formatRoute(route: Route): string {
  const params = new URLSearchParams({ tab: route.tab });
  const put = (name: string, value: string) => {
    if (value !== '') params.set(name, value);
  };
  put('traceId', route.traceId);
  put('spanId', route.spanId);
  if (route.pane !== 'spans') put('pane', route.pane);
  put('logId', route.logId);
  put('metric', route.metric);
  put('type', route.metricType);
  put('unit', route.metricUnit);
  put('search', route.search);
  put('service', route.service);
  if (route.errorsOnly) put('errors', '1');
  if (route.severity > 0) put('severity', String(route.severity));
  return `/?${params.toString()}`;
}

/** The way to a trace from anywhere. */
export function traceRoute(traceId: string, spanId = ''): Route {
  return { ...HOME, tab: 'traces', traceId, spanId };
}
