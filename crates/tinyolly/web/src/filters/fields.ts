/** The keys of the filter bar that are no attributes, and what they take. */

/** What a list holds, by the names that the server has for them. */
export type Signal = 'traces' | 'spans' | 'logs';

export interface Field {
  key: string;
  signals: readonly Signal[];
  /** What it means, for the completion. */
  hint: string;
  /** The values that it takes, where they are few. */
  values?: readonly string[];
  /** Its name in /api/facets, where its values are data. */
  facet?: string;
  /** How a value is typed, where it is neither. */
  example?: string;
}

export const KINDS = ['internal', 'server', 'client', 'producer', 'consumer'] as const;
export const STATUSES = ['error', 'ok', 'unset'] as const;
export const STATUS_CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const;
export const SEVERITY_CLASSES = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const;

/** A key before which an attribute is meant, whatever it is called: `attr.name=x`. */
export const ATTRIBUTE_PREFIX = 'attr.';

const SPANS: readonly Signal[] = ['traces', 'spans'];

export const FIELDS: readonly Field[] = [
  { key: 'service', signals: ['traces', 'spans', 'logs'], hint: 'service name', facet: 'service' },
  { key: 'name', signals: SPANS, hint: 'whole name of a span', facet: 'name' },
  { key: 'status', signals: SPANS, hint: 'status of a span', values: STATUSES },
  { key: 'class', signals: SPANS, hint: 'class of the HTTP status', values: STATUS_CLASSES },
  { key: 'kind', signals: SPANS, hint: 'kind of a span', values: KINDS },
  { key: 'duration', signals: SPANS, hint: 'duration, such as >100ms', example: '100ms' },
  { key: 'root', signals: SPANS, hint: 'root spans alone', values: ['true'] },
  { key: 'severity', signals: ['logs'], hint: 'severity, also >=WARN', values: SEVERITY_CLASSES },
  { key: 'trace', signals: ['spans', 'logs'], hint: 'trace id', example: '32 hex digits' },
  { key: 'span', signals: ['logs'], hint: 'span id', example: '16 hex digits' },
];

/** Other spellings that people bring along. */
const ALIASES: Readonly<Record<string, string>> = {
  'service.name': 'service',
  service_name: 'service',
  status_class: 'class',
  trace_id: 'trace',
  traceid: 'trace',
  span_id: 'span',
  spanid: 'span',
};

/** The field that a key means on a list of a signal; undefined for an attribute. */
export function fieldOf(key: string, signal: Signal): Field | undefined {
  const lower = key.toLowerCase();
  const known = Object.hasOwn(ALIASES, lower) ? ALIASES[lower] : lower;
  return FIELDS.find((field) => field.key === known && field.signals.includes(signal));
}

/** The attribute's own key. */
export function attributeKey(key: string): string {
  return key.startsWith(ATTRIBUTE_PREFIX) ? key.slice(ATTRIBUTE_PREFIX.length) : key;
}

/** The key as the bar has to write it, so that it is read as that of an attribute. */
export function attributeTermKey(key: string, signal: Signal): string {
  return fieldOf(key, signal) !== undefined || key.startsWith(ATTRIBUTE_PREFIX) ? ATTRIBUTE_PREFIX + key : key;
}
