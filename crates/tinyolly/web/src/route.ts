/**
 * The URL is the state. Everything sits in the query string, so the page needs no path of the server but `/`, and
 * links of the original TinyOlly (`?tab=traces&traceId=…`, `?tab=logs&search=…`) keep their meaning.
 */

export const TABS = ['overview', 'traces', 'spans', 'logs', 'metrics', 'services', 'map', 'agent'] as const;
export type Tab = (typeof TABS)[number];

/** The waterfall alone or with logs beside it, and the other ways to show a trace. */
export const PANES = ['spans', 'logs', 'flame', 'map', 'compare'] as const;
export type Pane = (typeof PANES)[number];

/** What narrows a list. */
export interface Filters {
  search: string;
  /** Any of these; on the Services view the open one. */
  services: readonly string[];
  names: readonly string[];
  kinds: readonly string[];
  statuses: readonly string[];
  statusClasses: readonly string[];
  /** All of these: `key`, `key=value`, `key!=value`, `key>number` and so on. */
  attrs: readonly string[];
  /** `250us`, `1.5ms`, `2s`. */
  minDuration: string;
  maxDuration: string;
  errorsOnly: boolean;
  rootOnly: boolean;
  /** Least OTLP severity number of a log; 0 for all. */
  severity: number;
  /** Exact classes of severity: `WARN`, `ERROR` and so on. */
  severities: readonly string[];
}

/** The time that is looked at: a range up to now, or a fixed piece of the past. */
export interface RouteRange {
  /** `15m`, `1h`, `all`; empty for the default of the view. */
  range: string;
  /** Nanoseconds since the epoch as decimal strings; they win over `range`. */
  from: string;
  to: string;
}

export interface Route extends Filters, RouteRange {
  tab: Tab;
  /** The open trace, or on the log list the trace that it is narrowed to; empty for none. */
  traceId: string;
  /** The selected span of the open trace. */
  spanId: string;
  /** How the open trace is shown. */
  pane: Pane;
  /** The trace that the open one is compared with. */
  compare: string;
  /** The part of the open trace's time that is shown, as trace/zoom.ts writes it. */
  zoom: string;
  /** The selected log record. */
  logId: string;
  /** The log record whose surroundings are shown. */
  around: string;
  /** The open metric. */
  metric: string;
  /** Type and unit of the open metric, as a name may have several. */
  metricType: string;
  metricUnit: string;
  /** What the open metric's chart shows, empty for what fits its type. */
  metricFn: string;
  /** Labels that the chart's lines are told apart by. */
  groups: readonly string[];
  /** The selected node of the map. */
  node: string;
  /** The map as a list, for readers of text; empty for the graph. */
  as: '' | 'list';
  /** The column that orders a list, empty for the list's own order. */
  sort: string;
  order: '' | 'asc' | 'desc';
}

export const NO_FILTERS: Readonly<Filters> = {
  search: '',
  services: [],
  names: [],
  kinds: [],
  statuses: [],
  statusClasses: [],
  attrs: [],
  minDuration: '',
  maxDuration: '',
  errorsOnly: false,
  rootOnly: false,
  severity: 0,
  severities: [],
};

export const HOME: Readonly<Route> = {
  tab: 'overview',
  traceId: '',
  spanId: '',
  pane: 'spans',
  compare: '',
  zoom: '',
  logId: '',
  around: '',
  metric: '',
  metricType: '',
  metricUnit: '',
  metricFn: '',
  groups: [],
  node: '',
  as: '',
  sort: '',
  order: '',
  range: '',
  from: '',
  to: '',
  ...NO_FILTERS,
};

/** Fields of plain text and their names in the URL. */
const TEXTS = {
  logId: 'logId',
  around: 'around',
  metric: 'metric',
  metricType: 'type',
  metricUnit: 'unit',
  metricFn: 'fn',
  zoom: 'zoom',
  node: 'node',
  search: 'q',
  minDuration: 'min_duration',
  maxDuration: 'max_duration',
  sort: 'sort',
} as const;

/** Fields that the URL may repeat. */
const LISTS = {
  services: 'service',
  names: 'name',
  kinds: 'kind',
  statuses: 'status',
  statusClasses: 'status_class',
  attrs: 'attr',
  severities: 'severity_class',
  groups: 'by',
} as const;

type Entries<T> = { [K in keyof T]: [K, T[K]] }[keyof T][];
const TEXT_FIELDS = Object.entries(TEXTS) as Entries<typeof TEXTS>;
const LIST_FIELDS = Object.entries(LISTS) as Entries<typeof LISTS>;

/** Reads a query string; what is unknown or malformed falls back to the default. */
export function parseRoute(query: string): Route {
  const params = new URLSearchParams(query);
  const text = (name: string) => params.get(name) ?? '';
  const traceId = hex(text('traceId'), 32);
  const tab = TABS.find((known) => known === text('tab')) ?? (traceId !== '' ? 'traces' : HOME.tab);
  const severity = Number(text('severity'));
  const order = text('order');
  const route: Route = {
    ...HOME,
    tab,
    traceId,
    spanId: hex(text('spanId'), 16),
    pane: PANES.find((known) => known === text('pane')) ?? 'spans',
    compare: hex(text('compare'), 32),
    errorsOnly: text('errors') === '1',
    rootOnly: text('root') === '1',
    severity: Number.isInteger(severity) && severity >= 1 && severity <= 24 ? severity : 0,
    order: order === 'asc' || order === 'desc' ? order : '',
    as: text('as') === 'list' ? 'list' : '',
    range: /^(all|[1-9]\d{0,3}[smhd])$/.test(text('range')) ? text('range') : '',
    from: nanos(text('from')),
    to: nanos(text('to')),
  };
  for (const [field, name] of TEXT_FIELDS) route[field] = text(name);
  for (const [field, name] of LIST_FIELDS) {
    const values = [...new Set(params.getAll(name).filter((value) => value !== ''))];
    if (values.length > 0) route[field] = values;
  }
  if (route.search === '') route.search = text('search');
  return route;
}

function hex(text: string, length: number): string {
  const id = text.toLowerCase();
  return id.length === length && /^[0-9a-f]+$/.test(id) ? id : '';
}

function nanos(text: string): string {
  return /^\d{1,19}$/.test(text) ? text : '';
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
  put('compare', route.compare);
  for (const [field, name] of TEXT_FIELDS) put(name, route[field]);
  for (const [field, name] of LIST_FIELDS) for (const value of route[field]) params.append(name, value);
  if (route.errorsOnly) put('errors', '1');
  if (route.rootOnly) put('root', '1');
  if (route.severity > 0) put('severity', String(route.severity));
  put('as', route.as);
  put('order', route.order);
  put('range', route.range);
  put('from', route.from);
  put('to', route.to);
  return `/?${params.toString()}`;
}

/** The way to a trace from anywhere. */
export function traceRoute(traceId: string, spanId = ''): Route {
  return { ...HOME, tab: 'traces', traceId, spanId };
}

/** Another view of the same time, with the filters of `change` alone. */
export function tabRoute(route: Route, tab: Tab, change: Partial<Route> = {}): Route {
  return { ...HOME, range: route.range, from: route.from, to: route.to, ...change, tab };
}
